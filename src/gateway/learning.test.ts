// What the scheduler learns from an attempt that has ended: only from what its engine reports. The engine is scripted.
import { expect, test } from "vitest";
import type { Script } from "../engines/testing.ts";
import { memoryGateway } from "./testing/memoryGateway.ts";

const chunks = Array.from({ length: 20 }, () => "word");
const prompt = "a prompt of some blocks ".repeat(60);

/** The same prompt twice, streamed; answers what the scheduler knows afterwards, and what the calls were billed. */
async function afterTwo(usage: Script["usage"]) {
  await using at = await memoryGateway({ script: { chunks, usage: usage ?? null } });
  const before = at.gateway.scheduler().endpoints[0]!.spec.speed;
  for (let i = 0; i < 2; i++) {
    const call = at.request({ stream: true, messages: [{ role: "user", content: prompt }] });
    const answer = await at.gateway.call(call);
    for await (const _ of answer.chunks) {
      // Read to its end.
    }
    await answer.finished;
  }
  const { endpoints, truth } = at.gateway.scheduler();
  const { speed } = endpoints[0]!.spec;
  return {
    prefill: speed.prefillTokensPerSecond !== before.prefillTokensPerSecond,
    decode: speed.decodeTokensPerSecond !== before.decodeTokensPerSecond,
    compared: truth.calls,
    billed: at.ledger.settlements.map(({ amountNano }) => amountNano),
  };
}

test("an engine's usage teaches speeds and confirms predictions", async () => {
  const { prefill, decode, compared } = await afterTwo({ prompt: 400, cached: 0, output: 20 });
  expect([prefill, decode, compared]).toEqual([true, true, 2]);
});

test("where it leaves out cached tokens, its calls are billed as uncached and confirm no prediction", async () => {
  const silent = await afterTwo({ prompt: 400, cached: null, output: 20 });
  const told = await afterTwo({ prompt: 400, cached: 0, output: 20 });
  expect([silent.decode, silent.compared]).toEqual([true, 0]);
  expect(silent.billed).toEqual(told.billed);
});

test("what is only counted teaches no speed", async () => {
  const { prefill, decode, compared } = await afterTwo(null);
  expect([prefill, decode, compared]).toEqual([false, false, 0]);
});
