import { expect, test } from "vitest";
import { limits } from "./limits.ts";
import { Pulse } from "./pulse.ts";

/** A pulse whose time is given by the test, over a server that answers when the test says so. */
function scene() {
  const changes: boolean[] = [];
  const asked: PromiseWithResolvers<void>[] = [];
  const pulse = new Pulse({
    ask() {
      const question = Promise.withResolvers<void>();
      asked.push(question);
      return question.promise;
    },
    onChange: (silent) => void changes.push(silent),
  });
  const pass = (ms: number) => {
    for (let passed = 0; passed < ms; passed += limits.tickMs) pulse.tick(limits.tickMs);
  };
  return { pulse, changes, asked, pass };
}

test("a server that answers nothing while something waits is silent after 1.5 s, and is asked before that", () => {
  const { pulse, changes, asked, pass } = scene();
  pulse.enter();
  pass(limits.askAfterMs);
  expect(asked).toHaveLength(1);
  pass(limits.silentMs - limits.askAfterMs - limits.tickMs);
  expect(changes).toEqual([]);
  pass(limits.tickMs);
  expect(changes).toEqual([true]);
  pulse.close();
});

test("work that takes long is not silence: the server answers the question", async () => {
  const { pulse, changes, asked, pass } = scene();
  pulse.enter();
  for (let second = 0; second < 60; second++) {
    pass(1_000);
    asked.at(-1)!.resolve();
    await Promise.resolve();
    await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(changes).toEqual([]);
  pulse.close();
});

test("time that our own event loop was held is not the server's silence", () => {
  const { pulse, changes } = scene();
  pulse.enter();
  pulse.tick(60_000);
  expect([pulse.silent, changes]).toEqual([false, []]);
  pulse.close();
});

test("while it is silent it is asked on, although nothing waits any more, and one answer ends the silence", async () => {
  const { pulse, changes, asked, pass } = scene();
  pulse.enter();
  pass(limits.silentMs);
  pulse.leave();
  for (const question of asked) question.reject(new Error("no answer"));
  await new Promise((resolve) => setImmediate(resolve));
  pass(limits.tickMs);
  expect(asked).toHaveLength(2);
  asked[1]!.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  expect(changes).toEqual([true, false]);
  pulse.close();
});
