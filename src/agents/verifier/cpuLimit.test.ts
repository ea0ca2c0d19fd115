// A verifier that uses up the CPU time of one verdict, which the test spends.
import { expect, test } from "vitest";
import "../../../test/setup/costly.ts";
import { Sandbox } from "./sandbox.ts";

test("a verifier that loops in native code is ended alone: other verdicts are given meanwhile and after", async () => {
  const sandbox = new Sandbox({ cpuMs: 2_000 });
  const loop = "export default () => Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)";
  const fine = "export default () => ({ verdict: 'passed' })";
  let over = false;
  const looping = sandbox.verify(loop, {}, "mallory").finally(() => (over = true));
  looping.catch(() => {});
  for (let n = 0; n < 5; n++) expect((await sandbox.verify(fine, {}, "org")).verdict).toBe("passed");
  expect(over).toBe(false);
  await expect(looping).rejects.toThrow(/took more than 2 s of CPU time and was ended/);
  expect((await sandbox.verify(fine, {}, "org")).verdict).toBe("passed");
  await sandbox.close();
});
