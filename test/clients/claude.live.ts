// Claude Code, unmodified, over Messages.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { npmClients } from "./install.ts";
import { hello, openWorld, runProgram, task, withHello, type Folder, type Ran, type World } from "./world.ts";

let world: World;
let claude: string;

beforeAll(async () => {
  claude = join(await npmClients(), "node_modules/@anthropic-ai/claude-code-linux-x64/claude");
  world = await openWorld();
});
afterAll(() => world?.[Symbol.asyncDispose]());

function print(model: string, words: string[], at: Folder): Promise<Ran> {
  const env = {
    ANTHROPIC_BASE_URL: world.address,
    ANTHROPIC_AUTH_TOKEN: world.key,
    ANTHROPIC_MODEL: model,
    ANTHROPIC_SMALL_FAST_MODEL: model,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    DISABLE_AUTOUPDATER: "1",
  };
  return runProgram(claude, ["-p", ...words, "--output-format", "json", "--allowedTools", "Read,Write"], {
    ...at,
    env,
  });
}

test("reads a file, writes another, and says so", async () => {
  const at = world.folder();
  const path = withHello(at.work);
  const out = join(at.work, "out.txt");
  const model = "claude-task";
  const engine = await world.serve(
    model,
    task(
      [
        { tool: "Read", arguments: { file_path: path } },
        { tool: "Write", arguments: { file_path: out, content: "Seven apples, counted." } },
      ],
      "I have read hello.txt and written out.txt.",
    ),
  );
  const ran = await print(model, ["Read hello.txt and write out.txt."], at);
  expect(ran.code, `${ran.stdout}\n${ran.stderr}`).toBe(0);
  expect(readFileSync(out, "utf8")).toBe("Seven apples, counted.");
  const told = JSON.parse(ran.stdout) as Record<string, any>;
  expect(told).toMatchObject({ is_error: false, result: "I have read hello.txt and written out.txt." });
  expect(engine.seen.at(-1)!.text).toContain(hello.text.trim());
  const calls = await world.callsOf(model);
  expect(calls.length).toBeGreaterThanOrEqual(3);
  for (const call of calls) expect(call).toMatchObject({ status: "completed", endpoint: "messages" });
  const used = calls.reduce((sum, call) => sum + call["output_tokens"], 0);
  expect(told["usage"].output_tokens).toBeLessThanOrEqual(used);
});

test("a model that is not there is an error that says so, and is not tried for minutes", async () => {
  const ran = await print("claude-nowhere", ["Say hello."], world.folder());
  expect(ran.code).not.toBe(0);
  expect(ran.stdout).toContain("claude-nowhere");
});
