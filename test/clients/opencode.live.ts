// OpenCode, unmodified, over the APIs that it speaks by its provider's package.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { done, openCode, wish, written } from "./agents.ts";
import { openWorld, task, withHello, type World } from "./world.ts";

let world: World;

beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world?.[Symbol.asyncDispose]());

test.each([
  ["Responses", "@ai-sdk/openai", "responses"],
  ["Messages", "@ai-sdk/anthropic", "messages"],
])("over %s it does its task too", async (_protocol, npm, endpoint) => {
  const at = world.folder();
  withHello(at.work);
  const model = `opencode-${endpoint}`;
  const agent = openCode(npm, endpoint);
  await world.serve(model, task(agent.steps(at.work), done));
  const ran = await agent.run(world, model, wish, at);
  expect(ran.code, `${ran.stdout}\n${ran.stderr}`).toBe(0);
  expect(readFileSync(join(at.work, "out.txt"), "utf8")).toBe(written);
  expect(ran.stdout).toContain(done);
  const calls = await world.callsOf(model);
  expect(calls.length).toBeGreaterThanOrEqual(3);
  for (const call of calls) {
    expect(call).toMatchObject({ status: "completed", stream: true, endpoint });
    expect(BigInt(call["price_nano"])).toBe(3n * BigInt(call["prompt_tokens"]) + 7n * BigInt(call["output_tokens"]));
  }
});
