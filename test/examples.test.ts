// The examples in the help of every verb, run as they stand on a real instance. What an example assumes (a key of that
// name, an engine at that address) is made before it; examples that need more than a small machine gives are named with the reason.
import type { Command } from "commander";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { examplesOf, makeContext } from "../src/cli/context.ts";
import { Client } from "../src/cli/client.ts";
import { buildProgram, main } from "../src/cli/main.ts";
import { Terminal } from "../src/cli/terminal.ts";
import { shellWords } from "../src/cli/testing.ts";
import type { BudgetResource, KeyResource } from "../src/contract/index.ts";
import { scriptedEngine, type ScriptedEngine } from "../src/engines/testing.ts";
import { startInstance, type Instance } from "./setup/instance.ts";

// Ends a test that hangs. It is no measurement: a start may take long on a busy machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

/** Not run here, by the verb they belong to. */
const elsewhere: Record<string, string> = {
  up: "the instance of this test is one",
  deploy: "agents need their tool server, deployments a second worker: agents.test.ts, deployments.test.ts",
  "deployments scale": "needs a second worker: deployments.test.ts",
  "deployments remove": "needs a second deployment: deployments.test.ts",
  "agents show": "needs the example agent: the demo",
  run: "needs the example agent: the demo",
  "runs show": "needs a run: the demo",
  "runs stop": "needs a run: the demo",
  "alarms dismiss": "needs an alarm",
  "batches cancel": "needs a batch that has not ended: src/gateway/batches/batches.test.ts",
  "backup verify": "needs a backup: backup.test.ts",
  restore: "needs a backup: backup.test.ts",
  simulate: "needs no instance: simulator",
  plan: "needs no instance: simulator",
  calibrate: "measures for minutes: calibrate.test.ts",
};

/** What must be there before a verb's example, as command lines. */
const before: Record<string, string[]> = {
  "keys revoke": ["keys create laptop"],
  "secrets remove": ["secrets set plant --host api.example.com --from-env PLANT_TOKEN"],
  "budgets remove": ["budgets set project default --limit 5.00"],
  "limits remove": ["limits set project default --requests-per-minute 600"],
  "routes remove": ["routes set 'claude-*' --serves smollm2-135m-instruct"],
  "batches show": ["batches create calls.jsonl"],
  "batches results": ["batches create calls.jsonl --follow"],
  "files download": ["batches create calls.jsonl"],
  "files remove": ["batches create calls.jsonl"],
  "engines remove": [
    "engines add local --url http://localhost:8000/v1 --model qwen3 --price-in 0 --price-out 0",
    "engines add hosted --url http://localhost:8000/v1 --model large --price-in 0 --price-out 0",
  ],
};

let instance: Instance;
let engine: ScriptedEngine;
beforeAll(async () => {
  instance = await startInstance();
  engine = await scriptedEngine({}, ["qwen3", "large", "gpt-6-luna", "qwen3.8-flash"]);
  writeFileSync(join(instance.home, "token.txt"), "a-token-for-the-plant");
  const body = { model: "smollm2-135m-instruct", messages: [{ role: "user", content: "Say yes." }], max_tokens: 2 };
  const line = { custom_id: "1", method: "POST", url: "/v1/chat/completions", body };
  writeFileSync(join(instance.home, "calls.jsonl"), JSON.stringify(line));
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  await instance[Symbol.asyncDispose]();
});

const leaves = (command: Command, path: string[] = []): [string, Command][] =>
  command.commands.length === 0
    ? [[path.join(" "), command]]
    : command.commands.flatMap((child) => leaves(child, [...path, child.name()]));

const program = buildProgram(makeContext(new Terminal({ env: {} }), new AbortController().signal));
const examples = leaves(program)
  .filter(([verb]) => elsewhere[verb] === undefined)
  .flatMap(([verb, command]) => examplesOf(command).map((example): [string, string] => [example, verb]))
  .filter(([example]) => !example.includes("--agent maintenance-inspector"));

/**
 * Addresses of the examples lead to the scripted engine, which needs no provider's key (and a provider's key is sent to that provider
 * alone); a preset, which names its provider's address and key, becomes the scripted engine's address and a price; files
 * are in the home.
 */
function reachable(words: string[]): string[] {
  const at = words.indexOf("--key-env");
  const keyless = at < 0 ? words : words.toSpliced(at, 2);
  const preset = keyless.indexOf("--preset");
  const own =
    preset < 0
      ? keyless
      : [
          ...keyless.toSpliced(preset, 2).filter((word) => word !== "--price-offered"),
          ...["--url", engine.url, "--price-in", "0.15", "--price-out", "0.47"],
        ];
  return own.map((word) => {
    if (/^https?:\/\/(localhost:8000|api\.[a-z]+\.com)\/v1$/.test(word)) return engine.url;
    return /^(token\.txt|(calls|results|errors)\.jsonl)$/.test(word) ? join(instance.home, word) : word;
  });
}

async function run(words: string[]) {
  let output = "";
  const terminal = new Terminal({
    stdout: { write: (text) => (output += text) },
    stderr: { write: (text) => (output += text) },
    stdin: Readable.from(["Name three metals."]),
    env: { PATH: process.env["PATH"], LINESHAFT_HOME: instance.home, PLANT_TOKEN: "a-token-for-the-plant" },
  });
  const code = await main(reachable(words), makeContext(terminal, new AbortController().signal));
  process.exitCode = undefined;
  return { code, output };
}

/**
 * Removes all keys but the owner's, all budgets and all limits on use, so that a name or the beginning of an id means what an example has
 * just made.
 */
async function tidy(): Promise<void> {
  const client = new Client({ url: instance.address, key: instance.key });
  for (const { id, name, revoked_at } of await client.list<KeyResource>("/api/keys"))
    if (name !== "owner" && !revoked_at) await client.delete(`/api/keys/${id}`);
  for (const { id } of await client.list<BudgetResource>("/api/budgets")) await client.delete(`/api/budgets/${id}`);
  for (const { id } of await client.list<{ id: string }>("/api/limits")) await client.delete(`/api/limits/${id}`);
}

test.each(examples)("%s", async (example, verb) => {
  await tidy();
  for (const line of before[verb] ?? []) {
    const { code, output } = await run(shellWords(`npx lineshaft ${line}`));
    expect(code, output).toBe(0);
  }
  const { code, output } = await run(shellWords(example));
  expect(code, output).toBe(0);
  expect(output).not.toBe("");
  if (example.includes("--json")) expect(() => JSON.parse(output)).not.toThrow();
});
