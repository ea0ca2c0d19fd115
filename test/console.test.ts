// The console over a real instance with real calls and real runs in it, driven in the system's Chromium: every screen at both
// widths and in both themes, by keyboard, live, and through the chat. With LINESHAFT_SCREENSHOTS=1 the pictures of docs/images are
// taken as well; LINESHAFT_URL and LINESHAFT_KEY then name an instance with more to show than a test makes.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generateMachines } from "../examples/maintenance-inspector/readings.ts";
import { startPlant, type Plant } from "../examples/maintenance-inspector/server.ts";
import { readAgentFolder } from "../src/agents/folder.ts";
import {
  chromiumPath,
  cutOff,
  findings,
  sideways,
  startBrowser,
  views,
  visit,
} from "../src/console/testing/browser.ts";
import { money, moneyParts } from "../src/console/format.ts";
import type {
  BatchResource,
  Bill,
  BudgetResource,
  Call,
  CallDetail,
  ModelRouteResource,
  Run,
  RunDetail,
  Status,
} from "../src/contract/index.ts";
import { startInstance, type Instance } from "./setup/instance.ts";
import { unsharedPort } from "./setup/ports.ts";

const example = fileURLToPath(new URL("../examples/maintenance-inspector", import.meta.url));
const images = fileURLToPath(new URL("../docs/images", import.meta.url));
const desk = views[0]!;

let instance: Instance;
let plant: Plant;
let browser: Browser;
let model: string;
let run: Run;
let call: Call;
const token = "a-token-that-only-this-test-knows";
const machines = generateMachines(3, 1);
const folder = mkdtempSync(join(tmpdir(), "lineshaft-console-"));

async function api<T>(path: string, body?: unknown, key = instance.key, method = "POST"): Promise<T> {
  const response = await fetch(`${instance.address}${path}`, {
    method: body === undefined ? "GET" : method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return (await response.json()) as T;
}

const ask = (content: string, maxTokens = 16) =>
  api<{ id: string }>("/v1/chat/completions", {
    model,
    messages: [{ role: "user", content }],
    max_tokens: maxTokens,
  });

async function ended(id: string): Promise<Run> {
  for (let tries = 0; tries < 1_000; tries++) {
    const current = await api<Run>(`/api/runs/${id}`);
    if (current.ended_at !== null) return current;
    await sleep(200);
  }
  throw new Error(`Run ${id} did not end.`);
}

describe.skipIf(chromiumPath === undefined)("the console, in Chromium (CHROMIUM names another)", () => {
  beforeAll(async () => {
    [instance, browser, plant] = await Promise.all([
      startInstance(),
      startBrowser(),
      // A port that no other process is given while the plant is away.
      startPlant({ port: await unsharedPort(), token, machines, ordersPath: join(folder, "orders.jsonl") }),
    ]);
    model = (await api<{ data: { id: string }[] }>("/v1/models")).data[0]!.id;
    const agent = await readAgentFolder(example);
    const manifest = agent.manifest.replace("http://127.0.0.1:4077/mcp", plant.url);
    const hosts = [new URL(plant.url).host];
    await api("/api/secrets/maintenance-inspector", { value: token, hosts }, undefined, "PUT");
    expect(await api("/api/agents", { ...agent, manifest })).toMatchObject({ created: true });
    const begun = await Promise.all(
      machines.map(({ machine }) =>
        api<Run>("/api/runs", { agent: "maintenance-inspector", input: { machine, bare: false } }),
      ),
    );
    await ask("Name three metals.");
    [run] = (await Promise.all(begun.map(({ id }) => ended(id)))) as [Run];
    expect(run.error_message).toBeNull();
    call = (await api<{ data: Call[] }>(`/api/calls?run=${run.id}`)).data[0]!;
  });
  afterAll(async () => {
    await browser?.close();
    await plant?.close();
    await instance?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test("a key opens it, a wrong one says why, and neither is ever in an address", async () => {
    await using visitor = await visit(browser, instance.address, desk);
    const { page } = visitor;
    await page.goto("/console/runs?status=completed");
    await page.getByRole("heading", { name: "Sign in to Lineshaft" }).waitFor();
    await page.getByText("/credentials").first().waitFor();
    await page.getByLabel("Key").fill("lsk_wrong");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("This key is not known here").waitFor();
    expect(await page.getByRole("alert").textContent()).not.toContain("header");
    expect(await page.content()).not.toContain(instance.home);
    expect(await page.getByLabel("Key").inputValue()).toBe("lsk_wrong");
    await page.getByLabel("Key").fill(instance.key);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Runs", level: 1 }).waitFor();
    expect(page.url()).toBe(`${instance.address}/console/runs?status=completed`);
    expect(await page.evaluate(() => [sessionStorage.length > 0, localStorage.getItem("lineshaft.key")])).toEqual([
      true,
      null,
    ]);
    await page.reload();
    await page.getByRole("heading", { name: "Runs", level: 1 }).waitFor();
    expect(visitor.complaints).toEqual([]);
  });

  /** Every screen, with a text that it shows only when its data has loaded. */
  const screens = (): [path: string, shows: string][] => [
    ["/", "All parts are well"],
    ["/agents", "maintenance-inspector"],
    ["/agents/maintenance-inspector", "Newest runs"],
    ["/runs", "maintenance-inspector"],
    [`/runs/${run.id}?open=1.2`, "correct-work-order"],
    ["/calls", model],
    [`/calls/${call.id}`, "Where the time went"],
    ["/bill", "By agent"],
    ["/models", "Engines and prices"],
    ["/batches", "No batches yet"],
    ["/batches/batch_nowhere", "There is no batch batch_nowhere"],
    ["/routes", "No routes"],
    ["/routes/set", "What follows a failed attempt"],
    ["/chat", `Talk with ${model}`],
    ["/access", "owner"],
    ["/access?tab=budgets", "No budgets"],
    ["/access?tab=runs", "No run under way has a limit"],
    ["/access?tab=limits", "No limits on use"],
    ["/connect", "Lines to paste"],
    ["/connect?client=opencode", "Coding agents"],
    ["/runs/run_nowhere", "There is no run run_nowhere"],
  ];

  test.each([1280, 390] as const)(
    "every screen at %i pixels, light and dark: whole, and without a finding of axe",
    async (width) => {
      await using visitor = await visit(browser, instance.address, { width, theme: "light" }, instance.key);
      const { page } = visitor;
      for (const [path, shows] of screens()) {
        await page.emulateMedia({ colorScheme: "light" });
        await page.goto(`/console${path}`);
        await shown(page, shows);
        await page.locator("main [aria-label=Loading]").first().waitFor({ state: "detached" });
        expect(await sideways(page), `${path} scrolls sideways`).toBeLessThanOrEqual(0);
        expect(await cutOff(page), `${path} cuts`).toEqual([]);
        expect(await findings(page), path).toEqual([]);
        // The elements are the same as in the first theme, so only their colours are checked.
        await page.emulateMedia({ colorScheme: "dark" });
        expect(await findings(page, ["color-contrast", "link-in-text-block"]), `${path}, dark`).toEqual([]);
      }
      expect(visitor.complaints).toEqual([]);
    },
    // Two minutes on a machine with twenty processes for two cores.
    600_000,
  );

  test("login, run, call and bill by keyboard alone", async () => {
    await using visitor = await visit(browser, instance.address, desk);
    const { page } = visitor;
    const { keyboard } = page;
    await page.goto("/console/");
    await page.getByLabel("Key").waitFor();
    await keyboard.type(instance.key);
    await keyboard.press("Enter");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await keyboard.press("g");
    await keyboard.press("r");
    await page.getByRole("table", { name: "Runs" }).waitFor();
    await keyboard.press("j");
    await keyboard.press("Enter");
    await page.getByRole("heading", { name: "Steps" }).waitFor();
    await keyboard.press("j");
    await keyboard.press("j");
    await keyboard.press("Enter");
    await page.waitForURL(/\/runs\/run_\w+\?open=1$/);
    await page.locator(".step-body").getByText("failure_mode").first().waitFor();
    await keyboard.press("Escape");
    await page.getByRole("table", { name: "Runs" }).waitFor();
    await keyboard.press("/");
    await page.getByRole("combobox").waitFor();
    await keyboard.type(call.id);
    await page.getByRole("option", { name: call.id }).waitFor();
    await keyboard.press("Enter");
    await page.getByRole("heading", { name: "Where the time went" }).waitFor();
    expect(page.url()).toBe(`${instance.address}/console/calls/${call.id}`);
    await keyboard.press("g");
    await keyboard.press("b");
    await page.getByRole("heading", { name: "By agent" }).waitFor();
    expect(visitor.complaints).toEqual([]);
  });

  test("a call appears in the list while one looks, without a reload", async () => {
    await using visitor = await visit(browser, instance.address, desk, instance.key);
    const { page } = visitor;
    await page.goto("/console/calls");
    await page.locator(".live-mark", { hasText: "Live" }).waitFor();
    await page.getByRole("table", { name: "Calls" }).waitFor();
    await page.evaluate(() => Object.assign(window, { sameDocument: true }));
    await ask("Say yes.", 4);
    const [newest] = (await api<{ data: Call[] }>("/api/calls?limit=1")).data;
    await page.getByRole("link", { name: newest!.id.slice(-8) }).waitFor();
    expect(await page.evaluate(() => "sameDocument" in window)).toBe(true);
  });

  test("the bill on the page is the bill of the API", async () => {
    await using visitor = await visit(browser, instance.address, desk, instance.key);
    const { page } = visitor;
    await page.goto("/console/bill?range=all");
    const line = page.getByRole("row").filter({ hasText: "maintenance-inspector" });
    await line.waitFor();
    const bill = await api<Bill>("/api/bill");
    const own = bill.lines.find(({ agent }) => agent === "maintenance-inspector")!;
    const cells = await line.getByRole("cell").allTextContents();
    expect(cells[1]).toBe(String(own.runs));
    expect(cells[6]).toBe(money(own.revenue_nano, "USD").replace(" ", ""));
    // The call outside of runs has a cost, which is not added to the cost of an outcome.
    expect(BigInt(bill.total.token_cost_nano)).toBeGreaterThan(BigInt(own.token_cost_nano));
    const each = Math.round(Number(own.token_cost_nano) / own.outcomes_passed);
    expect(bill.total.cost_per_verified_outcome_nano).toBe(String(each));
    await page
      .locator(".figure", { hasText: "Cost per outcome" })
      .getByText(moneyParts(String(each), "USD")[0])
      .waitFor();
    await page.getByRole("button", { name: "Revenue" }).first().click();
    await page.getByText("GET /api/bill").waitFor();
  });

  test("the chat answers, says what it cost, can be stopped, and is kept", async () => {
    await using visitor = await visit(browser, instance.address, desk, instance.key);
    const { page } = visitor;
    await page.goto("/console/chat");
    await page.getByText(`Talk with ${model}`).waitFor();
    await page.getByLabel("Message").fill("Count from one to three hundred in words.");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Stop" }).waitFor();
    await page.locator(".turn.assistant .prose").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Send" }).waitFor();
    await page.getByRole("main").getByRole("link", { name: "Call" }).waitFor();
    await page.getByText("USD").first().waitFor();
    await page.reload();
    await page.getByText("Count from one to three hundred in words.").waitFor();
    expect(await findings(page)).toEqual([]);
  });

  test("a chat fits the window, and an error stands where it is seen", async () => {
    await using visitor = await visit(browser, instance.address, desk, instance.key);
    const { page } = visitor;
    await page.goto("/console/chat");
    await page.getByText(`Talk with ${model}`).waitFor();
    const tooTall = () => page.evaluate(() => document.documentElement.scrollHeight - window.innerHeight);
    expect(await tooTall()).toBe(0);
    await page.getByLabel("Message").fill("word ".repeat(9_000));
    await page.keyboard.press("Enter");
    const error = await page.getByRole("alert").boundingBox();
    expect(error!.y + error!.height).toBeLessThanOrEqual(page.viewportSize()!.height);
    // The same call says in the list why it was not answered, and what to do.
    await page.goto("/console/calls");
    const row = page.getByRole("row").filter({ hasText: "too long for the model's context" });
    await row.first().getByText("Shorten the prompt").waitFor();
  });

  test("a run says how long its calls were queued, and why it waited", async () => {
    await using visitor = await visit(browser, instance.address, desk, instance.key);
    const { page } = visitor;
    const port = Number(new URL(plant.url).port);
    await plant.close();
    const { id } = await api<Run>("/api/runs", {
      agent: "maintenance-inspector",
      input: { machine: machines[0]!.machine, bare: false },
    });
    await page.goto(`/console/runs/${id}`);
    const waited = page.locator("[data-wait=tool_unreachable]");
    await waited.getByText("a tool's server does not answer").waitFor();
    plant = await startPlant({ port, token, machines, ordersPath: join(folder, "orders.jsonl") });
    await page.getByRole("region", { name: "Outcome" }).waitFor();
    const detail = await api<RunDetail>(`/api/runs/${id}`);
    expect(detail.waits).toMatchObject([{ step: 0, code: "tool_unreachable", waiting: false }]);
    expect(detail.waits[0]!.waited_ms).toBeGreaterThan(0);
    await waited.getByText("Waited").waitFor();
    await page.locator(".figure", { hasText: "Duration" }).getByText("until it could go on").waitFor();
    // The waiting time shown for the calls of runs that began together is the one that their attempts record.
    const attempts = (await api<CallDetail>(`/api/calls/${call.id}`)).attempts;
    const phases = attempts.flatMap(({ phases }) => phases).filter(({ name }) => name === "queue" || name === "wait");
    const queued = phases.reduce((sum, { start_ms, end_ms }) => sum + end_ms - start_ms, 0);
    const known = await api<RunDetail>(`/api/runs/${run.id}`);
    expect(Math.abs(known.queued_ms - queued)).toBeLessThanOrEqual(1);
    expect(Math.abs(known.step_list.find((step) => step.call === call.id)!.queued_ms - queued)).toBeLessThanOrEqual(1);
  });

  test("a budget shows what was spent with three figures, and never more left than there is", async () => {
    const { project } = await api<Status>("/api/status");
    await fetch(`${instance.address}/api/budgets`, {
      method: "PUT",
      headers: { authorization: `Bearer ${instance.key}`, "content-type": "application/json" },
      body: JSON.stringify({ scope: { kind: "project", id: project.id }, limit_nano: "5000000000", period: "month" }),
    });
    await using visitor = await visit(browser, instance.address, desk, instance.key);
    const { page } = visitor;
    await page.goto("/console/access?tab=budgets");
    const row = page.getByRole("row").filter({ hasText: "project" });
    await row.waitFor();
    const [budget] = (await api<{ data: BudgetResource[] }>("/api/budgets")).data.filter(
      ({ scope }) => scope.kind === "project",
    );
    const cells = await row.getByRole("cell").allTextContents();
    expect(cells[2]).toBe(money(budget!.spent_nano, "USD").replace(" ", ""));
    expect(cells[2]).toMatch(/^[\d.]+µUSD$/);
    expect(cells.slice(4, 6)).toEqual(["4.99USD", "5.00USD a month"]);
  });

  test("a limit on use shows the calls that count against it, and is removed", async () => {
    await using visitor = await visit(browser, instance.address, desk, instance.key);
    const { page } = visitor;
    await page.goto("/console/access?tab=limits");
    await page.getByRole("button", { name: "Set a limit" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Calls to").selectOption(model);
    await dialog.getByLabel("At most").fill("40");
    await dialog.getByRole("button", { name: "Set", exact: true }).click();
    const row = page.getByRole("row").filter({ hasText: model });
    await row.getByText("40 requests a minute").waitFor();
    await page.locator(".live-mark", { hasText: "Live" }).waitFor();
    // The call's own event brings the figure, without a reload.
    await ask("Say yes.", 4);
    await row.getByText(/^[1-9]$/).waitFor();
    expect(await findings(page)).toEqual([]);
    await row.getByRole("button", { name: /^Remove the limit of project/ }).click();
    await dialog.getByRole("button", { name: "Remove" }).click();
    // Until the dialog has closed, it hides the page behind it from roles.
    await dialog.waitFor({ state: "detached" });
    await row.waitFor({ state: "detached" });
    expect(visitor.complaints).toEqual([]);
  });

  test("a route that is set gives a name to a model: a call of the name is served, until the route is removed", async () => {
    await using visitor = await visit(browser, instance.address, desk, instance.key);
    const { page } = visitor;
    await page.goto("/console/routes");
    await page.getByRole("link", { name: "Set a route" }).click();
    await page.getByLabel("Name", { exact: true }).fill("claude-*");
    await page.getByLabel("Served by").selectOption(model);
    await page.getByLabel("Attempts at one model").fill("2");
    await page.getByLabel("Answer identical calls once").check();
    await page.getByRole("button", { name: "Set the route" }).click();
    const row = page.getByRole("row").filter({ hasText: "claude-*" });
    await row.getByText("identical calls of default share answers").waitFor();
    const [route] = (await api<{ data: ModelRouteResource[] }>("/api/routes")).data;
    const { project } = await api<Status>("/api/status");
    const cache = { projects: [project.id] };
    expect(route).toMatchObject({ model: "claude-*", serves: model, retry: { most: 2 }, cache });
    const called = { model: "claude-any", messages: [{ role: "user", content: "Say yes." }], max_tokens: 2 };
    const served = () => api<{ choices?: unknown[]; error?: { code: string } }>("/v1/chat/completions", called);
    expect((await served()).choices).toHaveLength(1);
    expect(await findings(page)).toEqual([]);
    await row.getByRole("button", { name: "Remove the route of claude-*" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await page.getByRole("heading", { name: "No routes" }).waitFor();
    expect((await served()).error?.code).toBe("model_not_found");
    expect(visitor.complaints).toEqual([]);
  });

  test("a batch is seen from its beginning to its end, with its price, its calls and its results", async () => {
    await using visitor = await visit(browser, instance.address, desk, instance.key);
    const { page } = visitor;
    await page.goto("/console/batches");
    await page.locator(".live-mark", { hasText: "Live" }).waitFor();
    const body = { model, messages: [{ role: "user", content: "Say yes." }], max_tokens: 2 };
    const lines = ["1", "2"].map((id) =>
      JSON.stringify({ custom_id: id, method: "POST", url: "/v1/chat/completions", body }),
    );
    const form = new FormData();
    form.append("purpose", "batch");
    form.append("file", new Blob([lines.join("\n")]), "in.jsonl");
    const headers = { authorization: `Bearer ${instance.key}` };
    const file = await fetch(`${instance.address}/v1/files`, { method: "POST", headers, body: form });
    const { id: input } = (await file.json()) as { id: string };
    const { id } = await api<{ id: string }>("/v1/batches", {
      input_file_id: input,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    // Its own events bring each state, without a reload.
    const row = page.getByRole("row").filter({ hasText: id.slice(-8) });
    await row.getByText("2 of 2").waitFor();
    await row.getByText("completed").first().waitFor();
    expect(await findings(page)).toEqual([]);
    await row.getByRole("link").click();
    // Its calls are recorded a moment after their results.
    await expect.poll(async () => (await api<{ data: Call[] }>(`/api/calls?batch=${id}`)).data.length).toBe(2);
    const batch = await api<BatchResource>(`/api/batches/${id}`);
    expect(BigInt(batch.price_nano)).toBeGreaterThan(0n);
    await page.getByText(moneyParts(batch.price_nano, batch.currency)[0]).first().waitFor();
    expect(await findings(page)).toEqual([]);
    const saved = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save the answers" }).click();
    const answers = await readFile(await (await saved).path(), "utf8");
    expect(answers.trimEnd().split("\n")).toHaveLength(2);
    await page.getByRole("link", { name: "its calls" }).click();
    await page.getByRole("row").filter({ hasText: model }).nth(1).waitFor();
    expect(await page.getByRole("row").filter({ hasText: model }).count()).toBe(2);
    expect(visitor.complaints).toEqual([]);
  });

  test("Connect: the lines that it shows make a call, and the light turns green with it", async () => {
    await using visitor = await visit(browser, instance.address, desk, instance.key);
    const { page } = visitor;
    await page.goto("/console/connect?client=javascript");
    await page.locator(".live-mark", { hasText: "Live" }).waitFor();
    await page.getByLabel("Name of the key").fill("press line");
    await page.getByRole("button", { name: "Make a key" }).click();
    await page.getByText("Waiting for the first call with the key press line").waitFor();
    const script = (await page.locator(".snippet pre").last().textContent())!;
    const run = spawn(process.execPath, ["--input-type=module"], { stdio: ["pipe", "pipe", "inherit"] });
    run.stdin.end(script);
    const [code] = (await once(run, "exit")) as [number];
    expect(code).toBe(0);
    const light = page.locator(".first-call");
    await light.getByText("The first call arrived").waitFor();
    await light.locator(".state.good").waitFor();
    await light.getByRole("link").click();
    await page.getByRole("heading", { name: "Where the time went" }).waitFor();
    expect(visitor.complaints).toEqual([]);
  });

  test("an owner makes a key, sees its secret once, and ends it", async () => {
    await using visitor = await visit(browser, instance.address, desk, instance.key);
    const { page } = visitor;
    await page.goto("/console/access");
    await page.getByRole("button", { name: "Create a key" }).click();
    await page.getByLabel("Name").fill("shop floor");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    const dialog = page.getByRole("dialog");
    const secret = await dialog.locator("code").first().textContent();
    await dialog.getByText("It is shown only this once").waitFor();
    await dialog.getByRole("button", { name: "Copy key" }).waitFor();
    expect(await dialog.getByRole("button", { name: "Cancel" }).count()).toBe(0);
    expect(await api<{ role: string }>("/api/status", undefined, secret!)).toMatchObject({ role: "member" });
    await page.getByRole("button", { name: "Done" }).click();
    await page.getByRole("button", { name: "Revoke shop floor" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    // The dialog closes once the key is revoked. Before that it hides the page, and with it the button of the row, from roles.
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Revoke shop floor" }).waitFor({ state: "detached" });
    expect(await page.content()).not.toContain(secret!);
    expect(await api("/api/status", undefined, secret!)).toMatchObject({ error: { code: expect.any(String) } });
  });

  test.each([1280, 390] as const)(
    "the page of the API at %i pixels, light and dark: whole, asks this instance alone, and without a finding of axe",
    async (width) => {
      await using visitor = await visit(browser, instance.address, { width, theme: "light" });
      const { page } = visitor;
      // The address that errors give as their documentation.
      await page.goto("/api/docs#errors");
      const errors = page.getByRole("heading", { name: "Errors" });
      await errors.waitFor();
      await expect.poll(() => errors.evaluate((heading) => heading.getBoundingClientRect().top)).toBeLessThan(860);
      await page.goto("/api/docs#tag/runs/POST/api/runs");
      await page.getByRole("heading", { name: "Start a run" }).waitFor();
      expect(await sideways(page)).toBeLessThanOrEqual(0);
      expect(await findings(page)).toEqual([]);
      await page.emulateMedia({ colorScheme: "dark" });
      await page.locator("body.dark-mode").waitFor();
      // Colours are the same at every width, and axe is slow on a page of this size.
      if (width === 1280) expect(await findings(page, ["color-contrast", "link-in-text-block"])).toEqual([]);
      expect(visitor.complaints).toEqual([]);
    },
  );

  test("a request can be sent from the page of the API with a key, which stays in the page", async () => {
    await using visitor = await visit(browser, instance.address, desk);
    const { page } = visitor;
    await page.goto("/api/docs");
    await page.getByPlaceholder("Token").first().fill(instance.key);
    await page.goto("/api/docs#tag/status/GET/api/status");
    await page.getByRole("button", { name: "Test Request (get /api/status)" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: /^Send get request/ }).click();
    // Without the key it would be 401.
    await dialog.getByText("200 OK").waitFor();
    expect(await page.evaluate(() => JSON.stringify([localStorage, sessionStorage, document.cookie]))).not.toContain(
      instance.key,
    );
    expect(page.url()).not.toContain(instance.key);
    expect(visitor.complaints).toEqual([]);
  });

  test.runIf(process.env["LINESHAFT_SCREENSHOTS"] === "1")("pictures for the documents", async () => {
    const origin = process.env["LINESHAFT_URL"] ?? instance.address;
    const key = process.env["LINESHAFT_KEY"] ?? instance.key;
    const read = async <T>(path: string) =>
      (await (await fetch(`${origin}${path}`, { headers: { authorization: `Bearer ${key}` } })).json()) as {
        data: T[];
      };
    const [shownRun] = (await read<Run>("/api/runs?status=completed&limit=1")).data;
    const [shownCall] = (await read<Call>(`/api/calls?run=${shownRun!.id}`)).data;
    const pictures: [name: string, path: string, view: (typeof views)[number]][] = [
      ["console-overview", "/?range=1h", views[0]!],
      ["console-overview-dark", "/?range=1h", views[1]!],
      ["console-run", `/runs/${shownRun!.id}?open=1.2`, views[0]!],
      ["console-call", `/calls/${shownCall!.id}`, views[1]!],
      ["console-connect", "/connect?client=python", views[0]!],
      ["console-phone", "/runs", views[2]!],
    ];
    for (const [name, path, view] of pictures) {
      await using visitor = await visit(browser, origin, view, key);
      await visitor.page.goto(`/console${path}`);
      await visitor.page.locator("main [aria-label=Loading]").first().waitFor({ state: "detached" });
      await visitor.page.screenshot({ path: join(images, `${name}.png`) });
    }
  });
});

/** Waits for a text on the page. The error shows the page's text. */
async function shown(page: Page, text: string): Promise<void> {
  try {
    await page.getByRole("main").getByText(text).first().waitFor();
  } catch {
    throw new Error(`${page.url()} does not show "${text}" but: ${await page.locator("body").innerText()}`);
  }
}
