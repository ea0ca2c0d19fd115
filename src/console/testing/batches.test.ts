// The screens of batches over the fixture server: their states, live, by keyboard, and results that are saved.
import { readFile } from "node:fs/promises";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chromiumPath, faultsOf, startBrowser, views, visit } from "./browser.ts";
import { fixtureKey, startFixtureServer, type FixtureServer } from "./server.ts";

const desk = views[0]!;
let browser: Browser;
let server: FixtureServer;

describe.skipIf(chromiumPath === undefined)("batches, in Chromium (CHROMIUM names another)", () => {
  beforeAll(async () => {
    [browser, server] = await Promise.all([startBrowser(), startFixtureServer()]);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  test("the list says how far each batch is and what it cost, and follows its events", async () => {
    await using visitor = await visit(browser, server.url, desk, fixtureKey);
    const { page } = visitor;
    await page.goto("/console/");
    await page.locator(".live-mark", { hasText: "Live" }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("h");
    const [running] = server.fixture.batches;
    const row = page.getByRole("row").filter({ hasText: running!.id.slice(-8) });
    await row.getByText("4,210 of 12,000").waitFor();
    const cells = await row.getByRole("cell").allTextContents();
    expect(cells.slice(1)).toEqual([
      "in progress in_progress",
      "/v1/chat/completions",
      "",
      "4,210 of 12,000",
      "3",
      "0.061USD",
      "12 min ago",
      "Cancel",
    ]);
    running!.completed = 11_997;
    running!.status = "completed";
    running!.ended_at = new Date().toISOString();
    server.emit({ type: "batch", batch: { id: running!.id, status: "completed" } });
    await row.getByText("11,997 of 12,000").waitFor();
    await row.getByText("Cancel").waitFor({ state: "detached" });
    running!.status = "in_progress";
    running!.ended_at = null;
    await page.getByRole("button", { name: "State" }).click();
    await page.getByRole("menuitemradio", { name: "failed" }).click();
    await page.waitForURL(/batches\?status=failed$/);
    await row.waitFor({ state: "detached" });
    await page.keyboard.press("Escape");
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "What is wrong with its file" }).waitFor();
    await page.getByText('`custom_id` "inspection 7" stands in an earlier line.').waitFor();
    await page.getByText("so it has no results").waitFor();
    expect(visitor.complaints).toEqual([]);
  });

  test("a batch that goes on is cancelled after asking", async () => {
    await using visitor = await visit(browser, server.url, desk, fixtureKey);
    const { page } = visitor;
    const [running] = server.fixture.batches;
    await page.goto(`/console/batches/${running!.id}`);
    await page.getByRole("button", { name: "Cancel the batch" }).click();
    const dialog = page.getByRole("dialog");
    const refused = { error: { code: "batch_ended", message: "The batch has ended: it is completed." } };
    await page.route("**/cancel", (route) => route.fulfill({ status: 409, json: refused }), { times: 1 });
    await dialog.getByRole("button", { name: "Cancel the batch" }).click();
    await dialog.getByText("The batch has ended: it is completed.").waitFor();
    await dialog.getByRole("button", { name: "Cancel the batch" }).click();
    await page.locator(".page-title").getByText("cancelling").first().waitFor();
    // Until the dialog has closed, it hides the page behind it from roles.
    await dialog.waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Cancel the batch" }).waitFor({ state: "detached" });
    running!.status = "in_progress";
    expect(visitor.complaints).toEqual([]);
  });

  test("results are saved with the key, and calls are one click away", async () => {
    await using visitor = await visit(browser, server.url, desk, fixtureKey);
    const { page } = visitor;
    const done = server.fixture.batches.at(-1)!;
    await page.goto(`/console/batches/${done.id}`);
    const saved = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save the answers" }).click();
    const file = await saved;
    expect(file.suggestedFilename()).toBe(`${done.id}_output.jsonl`);
    expect(JSON.parse(await readFile(await file.path(), "utf8"))).toEqual({ file: done.output_file });
    await page.getByRole("link", { name: "its calls" }).click();
    await page.waitForURL(new RegExp(`calls\\?batch=${done.id}$`));
    await page.getByText("Batch:").waitFor();
    await page.goto("/console/batches/batch_nowhere");
    await page.getByRole("alert").getByText("There is no batch batch_nowhere").waitFor();
    expect(visitor.complaints).toEqual([]);
  });

  test.each([1280, 390] as const)("they are whole at %i pixels, light and dark", async (width) => {
    await using visitor = await visit(browser, server.url, { width, theme: "light" }, fixtureKey);
    const { page } = visitor;
    const ids = server.fixture.batches.map(({ id }) => id);
    for (const [path, shows] of [
      ["/batches", "in progress"],
      [`/batches/${ids[0]}`, "Window ends"],
      [`/batches/${ids[1]}`, "What is wrong with its file"],
      [`/batches/${ids[2]}`, "Save the answers"],
    ] as const)
      expect(await faultsOf(page, path, shows), path).toEqual([]);
    expect(visitor.complaints).toEqual([]);
  });
});
