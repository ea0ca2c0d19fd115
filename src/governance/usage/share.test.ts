// Shares of one limit in several processes, against the plain truth: a list of all that was ever used and when. Seeded, so that a failure
// can be run again. Statements are late, answers are lost, processes die or are believed dead, and each has a clock of its own.
import { expect, test } from "vitest";
import { Central } from "./testing/central.ts";
import { Share } from "./share.ts";
import { slotsPerWindow, windows, type Dimension, type ShareAnswer, type ShareItem } from "./types.ts";

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

interface Process {
  id: number;
  share: Share;
  /** Its clock beside the true time. */
  skewMs: number;
  turn: number;
  /** A statement is on its way. */
  busy: boolean;
  away: boolean;
  heldAmounts: { amount: number; slot: number }[];
}

interface World {
  now: number;
  used: { at: number; amount: number; forced: boolean }[];
  central: Central;
  processes: Process[];
  over: number;
  refusals: number;
  admitted: number;
}

/** Runs `steps` of a random history and calls `check` after each. */
function simulate(
  seed: number,
  dimension: Dimension,
  { steps, forced, suspicion }: { steps: number; forced: boolean; suspicion: boolean },
  check: (world: World) => void,
): World {
  const random = seeded(seed);
  const below = (most: number) => Math.floor(random() * most);
  const window = windows[dimension];
  const windowMs = (window.slotMs ?? 0) * slotsPerWindow;
  const step = Math.max(1, (window.slotMs ?? 1_000) / 3);
  const later: { at: number; run: () => void }[] = [];
  const amount = 1 + below(60);
  let next = 1;
  const central = new Central(amount, (id) => {
    // A notification may be lost.
    if (random() < 0.9) later.push({ at: world.now + step * random(), run: () => find(id)?.share.recall() });
  });
  const world: World = { now: 1_000_000, used: [], central, processes: [], over: 0, refusals: 0, admitted: 0 };
  const find = (id: number) => world.processes.find((process) => process.id === id);
  const start = (): Process => ({
    id: next++,
    share: new Share(1, amount, window),
    skewMs: below(10_000_000),
    turn: 0,
    busy: false,
    away: false,
    heldAmounts: [],
  });
  for (let count = 1 + below(4); count > 0; count--) world.processes.push(start());

  const send = (process: Process, amounts: number[]) => {
    if (process.busy) return;
    const item = process.share.ask(amounts, 5_000);
    const turn = ++process.turn;
    process.busy = true;
    const arrives = world.now + step * random();
    const lost = process.away || random() < 0.05;
    // A statement whose process gave it up may still be carried out, late.
    const carriedOut = !process.away && (!lost || random() < 0.5);
    if (carriedOut)
      later.push({
        at: lost ? arrives + 10 * step * random() : arrives,
        run: () => {
          const answer = central.sync(process.id, turn, item, world.now);
          if (!lost && answer) later.push({ at: world.now + step * random(), run: () => hear(process, item, answer) });
        },
      });
    if (lost) later.push({ at: arrives + step, run: () => (process.busy = false) });
  };
  const hear = (process: Process, item: ShareItem, answer: ShareAnswer) => {
    process.busy = false;
    if (!world.processes.includes(process)) return;
    process.share.advance(world.now + process.skewMs);
    process.share.answered(answer, item);
    if (answer.refused) world.refusals++;
  };
  const use = (process: Process) => {
    const wanted = 1 + below(Math.min(6, amount));
    if (!process.share.fits(wanted)) return send(process, [wanted]);
    process.heldAmounts.push({ amount: wanted, slot: process.share.take(wanted) });
    world.used.push({ at: world.now, amount: wanted, forced: false });
    world.admitted++;
  };
  const end = (process: Process) => {
    const one = process.heldAmounts.shift();
    if (!one || window.slotMs !== undefined) return;
    process.share.giveBack(one.amount, one.slot);
    world.used.push({ at: world.now, amount: -one.amount, forced: false });
  };

  for (let at = 0; at < steps; at++) {
    world.now += step * random();
    for (const event of later.filter((each) => each.at <= world.now).sort((a, b) => a.at - b.at)) {
      later.splice(later.indexOf(event), 1);
      event.run();
    }
    const process = world.processes[below(world.processes.length)];
    if (!process) {
      world.processes.push(start());
      continue;
    }
    process.share.advance(world.now + process.skewMs);
    const what = random();
    if (what < 0.55) use(process);
    else if (what < 0.75) end(process);
    else if (what < 0.9) {
      if (process.share.needsTurn(5_000, 5_000)) send(process, []);
    } else if (what < 0.92 && forced) {
      const more = 1 + below(3);
      process.share.charge(more);
      world.used.push({ at: world.now, amount: more, forced: true });
    } else if (what < 0.925 && suspicion) {
      process.away = !process.away;
    } else if (what < 0.93) {
      // A death: what is under way ends with it, and its row is taken away after five seconds.
      world.processes.splice(world.processes.indexOf(process), 1);
      const held = process.heldAmounts.reduce((sum, each) => sum + each.amount, 0);
      if (window.slotMs === undefined && held > 0) world.used.push({ at: world.now, amount: -held, forced: false });
      later.push({
        at: world.now + 5_000 + 20 * step,
        run: () => central.reclaim(process.id, windowMs + (window.slotMs ?? 0), world.now),
      });
      if (world.processes.length < 4) world.processes.push(start());
    } else if (what < 0.94) {
      // An orderly end: its use counts on in the database.
      if (process.busy) continue;
      central.sync(process.id, ++process.turn, process.share.end(), world.now);
      world.processes.splice(world.processes.indexOf(process), 1);
      const held = process.heldAmounts.reduce((sum, each) => sum + each.amount, 0);
      if (window.slotMs === undefined && held > 0) world.used.push({ at: world.now, amount: -held, forced: false });
      world.processes.push(start());
    }
    if (window.slotMs !== undefined) world.used = world.used.filter((each) => each.at > world.now - windowMs);
    check(world);
  }
  return world;
}

const usedIn = ({ used }: World): number => used.reduce((sum, { amount }) => sum + amount, 0);

const dimensions: Dimension[] = ["requests_per_minute", "tokens_per_day", "concurrent_calls"];

test.each(dimensions)(
  "no window of %s ever has more than the limit, over all processes, deaths and lost answers",
  (dimension) => {
    let admitted = 0;
    for (let seed = 1; seed <= 25; seed++)
      admitted += simulate(seed, dimension, { steps: 3_000, forced: false, suspicion: false }, (world) => {
        const used = usedIn(world);
        if (used > world.central.amount) expect.fail(`seed ${seed}: ${used} of ${world.central.amount}`);
      }).admitted;
    expect(admitted).toBeGreaterThan(1_000);
  },
);

test("output that is never refused passes a limit by itself alone: what is admitted beside it fits", () => {
  for (let seed = 1; seed <= 25; seed++)
    simulate(seed, "tokens_per_minute", { steps: 3_000, forced: true, suspicion: false }, (world) => {
      const forced = world.used.filter((each) => each.forced).reduce((sum, { amount }) => sum + amount, 0);
      if (usedIn(world) > world.central.amount + forced) expect.fail(`seed ${seed}`);
    });
});

test("processes that are away from the database go on within their shares, and all together within the limit", () => {
  for (let seed = 1; seed <= 25; seed++)
    simulate(seed, "requests_per_minute", { steps: 3_000, forced: false, suspicion: true }, (world) => {
      if (usedIn(world) > world.central.amount) expect.fail(`seed ${seed}`);
    });
});

test("a process that is believed dead and lives passes the limit by its own last share in a window, and by no more", () => {
  const window = windows.requests_per_minute;
  const central = new Central(100, () => {});
  const [lost, other] = [new Share(1, 100, window), new Share(1, 100, window)];
  const now = 0;
  const sync = (share: Share, process: number, at: number, amounts: number[]) => {
    share.advance(at);
    const item = share.ask(amounts, 5_000);
    const answer = central.sync(process, at + 1, item, at)!;
    share.answered(answer, item);
    return answer;
  };
  sync(lost, 1, now, [30, 1]);
  for (let used = 0; used < 30; used++) lost.take(1);
  const { units } = lost;
  central.reclaim(1, 61_000, 6_000);
  // Its share still counts for a window, because all of it may have been used at the end.
  expect(sync(other, 2, 7_000, [101 - units]).refused).toBe(true);
  expect(sync(other, 2, 7_001, [100 - units]).refused).toBe(false);
  other.take(100 - units);
  expect(sync(other, 2, 6_000 + 61_001, [units]).refused).toBe(false);
  other.advance(6_000 + 61_001);
  other.take(units);
  lost.advance(6_000 + 61_001);
  expect(lost.fits(units)).toBe(true);
  expect(lost.fits(units + 1)).toBe(false);
  // Once it is heard again, its use counts and the limit holds from then on.
  lost.take(units);
  expect(sync(lost, 1, 70_000, [1]).refused).toBe(true);
});

test("alone, a process admits exactly what a plain sliding window admits", () => {
  for (let seed = 1; seed <= 25; seed++) {
    const random = seeded(seed);
    const amount = 1 + Math.floor(random() * 30);
    const central = new Central(amount, () => {});
    const share = new Share(1, amount, windows.requests_per_minute);
    const taken: number[] = [];
    let refusedIn = -1;
    let now = 0;
    for (let turn = 1; turn < 600; turn++) {
      now += random() * 4_000;
      share.advance(now);
      if (!share.fits(1)) {
        const item = share.ask([1], 5_000);
        share.answered(central.sync(1, turn, item, now)!, item);
      }
      // The plain window: a use counts from the beginning of its second until that second has left the last sixty.
      const counting = taken.filter((at) => Math.floor(at / 1_000) >= Math.floor(now / 1_000) - slotsPerWindow).length;
      expect(share.fits(1)).toBe(counting < amount);
      if (!share.fits(1)) {
        // The time that is told is right: a moment before it nothing fits, and then something does.
        const later = now + share.retryAfterMs(1);
        const again = refusedIn === Math.floor(now / 1_000);
        refusedIn = Math.floor(now / 1_000);
        // A second refusal in the same second is told a later time.
        if (again) continue;
        const leaves = taken
          .map((at) => (Math.floor(at / 1_000) + slotsPerWindow + 1) * 1_000)
          .filter((at) => at > now);
        expect(later).toBeCloseTo(Math.min(...leaves), 3);
        continue;
      }
      share.take(1);
      taken.push(now);
    }
  }
});

test("calls that are refused at one moment are not told to come back at one moment", () => {
  const share = new Share(1, 10, windows.requests_per_minute);
  share.units = 10;
  for (let second = 0; second < 10; second++) {
    share.advance(second * 1_000);
    share.take(1);
  }
  const told = Array.from({ length: 10 }, () => share.retryAfterMs(1));
  expect(new Set(told).size).toBe(10);
  expect(told).toEqual(told.toSorted((a, b) => a - b));
});

test("a process that needs more than is free gets what others do not use, up to an equal part", () => {
  const shares = new Map<number, Share>();
  const central = new Central(100, (id) => shares.get(id)?.recall());
  for (const id of [1, 2]) shares.set(id, new Share(1, 100, windows.concurrent_calls));
  const turn = new Map([
    [1, 0],
    [2, 0],
  ]);
  let now = 0;
  const sync = (id: number, amounts: number[]): ShareAnswer => {
    const share = shares.get(id)!;
    share.advance(now);
    const item = share.ask(amounts, 5_000);
    turn.set(id, turn.get(id)! + 1);
    const answer = central.sync(id, turn.get(id)!, item, now)!;
    share.answered(answer, item);
    return answer;
  };
  const [one, two] = [shares.get(1)!, shares.get(2)!];
  while (!sync(1, [1]).refused) while (one.fits(1)) one.take(1);
  expect(one.used).toBe(100);
  // A call of the first ends whenever one of the second asks: the second gets them until both have an equal part.
  for (let round = 0; round < 200; round++) {
    now += 10;
    if (one.used > 0 && round % 2 === 0) one.giveBack(1, 0);
    if (one.needsTurn(5_000, 5_000)) sync(1, []);
    if (!two.fits(1)) sync(2, [1]);
    if (two.fits(1)) two.take(1);
    if (!one.fits(1)) sync(1, [1]);
    if (one.fits(1)) one.take(1);
  }
  expect(one.used + two.used).toBeGreaterThan(95);
  expect(two.used).toBeGreaterThan(40);
});
