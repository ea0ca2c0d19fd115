// OpenCode, unmodified, over the APIs that it speaks by its provider's package.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { npmClients } from "./install.ts";
import { openWorld, runProgram, task, withHello, type World } from "./world.ts";

let world: World;
let opencode: string;

beforeAll(async () => {
  opencode = join(await npmClients(), "node_modules/opencode-linux-x64/bin/opencode");
  world = await openWorld();
});
afterAll(() => world?.[Symbol.asyncDispose]());

/** Its configuration for one model behind one protocol. */
function configured(work: string, npm: string, model: string): void {
  const options = { baseURL: `${world.address}/v1`, apiKey: world.key };
  const provider = { lineshaft: { npm, options, models: { [model]: { limit: { context: 200_000, output: 8_192 } } } } };
  const config = { $schema: "https://opencode.ai/config.json", provider, autoupdate: false, share: "disabled" };
  writeFileSync(join(work, "opencode.json"), JSON.stringify(config));
}

describe.each([
  ["chat completions", "@ai-sdk/openai-compatible", "chat"],
  ["Responses", "@ai-sdk/openai", "responses"],
  ["Messages", "@ai-sdk/anthropic", "messages"],
])("over %s", (_protocol, npm, endpoint) => {
  test("reads a file, writes another, and says so", async () => {
    const { home, work } = world.folder();
    const path = withHello(work);
    const out = join(work, "out.txt");
    const model = `opencode-${endpoint}`;
    await world.serve(
      model,
      task(
        [
          { tool: "read", arguments: { filePath: path } },
          { tool: "write", arguments: { filePath: out, content: "Seven apples, counted." } },
        ],
        "I have read hello.txt and written out.txt.",
      ),
    );
    configured(work, npm, model);
    const words = ["run", "--model", `lineshaft/${model}`, "--format", "json", "Read hello.txt and write out.txt."];
    const ran = await runProgram(opencode, words, { home, work });
    expect(ran.code, `${ran.stdout}\n${ran.stderr}`).toBe(0);
    expect(readFileSync(out, "utf8")).toBe("Seven apples, counted.");
    expect(ran.stdout).toContain("I have read hello.txt and written out.txt.");
    const calls = await world.callsOf(model);
    expect(calls.length).toBeGreaterThanOrEqual(3);
    for (const call of calls) {
      expect(call).toMatchObject({ status: "completed", stream: true, endpoint });
      expect(BigInt(call["price_nano"])).toBe(3n * BigInt(call["prompt_tokens"]) + 7n * BigInt(call["output_tokens"]));
    }
  });
});
