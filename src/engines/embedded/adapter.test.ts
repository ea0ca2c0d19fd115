// The adapter against a real worker process with the real small model: the whole seam, nothing scripted.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { KvEvent } from "../kv.ts";
import { limits } from "../limits.ts";
import type { EngineAnswer } from "../types.ts";
import { createEmbeddedEngine } from "./adapter.ts";
import type { EmbeddedEngine } from "./adapter.ts";
import { startTestWorker } from "./testing.ts";
import type { TestWorker } from "./testing.ts";

let worker: TestWorker;
let engine: EmbeddedEngine;
let attempts = 0;

// A worker whose machine is busy says later what a call has used that was stopped.
(limits as { drainMs: number }).drainMs = 120_000;

beforeAll(async () => {
  worker = await startTestWorker({ slots: 2, contextTokens: 1024 });
  engine = createEmbeddedEngine({ url: worker.url, token: worker.headers["authorization"]!.slice("Bearer ".length) });
});
afterAll(async () => {
  await engine.close();
  await worker.stop();
});

const hints = (more: object = {}) => ({
  attempt: `att_${++attempts}`,
  cacheSalt: "org_1",
  project: "prj_1",
  ...more,
});
const long = "Every wheel in the mill was driven by one shaft. ".repeat(12);
const question = (content = "Say hello.") => ({
  model: "small",
  messages: [{ role: "user", content }],
  temperature: 0,
});

async function readAll(answer: EngineAnswer) {
  let text = "";
  const keys = new Set<string>();
  for await (const { deltas, wire } of answer.chunks) {
    const { data, text: json } = wire;
    for (const key of Object.keys(data)) keys.add(key);
    if (json !== undefined) expect(JSON.parse(json)).toEqual(data);
    text += deltas[0]?.text ?? "";
  }
  return { text, keys };
}

test("probe tells what the worker told", async () => {
  const facts = await engine.probe();
  expect(facts).toMatchObject({
    models: ["small"],
    contextTokens: 1024,
    blockTokens: 64,
    slots: 2,
    epoch: worker.epoch,
  });
  expect(facts.capabilities).toMatchObject({ tokenize: true, takesTokens: true, kvEvents: true, clipsOutput: true });
});

test("tokens are counted before the call as the engine counts them in it", async () => {
  const counted = (await engine.tokenize("chat", question(), "org"))?.count;
  const answer = await engine.open({ shape: "chat", body: { ...question(), max_tokens: 4 }, hints: hints() });
  const { wire } = await answer.whole();
  expect(wire.data["lineshaft"]).toBeUndefined();
  expect(answer.usage()).toMatchObject({ promptTokens: counted, source: "engine" });
});

test("a stream: text, usage by tier, timings, and nothing of the platform inside", async () => {
  const body = { ...question(long), max_tokens: 8, stream: true };
  const first = await engine.open({ shape: "chat", body, hints: hints({ program: "run_1" }) });
  const { text, keys } = await readAll(first);
  expect(text.length).toBeGreaterThan(0);
  expect(keys.has("lineshaft")).toBe(false);
  expect(first.timings().prefillMs).toBeGreaterThan(0);
  const again = await engine.open({ shape: "chat", body, hints: hints({ program: "run_1" }) });
  // The texts may differ: a prompt computed in different batches can differ in its last bits.
  expect((await readAll(again)).text.length).toBeGreaterThan(0);
  const usage = again.usage()!;
  expect(usage.cachedTokens).toBeGreaterThan(64);
  expect(usage.cachedByTier!.device! + usage.cachedByTier!.disk!).toBe(usage.cachedTokens);
});

test("another cacheSalt never shares the prefix", async () => {
  const body = { ...question(long), max_tokens: 2 };
  const other = await engine.open({ shape: "chat", body, hints: hints({ cacheSalt: "org_2" }) });
  await other.whole();
  expect(other.usage()!.cachedTokens).toBe(0);
});

describe("cancelling", () => {
  test("in the middle of a stream: the engine stops and says what was used", async () => {
    const body = { ...question("Tell a very long story."), max_tokens: 500, stream: true };
    const answer = await engine.open({ shape: "chat", body, hints: hints() });
    const iterator = answer.chunks[Symbol.asyncIterator]();
    for (let chunk = 0; chunk < 4; chunk++) await iterator.next();
    const usage = await answer.cancel();
    expect(usage).toMatchObject({ source: "engine" });
    expect(usage!.outputTokens).toBeLessThan(500);
    expect((await engine.status()).running).toBe(0);
  });

  test("before the answer has begun: the signal tells the engine, and usage still comes", async () => {
    const aborts = async () => (await engine.status()).totals.aborts;
    const before = await aborts();
    // A call that ends before its signal has come is made again.
    while ((await aborts()) === before) {
      const gone = new AbortController();
      const body = { ...question(long + "And now?"), max_tokens: 500 };
      const opening = engine.open({ shape: "chat", body, hints: hints() }, gone.signal);
      const isOver = () => true;
      const over = opening.then(isOver, isOver);
      while ((await engine.status()).running === 0 && !(await Promise.race([over, false])));
      gone.abort();
      const answer = await opening;
      await answer.cancel();
      expect(answer.usage()).toMatchObject({ source: "engine" });
    }
    expect(await aborts()).toBe(before + 1);
  });
});

test("a prompt longer than the context is refused with both numbers", async () => {
  const opening = engine.open({
    shape: "chat",
    body: { ...question(long.repeat(12)), max_tokens: 4 },
    hints: hints(),
  });
  await expect(opening).rejects.toMatchObject({
    status: 400,
    retryable: false,
    message: expect.stringMatching(/1,?024/),
  });
});

test("facts are answered with receipts", async () => {
  const receipts = await engine.kv.tell([
    { type: "tool_started", program: "run_1", tool: "search" },
    { type: "run_ended", program: "run_1" },
  ]);
  expect(receipts.map(({ fact, program }) => [fact, program])).toEqual([
    ["tool_started", "run_1"],
    ["run_ended", "run_1"],
  ]);
  expect(await engine.kv.tell([])).toEqual([]);
});

test("KV events come in order, and go on where they were left", async () => {
  const collect = async (
    since: { epoch: string; sequence: number } | undefined,
    enough: (events: KvEvent[]) => boolean,
  ) => {
    const stop = new AbortController();
    const events: KvEvent[] = [];
    for await (const event of engine.kv.watch(since, stop.signal)) {
      events.push(event);
      if (enough(events)) stop.abort();
    }
    return events;
  };
  const all = await collect({ epoch: worker.epoch, sequence: 0 }, (events) =>
    events.some((event) => event.type === "stored"),
  );
  expect(all.map((event) => event.sequence)).toEqual(all.map((_, place) => all[0]!.sequence + place));
  const from = { epoch: worker.epoch, sequence: all[0]!.sequence + 1 };
  const [next] = await collect(from, (events) => events.length === 1);
  expect(next).toMatchObject(from);
});

test("a project's tokens are erased with it", async () => {
  await engine.kv.eraseProject("prj_1");
  const { sequences, disk } = await engine.status();
  expect(sequences.reduce((sum, sequence) => sum + sequence.tokens, 0)).toBe(0);
  expect(disk.files).toBe(0);
});

test("a wrong token is the adapter's fault, and says so", async () => {
  const stranger = createEmbeddedEngine({ url: worker.url, token: "not-the-token-of-this-start" });
  await expect(stranger.probe()).rejects.toMatchObject({ code: "engine_auth_failed" });
});
