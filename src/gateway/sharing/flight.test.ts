// An answer that several calls read: order, pace, who may join, and when it is stopped. No engine and no clock.
import { expect, test } from "vitest";
import { limits } from "../limits.ts";
import type { AnswerChunk, CallAnswer } from "../types.ts";
import { Flight } from "./flight.ts";

const chunk = (text: string): AnswerChunk => ({
  deltas: [{ index: 0, text }],
  wire: { shape: "chat", data: {}, text },
});

/** An engine's answer whose chunks are given by hand. */
function byHand() {
  const chunks: AnswerChunk[] = [];
  let wake = Promise.withResolvers<void>();
  let over = false;
  let taken = 0;
  const stream = async function* () {
    for (;;) {
      if (chunks.length > 0) {
        taken++;
        yield chunks.shift()!;
      } else if (over) return;
      else await wake.promise;
    }
  };
  const tell = () => {
    wake.resolve();
    wake = Promise.withResolvers<void>();
  };
  return {
    answer: { id: "call", chunks: stream() } as unknown as CallAnswer,
    give: (...texts: string[]) => (chunks.push(...texts.map(chunk)), tell()),
    end: () => ((over = true), tell()),
    taken: () => taken,
  };
}

const textOf = async (chunks: AsyncIterable<AnswerChunk>) => {
  let text = "";
  for await (const { deltas } of chunks) text += deltas[0]!.text!;
  return text;
};
const turns = async () => {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
};

test("all readers get every chunk in order, one that joins late too", async () => {
  const engine = byHand();
  const flight = new Flight(() => {});
  const first = textOf(flight.join(undefined).chunks);
  const run = flight.run(
    async () => engine.answer,
    true,
    () => {},
  );
  engine.give("a", "b");
  await turns();
  const second = textOf(flight.join(undefined).chunks);
  engine.give("c");
  engine.end();
  await run;
  expect(await Promise.all([first, second])).toEqual(["abc", "abc"]);
  expect(flight.isOpen).toBe(false);
});

test("the fastest reader paces the engine, and a reader that falls far behind is cut off", async () => {
  const engine = byHand();
  const flight = new Flight(() => {});
  const slow = flight.join(undefined).chunks;
  const fast = flight.join(undefined).chunks;
  void flight.run(
    async () => engine.answer,
    true,
    () => {},
  );
  const piece = "x".repeat(limits.sharedAheadBytes);
  const many = Math.ceil(limits.sharedBehindBytes / piece.length) + 4;
  engine.give(...Array.from({ length: many }, () => piece));
  await turns();
  // Without a reader the engine is not read either.
  expect(engine.taken()).toBeLessThan(5);
  for (let read = 0; read < many; read++) expect((await fast.next()).done).toBe(false);
  expect(flight.isOpen).toBe(false);
  await expect(slow.next()).rejects.toMatchObject({ code: "engine_stream_cut" });
  engine.end();
  expect((await fast.next()).done).toBe(true);
});

test("it goes on while anyone reads, and is stopped when the last reader has gone", async () => {
  const engine = byHand();
  let ended = 0;
  const flight = new Flight(() => ended++);
  const client = new AbortController();
  flight.join(client.signal);
  const second = flight.join(undefined);
  void flight.run(
    async () => engine.answer,
    true,
    () => {},
  );
  client.abort();
  expect([flight.signal.aborted, flight.isOpen]).toEqual([false, true]);
  second.leave();
  expect([flight.signal.aborted, flight.isOpen]).toEqual([true, false]);
  expect(ended).toBeGreaterThan(0);
  expect(flight.signal.reason).toMatchObject({ code: "client_gone" });
});

test("a failure reaches every reader where it happened", async () => {
  const engine = byHand();
  const flight = new Flight(() => {});
  const reads = [flight.join(undefined).chunks, flight.join(undefined).chunks];
  const broken = async function* () {
    yield chunk("a");
    throw new Error("It broke.");
  };
  await flight.run(
    async () => ({ ...engine.answer, chunks: broken() }),
    true,
    () => {},
  );
  for (const chunks of reads) {
    expect((await chunks.next()).value).toMatchObject({ deltas: [{ text: "a" }] });
    await expect(chunks.next()).rejects.toThrow("It broke.");
  }
});
