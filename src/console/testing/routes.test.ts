// The screens of routes over the fixture server: every field by keyboard, what is wrong beside its field, and what a member sees.
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chromiumPath, faultsOf, findings, startBrowser, views, visit } from "./browser.ts";
import { fixtureKey, startFixtureServer, type FixtureServer } from "./server.ts";

const desk = views[0]!;
const local = "smollm2-135m-instruct";
let browser: Browser;
let server: FixtureServer;

describe.skipIf(chromiumPath === undefined)("routes, in Chromium (CHROMIUM names another)", () => {
  beforeAll(async () => {
    [browser, server] = await Promise.all([startBrowser(), startFixtureServer()]);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });
  const remote = () => server.fixture.status.deployments[1]!.name;

  test("the list says in words what each route does, and opens it by keyboard", async () => {
    await using visitor = await visit(browser, server.url, desk, fixtureKey);
    const { page } = visitor;
    await page.goto("/console/calls");
    await page.locator(".live-mark", { hasText: "Live" }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("u");
    const row = (name: string) => page.getByRole("row").filter({ hasText: name });
    await row("claude-*").waitFor();
    expect(await row("claude-*").getByRole("cell").allTextContents()).toEqual([
      "claude-*",
      remote(),
      local,
      "prompts are marked",
      expect.stringContaining("ago"),
      "Remove",
    ]);
    await page
      .getByText(
        "2 attempts at a model, waits up to 5.00 s, broken answers are not continued, identical calls of default share answers, kept for 1 h",
      )
      .waitFor();
    await page.getByText("a second attempt after 800 ms").waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("k");
    await page.keyboard.press("Enter");
    await page.waitForURL(/routes\/set\?name=claude-/);
    expect(await page.getByLabel("Served by").inputValue()).toBe(remote());
    expect(await page.getByLabel("Fallback 1").inputValue()).toBe(local);
    expect(await page.getByLabel("Mark prompts that have no mark").isChecked()).toBe(true);
    await page.keyboard.press("Escape");
    await page.getByRole("heading", { name: "Routes", level: 1 }).waitFor();
    expect(visitor.complaints).toEqual([]);
  });

  test("what is wrong stands beside its field and is read with it, and nothing is sent", async () => {
    await using visitor = await visit(browser, server.url, desk, fixtureKey);
    const { page } = visitor;
    const sent: string[] = [];
    page.on("request", (request) => request.method() === "PUT" && sent.push(request.url()));
    await page.goto("/console/routes/set");
    const submit = page.getByRole("button", { name: "Set the route" });
    await submit.click();
    await page.getByRole("alert").getByText("Write the name that callers use.").waitFor();
    const name = page.getByLabel("Name", { exact: true });
    await name.fill(local);
    await page.getByText(`${local} has a route: this one takes its place.`).waitFor();
    await name.fill("local-model");
    await submit.click();
    await page.getByRole("alert").getByText("Say what is to be done with calls of local-model").waitFor();
    for (const [label, value, why] of [
      ["Attempts at one model", "7", "Give a whole number from 1 to 6."],
      ["Longest wait, ms", "1.5", "Give a whole number from 0 to 60,000."],
      ["Share of calls, at most", "5%", "Give a share from 0 to 1"],
    ] as const) {
      const field = page.getByLabel(label);
      await field.fill(value);
      expect(await field.getAttribute("aria-invalid")).toBe("true");
      const told = page.locator(`[id="${await field.getAttribute("aria-describedby")}"]`);
      expect(await told.textContent()).toContain(why);
      expect(await told.getAttribute("role")).toBe("alert");
    }
    await page.getByLabel("Served by").selectOption(local);
    await page.getByRole("button", { name: "Add a fallback" }).click();
    await page.getByLabel("Fallback 1").selectOption(local);
    await page.getByRole("alert").getByText(`${local} is a fallback of itself.`).waitFor();
    expect(await findings(page)).toEqual([]);
    await submit.click();
    expect(sent).toEqual([]);
    expect(visitor.complaints).toEqual([]);
  });

  test("a whole route is set by keyboard, and a refusal keeps what was typed", async () => {
    await using visitor = await visit(browser, server.url, desk, fixtureKey);
    const { page } = visitor;
    await page.goto("/console/routes/set");
    const type = async (label: string, text: string) => {
      await page.getByLabel(label, { exact: true }).focus();
      await page.keyboard.type(text);
    };
    await type("Name", "fast");
    await page.getByLabel("Served by").selectOption(local);
    await page.getByRole("button", { name: "Add a fallback" }).press("Enter");
    await page.getByRole("button", { name: "Add a fallback" }).press("Enter");
    await page.getByLabel("Fallback 1").selectOption(remote());
    await page.getByLabel("Fallback 2").selectOption(server.fixture.engines.at(-1)!.name);
    await page.getByRole("button", { name: "Remove" }).last().press("Enter");
    await type("Attempts at one model", "2");
    await type("Longest wait, ms", "5000");
    await type("Second attempt after, ms", "800");
    await page.getByLabel("Continue an answer that breaks off").press("Space");
    await page.getByLabel("Mark prompts that have no mark").press("Space");
    await page.getByLabel("Answer identical calls once").press("Space");
    await type("Kept for, seconds", "60");
    await page.getByLabel("Which calls").selectOption("any");
    await page.getByLabel("Calls with tools too").press("Space");
    expect(await findings(page)).toEqual([]);
    const refused = { error: { code: "too_many_routes", message: "The organisation has 1,000 routes already." } };
    await page.route("**/api/routes", (route) => route.fulfill({ status: 409, json: refused }), { times: 1 });
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("The organisation has 1,000 routes already.").waitFor();
    expect(await page.getByLabel("Longest wait, ms").inputValue()).toBe("5000");
    await page.getByRole("button", { name: "Set the route" }).press("Enter");
    await page.getByRole("row").filter({ hasText: "fast" }).waitFor();
    const { updated_at: _, ...set } = server.fixture.routes.find(({ model }) => model === "fast")!;
    expect(set).toEqual({
      model: "fast",
      serves: local,
      fallbacks: [remote()],
      retry: { most: 2, wait_most_ms: 5_000 },
      hedge: { after_ms: 800, share: 0.05 },
      continues: false,
      marks: "auto",
      cache: { projects: ["prj_1"], when: "any", tools: true, keep_seconds: 60 },
    });
    await page.getByRole("button", { name: "Remove the route of fast" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    // Until the dialog has closed, it hides the page behind it from roles.
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.getByRole("row").filter({ hasText: "fast" }).waitFor({ state: "detached" });
    expect(visitor.complaints).toEqual([]);
  });

  test("a member sees a route, and cannot change it", async () => {
    const { status } = server.fixture;
    status.role = "member";
    try {
      await using visitor = await visit(browser, server.url, desk, fixtureKey);
      const { page } = visitor;
      await page.goto("/console/routes/set?name=claude-*");
      await page.getByLabel("Served by").waitFor();
      expect(await page.getByLabel("Served by").isDisabled()).toBe(true);
      expect(await page.getByRole("button", { name: "Set the route" }).count()).toBe(0);
      await page.goto("/console/routes/set");
      await page.getByText("Only owners set routes").waitFor();
      await page.goto("/console/routes");
      await page.getByText("prompts are marked").waitFor();
      expect(await page.getByRole("button", { name: /^Remove/ }).count()).toBe(0);
      expect(await page.getByRole("link", { name: "Set a route" }).count()).toBe(0);
    } finally {
      status.role = "owner";
    }
  });

  test.each([1280, 390] as const)("they are whole at %i pixels, light and dark", async (width) => {
    await using visitor = await visit(browser, server.url, { width, theme: "light" }, fixtureKey);
    const { page } = visitor;
    for (const [path, shows] of [
      ["/routes", "claude-*"],
      ["/routes/set", "Set the route"],
      [`/routes/set?name=${local}`, "Kept for, seconds"],
      ["/models", "Claude Code"],
    ] as const)
      expect(await faultsOf(page, path, shows), path).toEqual([]);
    expect(visitor.complaints).toEqual([]);
  });
});
