// Codex, unmodified, over Responses, the one API that it speaks: which of its transports it takes, beside the task of matrix.live.ts.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { codex, codexBySocket, done, wish, written, type Agent } from "./agents.ts";
import { openWorld, task, withHello, type World } from "./world.ts";

let world: World;

beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world?.[Symbol.asyncDispose]());

test.each<[string, Agent, boolean]>([
  ["HTTP", codex, false],
  ["a WebSocket", codexBySocket, true],
])("over %s alone its turns are one program's", async (_transport, agent, overSocket) => {
  const at = world.folder();
  withHello(at.work);
  const model = overSocket ? "codex-socket" : "codex-task";
  const before = { ...world.arrived };
  await world.serve(model, task(agent.steps(at.work), done));
  const ran = await agent.run(world, model, wish, at);
  expect(ran.code, `${ran.stdout}\n${ran.stderr}`).toBe(0);
  expect(readFileSync(join(at.work, "out.txt"), "utf8")).toBe(written);
  expect(world.arrived.sockets > before.sockets).toBe(overSocket);
  expect(world.arrived.posts - before.posts).toBe(overSocket ? 0 : 3);
  const calls = await world.callsOf(model);
  expect(calls).toHaveLength(3);
  for (const call of calls) expect(call).toMatchObject({ status: "completed", stream: true, endpoint: "responses" });
  expect(new Set(calls.map((call) => call["program"])).size).toBe(1);
});
