// Events are come to one by one, the same wherever bytes are cut and whenever they come, and an engine that sends much leaves the event loop its turns.
import fc from "fast-check";
import { expect, test } from "vitest";
import { later, type Taken } from "../../bounded/index.ts";
import type { ByteStream } from "../../egress/index.ts";
import { limits } from "../limits.ts";
import { ArrivingEvents } from "./events.ts";
import { runs } from "../../../test/setup/runs.ts";

/** A body that comes in these groups of pieces, one group each time it is asked after having had nothing. */
function bodyOf(groups: readonly Uint8Array[][]): ByteStream & { aborted: number } {
  const left = groups.filter((group) => group.length > 0);
  let waits = true;
  return {
    aborted: 0,
    take(wake: () => void): Taken<Uint8Array[]> {
      if (left.length === 0) return undefined;
      waits = !waits;
      if (waits) return left.shift();
      setImmediate(wake);
      return later;
    },
    now: () => undefined,
    abort() {
      this.aborted++;
    },
    [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error("not iterated")) }),
  };
}

type Event = { text: string; name: string | undefined; isComment: boolean };

async function readAll(
  groups: readonly Uint8Array[][],
  withComments: boolean,
): Promise<{ events: Event[]; waits: number }> {
  const arriving = new ArrivingEvents(bodyOf(groups), withComments);
  const events: Event[] = [];
  let waits = 0;
  for (;;) {
    const woken = Promise.withResolvers<void>();
    const came = arriving.next(woken.resolve);
    if (came === false) return { events, waits };
    if (came === later) {
      waits++;
      await woken.promise;
      continue;
    }
    const { text, isComment } = arriving;
    events.push({ text, name: isComment ? undefined : arriving.name, isComment });
  }
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

test("wherever the bytes are cut and whenever they come, the events are the same", async () => {
  const stream =
    ': 1\ndata: {"a":1}\n\nevent: x\ndata: :not a comment\n\n: 2\r\n: 3\r\ndata: \u00e9\u4e2d\r\n\r\ndata: [DONE]\n\n';
  const bytes = bytesOf(stream);
  const whole = (await readAll([[bytes]], true)).events;
  expect(whole).toEqual([
    { text: " 1", name: undefined, isComment: true },
    { text: '{"a":1}', name: undefined, isComment: false },
    { text: ":not a comment", name: "x", isComment: false },
    { text: " 2", name: undefined, isComment: true },
    { text: " 3", name: undefined, isComment: true },
    { text: "\u00e9\u4e2d", name: undefined, isComment: false },
    { text: "[DONE]", name: undefined, isComment: false },
  ]);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(bytes.length), { maxLength: 8 }),
      fc.array(fc.boolean()),
      async (cuts, together) => {
        const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
        const groups: Uint8Array[][] = [];
        for (let at = 1; at < places.length; at++) {
          const piece = bytes.slice(places[at - 1], places[at]);
          if (together[at] && groups.length > 0) groups.at(-1)!.push(piece);
          else groups.push([piece]);
        }
        expect((await readAll(groups, true)).events).toEqual(whole);
        expect((await readAll(groups, false)).events).toEqual(whole.filter(({ isComment }) => !isComment));
      },
    ),
    { numRuns: runs(200) },
  );
});

test("a comment that an event follows at once is told from one that stands alone", () => {
  const arriving = new ArrivingEvents(bodyOf([[], [bytesOf(": 1\ndata: a\n\n: 2\n: 3\n")]]), true);
  const alone: boolean[] = [];
  for (;;) {
    const came = arriving.next(() => {});
    if (came === false) break;
    if (came !== later && arriving.isComment) alone.push(arriving.isAlone);
  }
  expect(alone).toEqual([false, true, true]);
});

test("events that come at once leave the event loop its turns", async () => {
  const count = 4 * limits.eventsPerTurn;
  const { events, waits } = await readAll([[bytesOf("data: a\n\n".repeat(count))]], false);
  expect(events).toHaveLength(count);
  // One wait is for the bytes.
  expect(waits).toBe(1 + 4);
});

test("a piece is not read before the events of the one before it were come to", () => {
  const arriving = new ArrivingEvents(
    bodyOf([[], [bytesOf("data: good\n\n"), bytesOf(`data: ${"x".repeat(limits.eventBytes)}`)]]),
    false,
  );
  expect(arriving.next(() => {})).toBe(later);
  expect(arriving.next(() => {})).toBe(true);
  expect(arriving.text).toBe("good");
  expect(() => arriving.next(() => {})).toThrow(/longer than/);
});
