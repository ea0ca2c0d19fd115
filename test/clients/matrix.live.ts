// Every agent against an engine of every API: the task with tools is done whatever the engine behind the gateway speaks.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Shape } from "../../src/engines/index.ts";
import { claudeCode, codex, codexBySocket, done, geminiCli, openCode, wish, written, type Agent } from "./agents.ts";
import { hello, openWorld, task, withHello, type World } from "./world.ts";

let world: World;

beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world?.[Symbol.asyncDispose]());

const agents: Agent[] = [claudeCode, codex, codexBySocket, openCode("@ai-sdk/openai-compatible", "chat"), geminiCli];
const shapes: Shape[] = ["chat", "messages", "responses", "gemini"];
const pairs = agents.flatMap((agent) => shapes.map((shape): [string, Shape, Agent] => [agent.name, shape, agent]));

test.each(pairs)("%s does its task with an engine that speaks %s", async (name, shape, agent) => {
  const at = world.folder();
  withHello(at.work);
  const model = `${name.toLowerCase().replaceAll(/[^a-z]+/g, "-")}-${shape}`;
  const engine = await world.serveAs(shape, model, task(agent.steps(at.work), done));
  const ran = await agent.run(world, model, wish, at);
  expect(ran.code, `${ran.stdout}\n${ran.stderr}`).toBe(0);
  expect(readFileSync(join(at.work, "out.txt"), "utf8")).toBe(written);
  expect(ran.stdout).toContain(done);
  expect(engine.seen.at(-1)!.text).toContain(hello.text.trim());
  const calls = await world.callsOf(model);
  expect(calls.length).toBeGreaterThanOrEqual(3);
  for (const call of calls) {
    expect(call).toMatchObject({ status: "completed", endpoint: agent.endpoint });
    expect(BigInt(call["price_nano"])).toBe(3n * BigInt(call["prompt_tokens"]) + 7n * BigInt(call["output_tokens"]));
  }
});
