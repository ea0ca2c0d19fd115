// Gemini CLI, unmodified, over generateContent.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { npmClients } from "./install.ts";
import { hello, openWorld, runProgram, task, withHello, type World } from "./world.ts";

let world: World;
let program: string;

beforeAll(async () => {
  program = join(await npmClients(), "node_modules/@google/gemini-cli/bundle/gemini.js");
  world = await openWorld();
});
afterAll(() => world?.[Symbol.asyncDispose]());

test("reads a file, writes another, and says so", async () => {
  const { home, work } = world.folder();
  const path = withHello(work);
  const out = join(work, "out.txt");
  const model = "gemini-task";
  const engine = await world.serve(
    model,
    task(
      [
        { tool: "read_file", arguments: { file_path: path } },
        { tool: "write_file", arguments: { file_path: out, content: "Seven apples, counted." } },
      ],
      "I have read hello.txt and written out.txt.",
    ),
  );
  mkdirSync(join(home, ".gemini"));
  const settings = {
    security: { auth: { selectedType: "gemini-api-key" } },
    privacy: { usageStatisticsEnabled: false },
  };
  writeFileSync(join(home, ".gemini/settings.json"), JSON.stringify(settings));
  const env = { GOOGLE_GEMINI_BASE_URL: world.address, GEMINI_API_KEY: world.key, GEMINI_CLI_TRUST_WORKSPACE: "true" };
  const words = [program, "-m", model, "--approval-mode", "yolo", "-p", "Read hello.txt and write out.txt."];
  const ran = await runProgram(process.execPath, words, { home, work, env });
  expect(ran.code, `${ran.stdout}\n${ran.stderr}`).toBe(0);
  expect(readFileSync(out, "utf8")).toBe("Seven apples, counted.");
  expect(ran.stdout).toContain("I have read hello.txt and written out.txt.");
  expect(engine.seen.at(-1)!.text).toContain(hello.text.trim());
  const calls = await world.callsOf(model);
  expect(calls.length).toBeGreaterThanOrEqual(3);
  for (const call of calls) expect(call).toMatchObject({ status: "completed", endpoint: "gemini" });
});
