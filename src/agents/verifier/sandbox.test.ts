import { afterAll, expect, test } from "vitest";
import { Sandbox, SandboxBusyError } from "./sandbox.ts";

const sandbox = new Sandbox();
afterAll(() => sandbox.close());

test("judges evidence by the verifier's default export", async () => {
  const source = `export default ({ a, b }) => ({ verdict: a === b ? "passed" : "failed", reason: a + " and " + b });`;
  expect(await sandbox.verify(source, { a: 1, b: 1 }, "org")).toEqual({ verdict: "passed", reason: "1 and 1" });
  expect(await sandbox.verify(source, { a: 1, b: 2 }, "org")).toEqual({ verdict: "failed", reason: "1 and 2" });
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
  await expect(sandbox.verify(source, {}, "org")).rejects.toThrow(message);
});

test("one verifier leaves nothing behind for the next", async () => {
  await sandbox.verify("globalThis.seen = 1; export default () => ({ verdict: 'passed' })", {}, "org");
  const source = "export default () => ({ verdict: typeof seen === 'undefined' ? 'passed' : 'failed' })";
  expect((await sandbox.verify(source, {}, "org")).verdict).toBe("passed");
});

test("a verifier that loops in native code is ended alone: other verdicts are given meanwhile and after", async () => {
  const sandbox = new Sandbox({ cpuMs: 2_000 });
  const loop = "export default () => Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)";
  const fine = "export default () => ({ verdict: 'passed' })";
  let over = false;
  const looping = sandbox.verify(loop, {}, "mallory").finally(() => (over = true));
  looping.catch(() => {});
  for (let n = 0; n < 5; n++) expect((await sandbox.verify(fine, {}, "org")).verdict).toBe("passed");
  expect(over).toBe(false);
  await expect(looping).rejects.toThrow(/took more than 2 s and was ended/);
  expect((await sandbox.verify(fine, {}, "org")).verdict).toBe("passed");
  await sandbox.close();
});

test("verdicts that wait when the sandbox is closed are asked for again, and fail no run", async () => {
  const closing = new Sandbox();
  const waiting = closing.verify("export default () => ({ verdict: 'passed' })", {}, "org");
  const failure = expect(waiting).rejects.toBeInstanceOf(SandboxBusyError);
  await closing.close();
  await failure;
});
