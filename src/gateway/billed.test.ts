// What is billed, by how an attempt ends (DESIGN section 4, "What is billed"): one row for each way. The engine is scripted, the money in
// memory. A prompt of `hi` is held for 546 tokens; prices are 3 nano a token of prompt and 7 of output.
import { describe, expect, test } from "vitest";
import { limits as egressLimits } from "../egress/limits.ts";
import type { Script } from "../engines/testing.ts";
import { card, memoryGateway, type MemoryGateway } from "./testing/memoryGateway.ts";

const held = 546;
const prompt = 3n;
const output = 7n;
const words = (count: number) => Array.from({ length: count }, () => "word");
const never = new Promise<void>(() => {});

interface Way {
  name: string;
  stream: boolean;
  /** What the engine says that it is: SGLang stops and counts, others are not known to. */
  owner?: "sglang" | "someone";
  script: Script;
  /** The client goes after so many characters; 0: before anything came. */
  goneAfter?: number;
  /** How the call ends for its client. */
  failed?: object;
  billed: bigint;
  suspense?: bigint;
  /** Of the last attempt. */
  record: { status: string; output_tokens?: number; source?: string };
  attempts?: number;
}

const answered: Script = { chunks: words(8), chunkTokens: 1, usage: { prompt: 10, output: 8 } };
const both = [true, false];

const ways: Way[] = [
  ...both.flatMap((stream): Way[] => [
    {
      name: "an answer that ends by itself: prompt and output as the engine says",
      stream,
      script: answered,
      billed: 10n * prompt + 8n * output,
      record: { status: "completed", output_tokens: 8, source: "engine" },
    },
    {
      name: "an answer of an engine that is silent about usage: what is counted",
      stream,
      owner: "someone",
      script: { chunks: words(8), usage: null },
      billed: 8n * prompt + 8n * output,
      record: { status: "completed", output_tokens: 8, source: "counted" },
    },
    {
      name: "a refusal by the engine: nothing",
      stream,
      script: { fail: { status: 400 } },
      failed: { status: 400 },
      billed: 0n,
      record: { status: "refused", output_tokens: 0 },
    },
    {
      name: "an error status, tried once: nothing",
      stream,
      script: { fail: { status: 500 } },
      failed: { code: "engine_failed" },
      billed: 0n,
      record: { status: "failed", output_tokens: 0 },
    },
    {
      name: "a connection that breaks before an answer, twice: nothing",
      stream,
      script: { cut: "before" },
      failed: { code: "engine_unreachable" },
      billed: 0n,
      record: { status: "failed", output_tokens: 0 },
      attempts: 2,
    },
    {
      name: "garbage instead of an answer: nothing was received but the prompt's acceptance",
      stream,
      owner: "someone",
      script: { raw: { body: "<html>", contentType: stream ? "text/event-stream" : "text/html" } },
      failed: { status: 502 },
      // A stream of no events breaks off before it says anything; a whole answer of garbage is an answer, whose prompt is counted.
      billed: stream ? 0n : 8n * prompt + 0n,
      record: { status: "failed", output_tokens: 0 },
    },
    {
      name: "a lie about output: the hold, and the rest in suspense",
      stream,
      owner: "someone",
      script: { ...answered, usage: { prompt: 10, output: 100_000 } },
      billed: 10n * prompt + 4096n * output,
      suspense: (100_000n - 4096n) * output,
      record: { status: "completed", output_tokens: 4096, source: "engine" },
    },
    {
      name: "a client that goes before headers: the prompt, as an estimate",
      stream,
      script: { wait: never },
      goneAfter: 0,
      failed: { code: "client_gone" },
      billed: BigInt(held) * prompt,
      record: { status: "cancelled", output_tokens: 0, source: "estimated" },
    },
  ]),
  {
    name: "a stream that breaks off: prompt, and output that was received",
    stream: true,
    script: { ...answered, cut: 5 },
    failed: { code: expect.stringMatching(/^engine_(stream_cut|unreachable)$/) },
    billed: 10n * prompt + 5n * output,
    record: { status: "failed", output_tokens: 5, source: "engine" },
  },
  {
    name: "a stream that breaks off at an engine that does not count: prompt and output as counted here",
    stream: true,
    owner: "someone",
    script: { ...answered, cut: 5 },
    failed: { code: expect.stringMatching(/^engine_(stream_cut|unreachable)$/) },
    billed: 8n * prompt + 5n * output,
    record: { status: "failed", output_tokens: 5, source: "counted" },
  },
  {
    name: "a client that goes in the middle of a stream: prompt, and output that was received",
    stream: true,
    script: { ...answered, wait: never, waitAfter: 5 },
    goneAfter: 20,
    failed: { code: "client_gone" },
    billed: 10n * prompt + 5n * output,
    record: { status: "cancelled", output_tokens: 5, source: "engine" },
  },
  {
    name: "a whole answer that breaks off at an engine that streams it, twice: nothing, since its client has none of it",
    stream: false,
    script: { ...answered, cut: 5 },
    failed: { code: expect.stringMatching(/^engine_(stream_cut|unreachable)$/) },
    billed: 0n,
    record: { status: "failed", output_tokens: 0 },
    attempts: 2,
  },
];

async function endOf(at: MemoryGateway, way: Way): Promise<unknown> {
  const gone = new AbortController();
  const asked = at.request({ stream: way.stream }, { signal: gone.signal });
  const ended = (async () => {
    const answer = await at.gateway.call(asked);
    if (!way.stream) return answer.whole();
    let characters = 0;
    for await (const { deltas } of answer.chunks) {
      for (const { text = "" } of deltas) characters += text.length;
      if (way.goneAfter !== undefined && characters >= way.goneAfter) gone.abort();
    }
    return undefined;
  })();
  ended.catch(() => {});
  if (way.goneAfter === 0) {
    while (at.engine.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    gone.abort();
  }
  return ended;
}

describe("what is billed", () => {
  test.each(ways)("stream $stream, $name", async (way) => {
    await using at = await memoryGateway({ script: way.script, owner: way.owner ?? "sglang" });
    const ended = endOf(at, way);
    if (way.failed) await expect(ended).rejects.toMatchObject(way.failed);
    else await ended;
    const { settlements, calls } = at.ledger;
    expect(settlements).toHaveLength(way.attempts ?? 1);
    // Every bill has its record, and both say the same.
    for (const { attempt, amountNano, row } of settlements)
      expect(row).toMatchObject({ id: attempt, price_nano: amountNano.toString() });
    const last = settlements.at(-1)!;
    expect(last).toMatchObject({ amountNano: way.billed, suspenseNano: way.suspense ?? 0n });
    if (way.record.source !== undefined) expect(last.usageSource).toBe(way.record.source);
    expect(last.row).toMatchObject({ status: way.record.status, output_tokens: way.record.output_tokens });
    expect(calls).toMatchObject([
      { price_nano: at.ledger.spentNano.toString(), output_tokens: way.record.output_tokens },
    ]);
    expect(at.ledger.held.size).toBe(0);
    // What was billed is never more than was held for it.
    expect(way.billed).toBeLessThanOrEqual(BigInt(held) * prompt + 4096n * output);
  });

  test.each(both)(
    "no headers before a timeout: nothing, and the prompt's price in suspense (stream: %s)",
    async (stream) => {
      const usual = egressLimits.firstByteMs;
      await using at = await memoryGateway({ script: { wait: never } });
      (egressLimits as { firstByteMs: number }).firstByteMs = 50;
      try {
        await expect(at.gateway.call(at.request({ stream }))).rejects.toMatchObject({ code: "engine_timeout" });
      } finally {
        (egressLimits as { firstByteMs: number }).firstByteMs = usual;
      }
      expect(at.ledger.settlements).toMatchObject([
        { amountNano: 0n, suspenseNano: BigInt(held) * prompt, usageSource: "estimated", row: { status: "failed" } },
      ]);
      // The suspense has its own alarm-free line in the bill; nothing lied.
      expect(at.alarms).toEqual([]);
    },
  );

  test("a retry is an attempt of its own: each is held, settled and recorded", async () => {
    await using at = await memoryGateway({ script: answered });
    at.engine.next({ cut: "before" });
    await (await at.gateway.call(at.request())).whole();
    expect(
      at.ledger.settlements.map(({ amountNano, row }) => [amountNano, (row as { status: string }).status]),
    ).toEqual([
      [0n, "failed"],
      [10n * prompt + 8n * output, "completed"],
    ]);
  });

  test("a call whose settlement could not be written has no record, and no further attempt: the next start writes both", async () => {
    await using at = await memoryGateway({ script: answered });
    const settle = at.ledger.settle.bind(at.ledger);
    at.ledger.settle = () => {
      throw new Error("EIO: i/o error, write");
    };
    await (await at.gateway.call(at.request())).whole();
    at.engine.next({ cut: "before" });
    await expect(at.gateway.call(at.request())).rejects.toMatchObject({ code: "engine_unreachable" });
    expect(at.ledger.calls).toEqual([]);
    expect(at.ledger.held.size).toBe(2);
    expect(at.alarms.filter((code) => code === "settlement_unwritten")).toHaveLength(2);
    at.ledger.settle = settle;
    await (await at.gateway.call(at.request())).whole();
    expect(at.ledger.calls).toHaveLength(1);
  });

  test("an attempt that is never sent costs nothing and has no row", async () => {
    await using at = await memoryGateway({ script: answered });
    at.engines.remove("scripted");
    await expect(at.gateway.call(at.request())).rejects.toMatchObject({ code: "model_not_found" });
    expect(at.ledger.settlements).toEqual([]);
    expect(at.ledger.calls).toMatchObject([{ status: "refused", price_nano: "0" }]);
  });

  test("the mark that an attempt is sent is there before the engine hears of it, and not before its turn", async () => {
    await using at = await memoryGateway({ script: { wait: never } });
    const gone = new AbortController();
    const call = at.gateway.call(at.request({}, { signal: gone.signal }));
    call.catch(() => {});
    while (at.engine.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect([...at.ledger.held.values()]).toMatchObject([{ sentTo: "scripted" }]);
    gone.abort();
    await expect(call).rejects.toMatchObject({ code: "client_gone" });
  });
});

test("prices of this table are whole nanos per token", () => {
  expect(card).toMatchObject({ inputNanoPerMillion: 1_000_000n * prompt, outputNanoPerMillion: 1_000_000n * output });
});
