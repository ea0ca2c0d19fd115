// States that a real instance shows rarely, over the fixture server: an empty organisation, ten thousand rows, a lost connection, a chat
// that breaks off, a key that is refused. test/console.test.ts tests the console over a real instance.
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chromiumPath, cutOff, startBrowser, views, visit } from "./browser.ts";
import { makeFixture } from "./fixture.ts";
import { fixtureKey, startFixtureServer, type FixtureServer } from "./server.ts";

const desk = views[0]!;
const phone = views[2]!;
let browser: Browser;

describe.skipIf(chromiumPath === undefined)("states of the console, in Chromium (CHROMIUM names another)", () => {
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser?.close());

  describe("an organisation in which nothing has happened", () => {
    let server: FixtureServer;
    beforeAll(async () => {
      const fixture = makeFixture({ calls: 0, runs: 0 });
      server = await startFixtureServer({
        fixture: { ...fixture, calls: [], runs: [], agents: [], budgets: [], limits: [], routes: [], batches: [] },
      });
    });
    afterAll(() => server?.close());

    test.each([
      ["/", "npx lineshaft call"],
      ["/calls", "npx lineshaft call"],
      ["/runs", "npm run demo"],
      ["/agents", "npx lineshaft deploy"],
      ["/bill", "npm run demo"],
      ["/access?tab=budgets", "npx lineshaft budgets set"],
      ["/access?tab=limits", "npx lineshaft limits set"],
      ["/routes", "npx lineshaft routes set"],
      ["/batches", "npx lineshaft batches create"],
    ])("%s says how to get the first one", async (path, command) => {
      await using visitor = await visit(browser, server.url, desk, fixtureKey);
      await visitor.page.goto(`/console${path}`);
      await visitor.page.getByText(command).first().waitFor();
      expect(visitor.complaints).toEqual([]);
    });
  });

  test("a call's attempts say which was a second one beside a silent first, and which went on with a broken answer", async () => {
    const fixture = makeFixture({ calls: 40, runs: 0 });
    const { attempts, ...call } = fixture.calls.find(({ attempts }) => attempts.length > 0)!;
    const made = (["first", "hedge", "continued"] as const).map((why, place) => ({
      ...attempts[0]!,
      id: `${attempts[0]!.id.slice(0, -1)}${place}`,
      number: place + 1,
      engine: `engine-${place}`,
      why,
      status: why === "first" ? ("cancelled" as const) : why === "hedge" ? ("failed" as const) : ("completed" as const),
      error_code: why === "first" ? "answered_elsewhere" : why === "hedge" ? "engine_unreachable" : null,
    }));
    const server = await startFixtureServer({ fixture: { ...fixture, calls: [{ ...call, attempts: made }] } });
    try {
      await using visitor = await visit(browser, server.url, desk, fixtureKey);
      const { page } = visitor;
      await page.goto(`/console/calls/${call.id}`);
      const rows = page.getByRole("region", { name: "Attempts" }).locator("tbody tr");
      await rows.first().waitFor();
      expect(await rows.locator("td:first-of-type").allInnerTexts()).toEqual([
        "engine-0",
        "engine-1 hedge",
        "engine-2 continued",
      ]);
      expect(await rows.first().innerText()).toContain("1: another endpoint answered first");
      expect(visitor.complaints).toEqual([]);
    } finally {
      await server.close();
    }
  });

  describe("an organisation at work", () => {
    let server: FixtureServer;
    beforeAll(async () => {
      server = await startFixtureServer();
    });
    afterAll(() => server?.close());

    test("ten thousand rows are read on and drawn only where they can be seen", async () => {
      await using visitor = await visit(browser, server.url, desk, fixtureKey);
      const { page } = visitor;
      await page.goto("/console/calls");
      await page.getByText("200 newest read").waitFor();
      for (let rounds = 0; rounds < 6; rounds++) {
        await page.mouse.wheel(0, 40_000);
        await page.waitForTimeout(50);
      }
      await page.getByText(/^(?!200 ).* newest read$/).waitFor();
      expect(await page.locator("tbody tr.linked").count()).toBeLessThan(90);
      expect(visitor.complaints).toEqual([]);
    });

    test("filters, sorting and open steps stand in the address", async () => {
      await using visitor = await visit(browser, server.url, desk, fixtureKey);
      const { page } = visitor;
      await page.goto("/console/calls");
      await page.getByRole("button", { name: "Status" }).click();
      await page.getByRole("menuitemradio", { name: "failed" }).click();
      await page.waitForURL(/\?status=failed$/);
      await page.getByRole("button", { name: "Price" }).click();
      await page.waitForURL(/\?status=failed&sort=-price$/);
      expect(await page.locator("th[aria-sort=descending]").textContent()).toContain("Price");
      await page.reload();
      await page.getByRole("button", { name: "Clear Status" }).click();
      await page.waitForURL(/\/calls\?sort=-price$/);
    });

    test("a lost connection shows, and heals with what was missed", async () => {
      await using visitor = await visit(browser, server.url, desk, fixtureKey);
      const { page } = visitor;
      await page.goto("/console/calls");
      await page.locator(".live-mark", { hasText: "Live" }).waitFor();
      await page.getByText("200 newest read").waitFor();
      server.cut(true);
      await page.getByText("Connection lost").first().waitFor();
      const { attempts: _, ...missed } = server.newCall();
      server.emit({ type: "call", call: missed });
      // The server still refuses, so the button stays until it has been clicked, however slow the machine is.
      const tried = page.waitForRequest("**/api/events");
      await page.getByRole("button", { name: "Try now" }).click();
      await tried;
      server.cut(false);
      await page.locator(".live-mark", { hasText: "Live" }).waitFor();
      await page.getByText(missed.id.slice(-8)).waitFor();
      await page.getByRole("button", { name: "Try now" }).waitFor({ state: "detached" });
    });

    test("an answer that breaks off is kept, and asked for again on demand", async () => {
      await using visitor = await visit(browser, server.url, phone, fixtureKey);
      const { page } = visitor;
      await page.goto("/console/chat");
      await page.getByText("Talk with").waitFor();
      server.breakNextChat();
      await page.getByLabel("Message").fill("Why does it run hot?");
      await page.getByRole("button", { name: "Send" }).click();
      await page.getByRole("alert").getByText("The answer broke off").waitFor();
      await page.getByText("The spindle runs at").waitFor();
      await page.getByText("Why does it run hot?").waitFor();
      await page.getByRole("button", { name: "Try again" }).click();
      await page.getByText("the feed rate of the last program").waitFor();
      expect(await page.getByText("The spindle runs at").count()).toBe(1);
      await page.getByText(/first token/).waitFor();
    });

    test("a key that is refused later leads to the login and back to the same place", async () => {
      await using visitor = await visit(browser, server.url, desk);
      const { page } = visitor;
      await page.goto("/console/login");
      await page.evaluate(() => sessionStorage.setItem("lineshaft.key", "ls_revoked"));
      await page.goto("/console/bill?range=7d");
      await page.getByText("The key was refused").waitFor();
      expect(await page.evaluate(() => sessionStorage.getItem("lineshaft.key"))).toBeNull();
      await page.getByLabel("Key").fill(fixtureKey);
      await page.getByText("Stay signed in").click();
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "By agent" }).waitFor();
      expect(page.url()).toBe(`${server.url}/console/bill?range=7d`);
      expect(await page.evaluate(() => localStorage.getItem("lineshaft.key"))).toBe(fixtureKey);
    });

    test("an alarm shows on every page while it stands, says what to do, and is dismissed", async () => {
      await using visitor = await visit(browser, server.url, desk, fixtureKey);
      const { page } = visitor;
      await page.goto("/console/calls");
      await page.locator(".live-mark", { hasText: "Live" }).waitFor();
      expect(await page.getByText("1 alarm").count()).toBe(0);
      const alarm = {
        id: "usage_excess mill",
        code: "usage_excess",
        message:
          "Engine mill claimed 1,000,000 tokens of 16 that were asked for. Look at the engine, then dismiss this.",
        subject: "mill",
        count: 12,
        first_at: new Date().toISOString(),
        last_at: new Date().toISOString(),
      };
      server.emit({ type: "alarm", change: "raised", alarm });
      await page.getByRole("link", { name: "1 alarm" }).click();
      await page.getByText(alarm.message).waitFor();
      await page.getByText("12 times").waitFor();
      await page.getByRole("button", { name: "Dismiss usage_excess of mill" }).click();
      await page.getByText(alarm.message).waitFor({ state: "detached" });
      server.emit({ type: "alarm", change: "raised", alarm });
      await page.getByText(alarm.message).waitFor();
      server.emit({ type: "alarm", change: "gone", alarm });
      await page.getByText("1 alarm").waitFor({ state: "detached" });
    });

    test("a limit on use is set, changed and removed; what is no amount is refused where it is typed", async () => {
      await using visitor = await visit(browser, server.url, desk, fixtureKey);
      const { page } = visitor;
      await page.goto("/console/access?tab=limits");
      const row = (text: string) => page.getByRole("row").filter({ hasText: text });
      await row("tokens in 24 hours").waitFor();
      expect(await row("tokens in 24 hours").getByRole("cell").allTextContents()).toEqual([
        "project default",
        "all",
        "84.1%",
        "8.41M",
        "10M tokens in 24 hours",
        "Remove",
      ]);
      await row("4 calls at once").getByText("100.0%").waitFor();
      await page.getByRole("button", { name: "Set a limit" }).click();
      const dialog = page.getByRole("dialog");
      const amount = dialog.getByLabel("At most");
      const submit = dialog.getByRole("button", { name: "Set", exact: true });
      expect(await submit.isDisabled()).toBe(true);
      await amount.fill("1.5");
      await dialog.getByRole("alert").getByText("1.5 is not a whole number").waitFor();
      expect(await amount.getAttribute("aria-invalid")).toBe("true");
      expect(await submit.isDisabled()).toBe(true);
      await amount.fill("1,200");
      await dialog.getByText("An existing limit gets the new amount").waitFor();
      await dialog.getByLabel("Which").selectOption("default");
      await dialog.getByLabel("Calls to").selectOption("smollm2-135m-instruct");
      await dialog.getByLabel("Of what").selectOption("tokens a minute");
      // A refusal keeps what was typed and says why.
      const refused = { error: { code: "too_many_limits", message: "An organisation may have 10,000 limits." } };
      await page.route("**/api/limits", (route) => route.fulfill({ status: 409, json: refused }), { times: 1 });
      await submit.click();
      await dialog.getByText("An organisation may have 10,000 limits.").waitFor();
      expect(await amount.inputValue()).toBe("1,200");
      await submit.click();
      await row("1.2k tokens a minute").getByText("smollm2-135m-instruct").waitFor();
      await page.getByRole("button", { name: /^Remove the limit of project .* on tokens a minute$/ }).click();
      await dialog.getByText("Budgets still hold").waitFor();
      await dialog.getByRole("button", { name: "Remove" }).click();
      // Until the dialog has closed, it hides the page behind it from roles.
      await dialog.waitFor({ state: "detached" });
      await row("1.2k tokens a minute").waitFor({ state: "detached" });
      expect(visitor.complaints).toEqual([]);
    });

    test("limits on use that cannot be read say so, with another try; until they are read, their place is kept", async () => {
      await using visitor = await visit(browser, server.url, phone, fixtureKey);
      const { page } = visitor;
      let answer: () => void;
      const asked = new Promise<void>((resolve) => (answer = resolve));
      await page.route("**/api/limits?*", async (route) => {
        await asked;
        const error = { code: "store_unavailable", message: "The database does not answer.", request_id: "req_1" };
        await route.fulfill({ status: 503, json: { error } });
      });
      await page.goto("/console/access?tab=limits");
      await page.locator("main [aria-label=Loading]").first().waitFor();
      answer!();
      await page.getByRole("alert").getByText("The database does not answer.").waitFor();
      await page.unroute("**/api/limits?*");
      await page.getByRole("button", { name: "Try again" }).click();
      await page.getByRole("list", { name: "Limits on use" }).getByText("600 requests a minute").waitFor();
      expect(await cutOff(page)).toEqual([]);
    });

    test("no tile cuts its figure, at any width", async () => {
      await using visitor = await visit(browser, server.url, desk, fixtureKey);
      const { page } = visitor;
      for (const [path, shows] of [
        ["/", "Cost of tokens"],
        ["/bill?range=all", "Cost per outcome"],
      ] as const) {
        await page.goto(`/console${path}`);
        await page.getByText(shows).first().waitFor();
        for (const width of [1680, 1280, 1100, 960, 820, 700, 641, 390, 320]) {
          await page.setViewportSize({ width, height: 800 });
          expect(await cutOff(page), `${path} at ${width}`).toEqual([]);
        }
        await page.setViewportSize({ width: 1280, height: 800 });
      }
    });

    test("a call that is not there says so and what to do", async () => {
      await using visitor = await visit(browser, server.url, desk, fixtureKey);
      await visitor.page.goto("/console/calls/call_nowhere");
      await visitor.page.getByRole("alert").getByText("There is no call call_nowhere").waitFor();
      await visitor.page.keyboard.press("Escape");
      await visitor.page.getByRole("heading", { name: "Calls", level: 1 }).waitFor();
    });
  });
});
