import { afterAll, expect, test } from "vitest";
import { Sandbox } from "./sandbox.ts";

const sandbox = new Sandbox();
afterAll(() => sandbox.close());

test("judges evidence by the verifier's default export", async () => {
  const source = `export default ({ a, b }) => ({ verdict: a === b ? "passed" : "failed", reason: a + " and " + b });`;
  expect(await sandbox.verify(source, { a: 1, b: 1 })).toEqual({ verdict: "passed", reason: "1 and 1" });
  expect(await sandbox.verify(source, { a: 1, b: 2 })).toEqual({ verdict: "failed", reason: "1 and 2" });
});

test.each([
  ["loops", "export default () => { for (;;); }", /more work than is allowed/],
  ["allocates", "export default () => { const a = []; for (;;) a.push({}); }", /memory/],
  ["recurses", "export default function f() { return f() + 1; }", /stack|call/i],
  ["throws", "export default () => { throw new Error('no such field'); }", /no such field/],
  ["answers something else", "export default () => 7", /must answer/],
  ["answers later", "export default async () => ({ verdict: 'passed' })", /must answer/],
  ["exports nothing", "const a = 1;", /must export a function/],
  ["is no JavaScript", "export default (", /./],
  ["asks the clock", "export default () => ({ verdict: Date.now() > 0 ? 'passed' : 'failed' })", /Date/],
  ["throws dice", "export default () => ({ verdict: Math.random() < 1 ? 'passed' : 'failed' })", /function/],
  ["reaches out", "export default () => ({ verdict: process.env ? 'passed' : 'failed' })", /process/],
  ["imports", "import fs from 'node:fs'; export default () => ({ verdict: 'passed' })", /./],
])("a verifier that %s is at fault", async (_what, source, message) => {
  await expect(sandbox.verify(source, {})).rejects.toThrow(message);
});

test("one verifier leaves nothing behind for the next", async () => {
  await sandbox.verify("globalThis.seen = 1; export default () => ({ verdict: 'passed' })", {});
  const source = "export default () => ({ verdict: typeof seen === 'undefined' ? 'passed' : 'failed' })";
  expect((await sandbox.verify(source, {})).verdict).toBe("passed");
});
