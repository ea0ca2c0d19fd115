import { afterAll, expect, test } from "vitest";
import { Sandbox, SandboxBusyError, VerifierError } from "./sandbox.ts";
import "../../../test/setup/costly.ts";

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

test("verdicts that wait when the sandbox is closed are asked for again, and fail no run", async () => {
  const closing = new Sandbox();
  const waiting = closing.verify("export default () => ({ verdict: 'passed' })", {}, "org");
  const failure = expect(waiting).rejects.toBeInstanceOf(SandboxBusyError);
  await closing.close();
  await failure;
});

const fine = "export default () => ({ verdict: 'passed' })";
const loop = "export default () => Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)";

test.each([
  ["that has no thread to give", { file: new URL("data:text/javascript,process.exit(0)") }, fine],
  ["that cannot read the thread's code", { file: new URL("./none.ts", import.meta.url) }, fine],
  ["that is too slow for any verdict", { wallMs: 100 }, loop],
])("a machine %s is no fault of the verifier", async (_what, options, source) => {
  const sandbox = new Sandbox(options);
  const failure = await sandbox.verify(source, {}, "org").catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(SandboxBusyError);
  expect(failure).not.toBeInstanceOf(VerifierError);
  await sandbox.close();
});

test("a thread that has no memory for the next verdict ends, and the verdicts after it are given", async () => {
  // The second instance of WebAssembly fails once a verdict waits for it.
  const code = `
    import { parentPort } from "node:worker_threads";
    const real = WebAssembly.instantiate;
    let made = 0;
    WebAssembly.instantiate = (...given) =>
      ++made === 2
        ? new Promise((_, reject) =>
            parentPort.once("message", () => reject(new RangeError("could not allocate memory"))),
          )
        : real(...given);
    await import(${JSON.stringify(new URL("./sandboxThread.ts", import.meta.url).href)});`;
  const sandbox = new Sandbox({ threads: 1, file: new URL(`data:text/javascript,${encodeURIComponent(code)}`) });
  expect((await sandbox.verify(fine, {}, "org")).verdict).toBe("passed");
  await expect(sandbox.verify(fine, {}, "org")).rejects.toBeInstanceOf(SandboxBusyError);
  expect((await sandbox.verify(fine, {}, "other")).verdict).toBe("passed");
  await sandbox.close();
});
