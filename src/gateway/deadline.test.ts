// A call's deadline at its engine: the first token comes by then, or the engine is stopped and the call refused. A machine that stands still
// may let a deadline pass before the call is sent, so each test gives more time until it was sent.
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Script } from "../engines/testing.ts";
import { memoryGateway, type MemoryGateway } from "./testing/memoryGateway.ts";

const never = new Promise<void>(() => {});

async function gatewayOf(script: Script, owner?: string): Promise<MemoryGateway> {
  const at = await memoryGateway({ script, ...(owner && { owner }) });
  onTestFinished(() => at[Symbol.asyncDispose]());
  return at;
}

/** Calls with a deadline, and with a longer one where that passed before the engine heard of the call. */
async function sent(at: MemoryGateway, body: Record<string, unknown>) {
  for (let deadlineMs = 200; ; deadlineMs *= 2) {
    const before = at.engine.seen.length;
    const answer = await at.gateway.call(at.request(body, { deadlineMs })).catch((error: unknown) => error as any);
    if (at.engine.seen.length > before) return { deadlineMs, answer };
    expect(answer).toMatchObject({ code: "deadline_unreachable" });
  }
}

describe.each([false, true])("a call (stream: %s)", (stream) => {
  test("whose engine has sent no token by its deadline is refused, and the engine stops", async () => {
    const at = await gatewayOf({ wait: never });
    const { deadlineMs, answer } = await sent(at, { stream });
    expect(answer).toMatchObject({ code: "deadline_unreachable", status: 429, retryAfterSeconds: 1 });
    expect(answer.message).toContain(`${deadlineMs} ms`);
    await at.engine.seen.at(-1)!.gone;
    expect(at.ledger.calls.at(-1)).toMatchObject({ status: "failed", error_code: "deadline_unreachable" });
    // As of a client that goes before the answer (billed.test.ts): the prompt as it was held, 546 tokens of 3 nano.
    expect(at.ledger.settlements.at(-1)!.row).toMatchObject({ status: "cancelled", price_nano: `${546 * 3}` });
    expect(at.ledger.heldNano).toBe(0n);
    // The engine is not to blame: it takes the next call.
    at.engine.usual = {};
    const next = await at.gateway.call(at.request({ stream: false }));
    expect((await next.whole()).deltas[0]?.text).toBe("Hello, world.");
  });

  test("whose first token came in time is answered to its end, however long that takes", async () => {
    const rest = Promise.withResolvers<void>();
    const at = await gatewayOf({ chunks: ["one ", "two"], wait: rest.promise, waitAfter: 1 });
    let deadlineMs = 200;
    let text: string | undefined;
    for (; text === undefined; deadlineMs *= 2) {
      const passed = sleep(2 * deadlineMs).then(rest.resolve);
      text = await at.gateway.call(at.request({ stream }, { deadlineMs })).then(textOf, () => undefined);
      await passed;
    }
    expect(text).toBe("one two");
  });
});

test.each([400, 429])(
  "a refusal (%i) of an engine that has the same code is the engine's own, and costs nothing",
  async (status) => {
    const at = await gatewayOf({
      fail: { status, body: { error: { code: "deadline_unreachable", message: "late" } } },
    });
    await expect(at.gateway.call(at.request({}))).rejects.toMatchObject({ status });
    const [row] = at.ledger.settlements.map((one) => one.row as any);
    expect([row.status, row.price_nano]).toEqual([status === 400 ? "refused" : "failed", "0"]);
  },
);

test("an engine that is not known to stop is waited for: its answer is paid for in any case", async () => {
  const held = Promise.withResolvers<void>();
  const at = await gatewayOf({ wait: held.promise }, "someone");
  expect(at.engines.get("scripted")!.facts!.capabilities.stops).not.toBe(true);
  const calling = sent(at, { stream: true });
  await expect.poll(() => at.engine.seen.length).toBeGreaterThan(0);
  await sleep(500);
  held.resolve();
  expect(await textOf((await calling).answer)).toBe("Hello, world.");
});

async function textOf(answer: Awaited<ReturnType<MemoryGateway["gateway"]["call"]>>): Promise<string> {
  let text = "";
  for await (const { deltas } of answer.chunks) text += deltas[0]?.text ?? "";
  return text || ((await answer.whole()).deltas[0]?.text ?? "");
}
