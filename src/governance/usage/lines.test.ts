// Many calls on many limits in one process, seeded so that a failure can be run again: each call is looked at only when it is woken.
import { expect, test } from "vitest";
import { inOrder, Lines, type Waiter } from "./lines.ts";
import { Share, type Part } from "./share.ts";
import { windows, type UsageLimit } from "./types.ts";

/** mulberry32: small, seeded, good enough to choose what happens. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Call {
  name: string;
  parts: Part[];
  /** Undefined once it runs. */
  waiter: Waiter | undefined;
}

/** One process whose shares are the whole limits. */
class Process {
  readonly lines = new Lines();
  readonly waiting = new Set<Call>();
  readonly running = new Set<Call>();
  readonly #limits: { limit: UsageLimit; share: Share }[];
  /** Calls that were woken and not looked at yet. */
  #woken: Call[] = [];

  constructor(amounts: readonly number[]) {
    this.#limits = amounts.map((amount, place) => {
      const number = place + 1;
      const scope = { kind: "key", id: `key_${number}`, model: undefined } as const;
      const limit: UsageLimit = {
        id: `lim_${number}`,
        number,
        organisation: "o",
        scope,
        dimension: "bytes_in_flight",
        amount,
      };
      const share = new Share(number, amount, windows.bytes_in_flight);
      share.units = amount;
      return { limit, share };
    });
  }

  /** A call of these amounts, by the place of the limit. */
  begin(name: string, needs: Record<number, number>): Call {
    const parts = Object.entries(needs).map(([place, amount]): Part => ({
      ...this.#limits[Number(place)]!,
      amount,
      slot: 0,
    }));
    const call: Call = { name, parts: parts.toSorted(inOrder), waiter: undefined };
    if (parts.every((part) => this.lines.fits(part))) {
      for (const { share, amount } of parts) share.take(amount);
      this.running.add(call);
      return call;
    }
    call.waiter = this.lines.enter("o", () => this.#woken.push(call));
    this.waiting.add(call);
    this.#woken.push(call);
    return call;
  }

  end(call: Call): void {
    this.running.delete(call);
    this.#giveBack(call.parts);
  }

  /** Its client has gone. */
  giveUp(call: Call): void {
    this.waiting.delete(call);
    this.lines.leave(call.waiter!);
    this.#giveBack(call.waiter!.kept);
    call.waiter = undefined;
  }

  /** Looks at the calls that were woken, in any order, until none is left. */
  settle(random: () => number): void {
    for (let looks = 0; this.#woken.length > 0; looks++) {
      if (looks > 100_000) throw new Error("calls wake each other for ever");
      const [call] = this.#woken.splice(Math.floor(random() * this.#woken.length), 1) as [Call];
      const { waiter, parts } = call;
      if (!waiter || this.lines.look(waiter, parts)) continue;
      for (const part of parts) if (!waiter.kept.includes(part)) part.share.take(part.amount);
      this.waiting.delete(call);
      this.running.add(call);
      this.lines.leave(waiter);
      call.waiter = undefined;
    }
  }

  /** Calls whose limits all have room, and none of which an earlier call waits for. */
  idle(): string[] {
    return [...this.waiting]
      .filter(({ waiter, parts }) =>
        parts.every(
          (part) =>
            waiter!.kept.includes(part) ||
            (part.share.fits(part.amount) &&
              ![...this.waiting].some(
                (other) => other.waiter!.line === part.share.number && other.waiter!.ticket < waiter!.ticket,
              )),
        ),
      )
      .map(({ name }) => name);
  }

  passed(): number[] {
    return this.#limits.filter(({ share, limit }) => share.used > limit.amount).map(({ limit }) => limit.number);
  }

  used(): number {
    return this.#limits.reduce((sum, { share }) => sum + share.used, 0);
  }

  #giveBack(parts: readonly Part[]): void {
    for (const { share, amount, slot } of parts) {
      share.giveBack(amount, slot);
      this.lines.wake(share.number);
    }
  }
}

test("no limit is passed, no call waits for room that is there, and every call gets its turn", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seeded(seed);
    const below = (most: number) => Math.floor(random() * most);
    const amounts = Array.from({ length: 1 + below(6) }, () => 1 + below(8));
    const process = new Process(amounts);
    for (let step = 0; step < 200; step++) {
      const what = random();
      if (what < 0.5) {
        const needs: Record<number, number> = {};
        for (let count = 1 + below(4); count > 0; count--) {
          const place = below(amounts.length);
          needs[place] = 1 + below(amounts[place]!);
        }
        process.begin(`${step}`, needs);
      } else if (what < 0.9 && process.running.size > 0) {
        process.end([...process.running][below(process.running.size)]!);
      } else if (process.waiting.size > 0) {
        process.giveUp([...process.waiting][below(process.waiting.size)]!);
      }
      // Sometimes several things happen before the calls that were woken are looked at.
      if (random() < 0.3) continue;
      process.settle(random);
      expect([seed, step, process.idle(), process.passed()]).toEqual([seed, step, [], []]);
    }
    process.settle(random);
    while (process.running.size > 0) {
      process.end([...process.running][below(process.running.size)]!);
      process.settle(random);
      expect([seed, process.idle(), process.passed()]).toEqual([seed, [], []]);
    }
    expect([seed, process.waiting.size, process.used()]).toEqual([seed, 0, 0]);
  }
});

test("two calls that are each first for what the other waits for are both served", () => {
  const process = new Process([1, 1]);
  const random = seeded(1);
  const a = process.begin("a", { 0: 1 });
  const b = process.begin("b", { 1: 1 });
  // x is short of a limit that y is short of later, and the other way round.
  process.begin("x", { 0: 1, 1: 1 });
  process.begin("y", { 1: 1, 0: 1 });
  process.settle(random);
  process.end(a);
  process.settle(random);
  process.end(b);
  process.settle(random);
  expect([...process.running].map(({ name }) => name)).toEqual(["x"]);
  process.end([...process.running][0]!);
  process.settle(random);
  expect([...process.running].map(({ name }) => name)).toEqual(["y"]);
});

test("a call that needs two limits is served while calls of one limit each keep both busy without a pause", () => {
  const process = new Process([1, 1]);
  const random = seeded(1);
  for (const place of [0, 1]) process.begin("before", { [place]: 1 });
  const both = process.begin("both", { 0: 1, 1: 1 });
  for (let turn = 0; turn < 10 && both.waiter; turn++)
    for (const place of [0, 1]) {
      process.begin("after", { [place]: 1 });
      process.settle(random);
      const under = [...process.running].find(({ parts }) => parts[0]!.limit.number === place + 1);
      if (under) process.end(under);
      process.settle(random);
    }
  expect(both.waiter).toBeUndefined();
});
