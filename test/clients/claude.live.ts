// Claude Code, unmodified, over Messages: what it reads beside the task of matrix.live.ts.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { claudeCode, done, wish, written } from "./agents.ts";
import { openWorld, task, withHello, type World } from "./world.ts";

let world: World;

beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world?.[Symbol.asyncDispose]());

test("it reads that its task is done, and no more tokens than were recorded", async () => {
  const at = world.folder();
  withHello(at.work);
  const model = "claude-task";
  await world.serve(model, task(claudeCode.steps(at.work), done));
  const ran = await claudeCode.run(world, model, wish, at);
  expect(ran.code, `${ran.stdout}\n${ran.stderr}`).toBe(0);
  expect(readFileSync(join(at.work, "out.txt"), "utf8")).toBe(written);
  const told = JSON.parse(ran.stdout) as Record<string, any>;
  expect(told).toMatchObject({ is_error: false, result: done });
  const used = (await world.callsOf(model)).reduce((sum, call) => sum + call["output_tokens"], 0);
  expect(told["usage"].output_tokens).toBeLessThanOrEqual(used);
});

test("a model that is not there is an error that says so, and is not tried for minutes", async () => {
  const ran = await claudeCode.run(world, "claude-nowhere", "Say hello.", world.folder());
  expect(ran.code).not.toBe(0);
  expect(ran.stdout).toContain("claude-nowhere");
});
