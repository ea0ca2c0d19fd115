// KV events over real ZeroMQ sockets: recorded frames of vLLM 0.32, gaps, restarts, replays, broken connections.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { PrefixIndex, tokenSpace, HashChain } from "../../scheduler/index.ts";
import type { KvEvent } from "../kv.ts";
import { limits } from "./limits.ts";
import { connectKvEvents } from "./sockets.ts";
import { KvStream } from "./stream.ts";
import { storedEvent, testPublisher, type TestPublisher } from "./testing.ts";
import { translate } from "./translate.ts";

const folder = new URL("./fixtures/kvEvents-0.32/", import.meta.url);
const recorded = (name: string) => readFileSync(new URL(`${name}.frame2.bin`, folder));

// No test waits for a silence within a replay, and a machine that stands still makes none.
const usual = limits.replaySilenceMs;
const changed = limits as { replaySilenceMs: number };
beforeAll(() => void (changed.replaySilenceMs = 60_000));
afterAll(() => void (changed.replaySilenceMs = usual));

/** A stream of everything that the publisher says, with as many events as a test asks for. */
function streamOf(first: TestPublisher) {
  let epochs = 0;
  let { address } = first;
  const stream = new KvStream({
    connect: (signal) => connectKvEvents(address, signal),
    newEpoch: () => `e${++epochs}`,
    translate: (event) => translate(event, { ownerOf: (salt) => salt }),
    pause: () => new Promise((resolve) => setImmediate(resolve)),
  });
  const stop = new AbortController();
  const reader = stream.read(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await reader.return();
  });
  const take = async (count: number): Promise<KvEvent[]> => {
    const events: KvEvent[] = [];
    while (events.length < count) {
      const { value, done } = await reader.next();
      if (done) break;
      events.push(value);
    }
    await first.subscribed;
    return events;
  };
  return { stream, take, moved: (to: TestPublisher) => (address = to.address) };
}

const brief = (events: KvEvent[]) => events.map(({ type, epoch, sequence }) => `${type} ${epoch} ${sequence}`);
const one = (token: number) => [storedEvent([token, token, token, token], 4)];

test("recorded frames: what the engine held before is replayed, what happens next follows without a gap", async () => {
  await using publisher = await testPublisher();
  await publisher.publish(recorded("b32-BlockStored-1"));
  const { take } = streamOf(publisher);
  const events = await take(2);
  await publisher.publish(recorded("b32-BlockStored-2"));
  events.push(...(await take(1)));
  expect(brief(events)).toEqual(["cleared e1 0", "stored e1 1", "stored e1 2"]);

  const index = new PrefixIndex();
  const space = tokenSpace("smol", 32);
  index.join(0, space.name, 32);
  for (const event of events) expect(index.apply(0, event)).toMatchObject({ outcome: "applied", unplaced: 0 });
  const tokens = events.flatMap((event) => event.tokens ?? []);
  index.match(new HashChain(space, "").update(Uint32Array.from(tokens)), 0);
  expect(index.confirmed.total[0]).toBe(8);

  await publisher.publish(recorded("b32-BlockRemoved-1"));
  await publisher.publish(recorded("b32-AllBlocksCleared-1"));
  const rest: KvEvent[] = [];
  while (rest.at(-1)?.type !== "cleared") rest.push(...(await take(1)));
  for (const event of rest) expect(index.apply(0, event)).toMatchObject({ outcome: "applied" });
  expect(rest.map((event) => event.type)).toContain("removed");
  expect(index.stats().held).toBe(0);
});

test("a message that was lost on the way is replayed in its place, in the same epoch", async () => {
  await using publisher = await testPublisher();
  const { take } = streamOf(publisher);
  expect(brief(await take(1))).toEqual(["cleared e1 0"]);
  await publisher.publish(one(1));
  await take(1);
  publisher.lose([...one(2), ...one(3)]);
  await publisher.publish(one(4));
  const events = await take(3);
  expect(brief(events)).toEqual(["stored e1 2", "stored e1 3", "stored e1 4"]);
  expect(events.map((event) => event.tokens![0])).toEqual([2, 3, 4]);
});

test("what a full pipe drops from a replay is asked for again", async () => {
  await using publisher = await testPublisher();
  for (let token = 0; token < 20; token++) publisher.lose(one(token));
  publisher.dropOnce(5, 6);
  const { take } = streamOf(publisher);
  const events = (await take(21)).slice(1);
  await publisher.publish(one(20));
  events.push(...(await take(1)));
  expect(events.map((event) => event.tokens![0])).toEqual(Array.from({ length: 21 }, (_, token) => token));
  expect(new Set(events.map((event) => event.epoch))).toEqual(new Set(["e1"]));
  expect(publisher.asked).toEqual([0, 5]);
});

test("the end of a replay that was dropped is found missing at the next message", async () => {
  await using publisher = await testPublisher();
  for (const token of [1, 2]) publisher.lose(one(token));
  publisher.dropOnce(1);
  const { take } = streamOf(publisher);
  const events = await take(2);
  const rest = take(2);
  // Only once the first replay has ended can the stream miss what was dropped from it.
  await expect.poll(() => publisher.asked.length).toBe(1);
  await publisher.publish(one(3));
  events.push(...(await rest));
  expect(events.map((event) => event.tokens?.[0])).toEqual([undefined, 1, 2, 3]);
  expect(brief(events).at(-1)).toBe("stored e1 3");
});

test("a first message that was lost on the way is replayed too", async () => {
  await using publisher = await testPublisher();
  const { take } = streamOf(publisher);
  await take(1);
  const rest = take(3);
  // The replay of an empty ring has begun, so it does not bring what comes now.
  await expect.poll(() => publisher.asked.length).toBe(1);
  publisher.lose(one(1));
  await publisher.publish(one(2));
  const events = await rest;
  expect(brief(events)).toEqual(["cleared e2 0", "stored e2 1", "stored e2 2"]);
  expect(events.slice(1).map((event) => event.tokens![0])).toEqual([1, 2]);
});

test("a ring that no longer reaches back begins a new epoch with all that is left", async () => {
  await using publisher = await testPublisher({ ring: 3 });
  const { take } = streamOf(publisher);
  await take(1);
  await publisher.publish(one(0));
  await take(1);
  for (let token = 1; token < 6; token++) publisher.lose(one(token));
  await publisher.publish(one(6));
  const events = await take(4);
  expect(brief(events)).toEqual(["cleared e2 0", "stored e2 1", "stored e2 2", "stored e2 3"]);
  expect(events.slice(1).map((event) => event.tokens![0])).toEqual([4, 5, 6]);
});

test("an engine that counts from 0 again has restarted: a new epoch, whatever number it has come to", async () => {
  await using publisher = await testPublisher();
  const { take } = streamOf(publisher);
  await take(1);
  for (const token of [1, 2]) await publisher.publish(one(token));
  await take(2);
  publisher.restart();
  for (const token of [3, 4]) publisher.lose(one(token));
  // The number that was to come next; only the replay shows that what is before it is not what was seen.
  publisher.lose(one(5));
  await publisher.publish(one(6));
  const events = await take(5);
  expect(brief(events)[0]).toBe("cleared e2 0");
  expect(events.slice(1).map((event) => event.tokens![0])).toEqual([3, 4, 5, 6]);
});

test.each([
  ["the same engine: nothing is told twice", false, ["stored e1 3", "stored e1 4"], [3, 4]],
  ["another engine: a new epoch", true, ["cleared e2 0", "stored e2 1", "stored e2 2"], [undefined, 3, 4]],
])("a broken connection to %s", async (_name, restarted, expected, tokens) => {
  const first = await testPublisher();
  const { take, moved } = streamOf(first);
  await take(1);
  const before = [one(1), one(2)];
  for (const events of before) await first.publish(events);
  await take(2);
  await using second = await testPublisher();
  // Times start alike in both, so that what was published before has the same bytes.
  if (!restarted) for (const events of before) second.lose(events);
  second.lose(one(3));
  second.lose(one(4));
  moved(second);
  await first[Symbol.asyncDispose]();
  const events = await take(expected.length);
  expect(brief(events)).toEqual(expected);
  expect(events.map((event) => event.tokens?.[0])).toEqual(tokens);
});

test("without a replay every doubt begins a new epoch", async () => {
  await using publisher = await testPublisher({ ring: 0 });
  const { take } = streamOf(publisher);
  await take(1);
  await publisher.publish(one(1));
  await take(1);
  publisher.lose(one(2));
  await publisher.publish(one(3));
  expect(brief(await take(2))).toEqual(["cleared e2 0", "stored e2 1"]);
});

test("an engine that stays away: what was known of it is taken back", async () => {
  const publisher = await testPublisher();
  const { take } = streamOf(publisher);
  await take(1);
  await publisher.publish(one(1));
  await take(1);
  await publisher[Symbol.asyncDispose]();
  expect(brief(await take(1))).toEqual(["cleared e2 0"]);
});

test("a message that cannot be read costs what was known, and the stream goes on", async () => {
  await using publisher = await testPublisher();
  const { take } = streamOf(publisher);
  await take(1);
  await publisher.publish(one(1));
  await publisher.publish(Uint8Array.of(0xc1));
  await publisher.publish(one(2));
  expect(brief(await take(3))).toEqual(["stored e1 1", "cleared e2 0", "stored e2 1"]);
});

test("SGLang's array form, and replies without a topic, are read as well", async () => {
  await using publisher = await testPublisher({ topic: "", bareReplies: true });
  publisher.lose([["BlockStored", [1n], null, [1, 2, 3, 4], 4, null, "GPU"]]);
  const { take } = streamOf(publisher);
  await take(2);
  await publisher.publish([["BlockRemoved", [1n], "GPU"], ["AllBlocksCleared"]]);
  expect(brief(await take(2))).toEqual(["removed e1 2", "cleared e1 3"]);
});

test("told to read again, it begins a new epoch with everything there is", async () => {
  await using publisher = await testPublisher();
  publisher.lose(one(1));
  const { stream, take } = streamOf(publisher);
  await take(2);
  stream.reread();
  expect(brief(await take(2))).toEqual(["cleared e2 0", "stored e2 1"]);
});

test("a reader who has had a whole message may go on after it; one who stopped within may not", async () => {
  await using publisher = await testPublisher();
  publisher.lose([...one(1), ...one(2)]);
  publisher.lose(one(3));
  const { stream, take } = streamOf(publisher);
  await take(2);
  expect(stream.continues({ epoch: "e1", sequence: 2 })).toBe(false);
  await take(1);
  expect(stream.continues({ epoch: "e1", sequence: 3 })).toBe(true);
  expect(stream.continues({ epoch: "e1", sequence: 2 })).toBe(false);
  expect(stream.continues({ epoch: "e0", sequence: 3 })).toBe(false);
});
