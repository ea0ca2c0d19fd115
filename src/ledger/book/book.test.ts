// Several books on the naive model of the database, driven by one seed: calls of random sizes on random scopes, answers that are delayed,
// crashes with their spools and without, torn spools, frozen processes, settlements that are posted twice, budgets that are set, changed
// and removed, days that end and a clock that jumps. Nothing is granted beyond a limit, nothing waits for ever, no call is refused whose
// money is not gone, and at the end all sums are equal.
import { describe, expect, test } from "vitest";
import { LeaseModel } from "../leases/model.ts";
import { randomOf, SimulatedProcess, sum } from "./simulation.ts";

const scopes = ["organisation:o", "project:p", "project:q", "key:k", "agent:a", "run:r", "run:s"];
const dayMs = 86_400_000;

interface World {
  model: LeaseModel;
  processes: SimulatedProcess[];
  random: () => number;
  /** Limits and periods stay as they were set: only then a limit may never be passed. */
  steady: boolean;
  ids: number;
  /** What was charged, by attempt, as it must be in the end. */
  charged: Map<string, bigint>;
}

const int = (random: () => number, below: number): number => Math.floor(random() * below);
const limitOf = (random: () => number): bigint => BigInt(Math.floor(10 ** (2 + 4 * random())));

function worldOf(seed: number): World {
  const random = randomOf(seed);
  const model = new LeaseModel(20_000 * dayMs - 20_000);
  const world: World = { model, processes: [], random, steady: seed % 2 === 0, ids: 0, charged: new Map() };
  for (const scope of scopes) if (random() < 0.6) setBudget(world, scope);
  for (let at = 0; at <= seed % 4; at++) world.processes.push(new SimulatedProcess(model, scopes));
  return world;
}

function setBudget(world: World, scope: string): void {
  const { model, random } = world;
  const period = random() < 0.3 ? "day" : "total";
  model.setBudget({ id: `b${++world.ids}`, scope, currency: "USD", limitNano: limitOf(random), period });
}

function check({ model, processes, steady }: World): void {
  for (const id of model.budgets()) {
    const { limit, spent, leased, lost } = model.figures(id);
    if (steady && spent + leased + lost > limit)
      throw new Error(`${id}: ${spent} spent, ${leased} leased and ${lost} lost of ${limit}`);
    if (leased < 0n || lost < 0n) throw new Error(`${id}: ${leased} leased, ${lost} lost`);
    for (const { epoch, book } of processes) {
      const standing = book.standing(id);
      if (standing && (standing.freeNano < 0n || standing.heldNano < 0n))
        throw new Error(`process ${epoch}: ${standing.freeNano} free and ${standing.heldNano} held of ${id}`);
    }
    for (const process of processes) {
      const standing = process.book.standing(id);
      if (!standing?.isAcknowledged || !model.isLive(process.epoch)) continue;
      const out = model.outIn(process.epoch, id, standing.period);
      if (process.has(id) > out)
        throw new Error(`process ${process.epoch} has ${process.has(id)} of ${out} leased of ${id}`);
    }
  }
}

function startCall(world: World, process: SimulatedProcess): void {
  const { random } = world;
  const leastNano = BigInt(1 + int(random, 20));
  process.hold({
    attempt: `a${++world.ids}`,
    scopes: scopes.filter((scope, at) => scopes[at - 1]?.slice(0, 3) !== scope.slice(0, 3) && random() < 0.6),
    finalNano: BigInt(1 + int(random, 400)),
    leastNano,
    needNano: leastNano + BigInt(int(random, 40)),
  });
}

/** A call goes on: it uses what it holds, asks for more, or ends. */
function advance(world: World, process: SimulatedProcess): void {
  const { random, model } = world;
  const calls = [...process.calls.values()];
  const call = calls[int(random, calls.length)];
  if (!call) return;
  const until = call.finalNano < call.heldNano ? call.finalNano : call.heldNano;
  const left = until - call.usedNano;
  if (random() < 0.05) {
    const unused = call.heldNano - call.usedNano;
    return process.lower(call, unused > 0n ? BigInt(int(random, Number(unused) + 1)) : 0n);
  }
  if (left > 0n) {
    call.usedNano += random() < 0.5 ? left : BigInt(1 + int(random, Number(left)));
    return;
  }
  if (call.usedNano === call.finalNano || call.cut || random() < 0.02) {
    world.charged.set(call.attempt, call.usedNano);
    process.settle(call);
    return;
  }
  if (call.waits && random() < 0.9) return;
  call.waits = true;
  const needNano = BigInt(1 + int(random, 80));
  process.book.extend({ attempt: call.attempt, leastNano: 1n, needNano, stuck: random() < 0.8 }, model.nowMs);
}

function exchange(world: World, process: SimulatedProcess): void {
  if (!process.asked) return process.send();
  if (world.random() < 0.3) return;
  for (const { facts, grantedNano, leftNano } of process.receive())
    if (grantedNano > 0n && leftNano < 0n)
      throw new Error(`${grantedNano} of ${facts.budget} was granted, beyond its limit`);
}

function post(world: World, process: SimulatedProcess): void {
  const again = process.spool[0];
  process.post(1 + int(world.random, 20));
  // The answer of a batch was lost, and it is posted again.
  if (again && again !== process.spool[0] && world.random() < 0.1) world.model.post(process.epoch, [again]);
}

/** kill -9, or a machine that is lost with a part of its spool. */
function crash(world: World, process: SimulatedProcess): void {
  const { model, random, processes, charged } = world;
  processes.splice(processes.indexOf(process), 1);
  const open = process.crashSettlements();
  if (random() < 0.5) {
    for (const { attempt, amountNano } of open) charged.set(attempt, amountNano);
    process.spool.push(...open);
    if (random() < 0.3) model.fence(process.epoch);
    process.replay();
    model.close(process.epoch);
  } else {
    // What is torn off is lost: its money is among what the fenced lease lost.
    const torn = process.spool.splice(int(random, process.spool.length + 1));
    for (const { attempt } of torn) charged.delete(attempt);
    model.fence(process.epoch);
    process.replay();
  }
  processes.push(new SimulatedProcess(model, scopes));
}

function change(world: World): void {
  const { random, model } = world;
  const set = model.budgets();
  if (random() < 0.2 && set.length > 0) model.removeBudget(set[int(random, set.length)]!);
  else setBudget(world, scopes[int(random, scopes.length)]!);
}

function step(world: World): void {
  const { random, model, processes, steady } = world;
  model.nowMs += int(random, 40);
  const process = processes[int(random, processes.length)]!;
  if (model.nowMs < process.frozenUntilMs) return;
  const dice = random();
  if (dice < 0.12) startCall(world, process);
  else if (dice < 0.53) advance(world, process);
  else if (dice < 0.8) exchange(world, process);
  else if (dice < 0.94) post(world, process);
  else if (dice < 0.97) process.book.tick(model.nowMs);
  else if (dice < 0.99) process.hearChanges(scopes, () => random() < 0.1);
  else if (dice < 0.991) process.frozenUntilMs = model.nowMs + 10_000;
  else if (dice < 0.993) crash(world, process);
  else if (dice < 0.9935) model.nowMs += int(random, dayMs);
  else if (!steady && dice < 0.997) change(world);
  drain(world, process);
}

/**
 * No call is refused as spent while the money could suffice if all others used no more than they have settled. While budgets change, what
 * a process knows of one may be older than its change for a moment, so it is checked where they do not.
 */
function drain({ model, processes, steady }: World, process: SimulatedProcess): void {
  const waiting = new Map(process.waiting);
  for (const decision of process.drain()) {
    if (!steady || decision.type !== "refused" || decision.why !== "spent") continue;
    const { budget, scope } = decision.by;
    if (!model.budgets().includes(budget)) continue;
    const { limit, spent, lost } = model.figures(budget);
    const unposted = processes.flatMap(({ spool }) =>
      spool.filter(({ scopes: of }) => of.includes(`${scope.kind}:${scope.id}`)),
    );
    const certain = spent + lost + sum(unposted.map(({ amountNano }) => amountNano));
    const { leastNano } = waiting.get(decision.attempt)!;
    if (certain + leastNano <= limit)
      throw new Error(`${decision.attempt} was refused for ${leastNano}, although ${certain} of ${limit} is spent`);
  }
}

/** No new calls: everything that runs must end, and everything that waits must be answered. */
function comeToRest(world: World): void {
  const { model, processes } = world;
  for (let round = 0; round < 100_000; round++) {
    model.nowMs += 20;
    const process = processes[round % processes.length]!;
    advance(world, process);
    exchange(world, process);
    post(world, process);
    if (world.random() < 0.1) process.hearChanges(scopes, () => world.random() < 0.1);
    drain(world, process);
    if (round % 64 === 0) check(world);
    const isBusy = processes.some(
      ({ calls, waiting, spool, asked }) => calls.size + waiting.size + spool.length > 0 || asked,
    );
    if (!isBusy) return;
  }
  const left = processes.map(({ calls, waiting }) => `${calls.size} calls and ${waiting.size} waiting`);
  throw new Error(`never at rest: ${left.join("; ")}`);
}

describe("several books on the naive model of the database", () => {
  const seeds = Number(process.env["BOOK_SEEDS"] ?? 10);
  test.each(Array.from({ length: seeds }, (_, seed) => seed))(
    "seed %i: nothing over, nothing stuck, sums equal",
    (seed) => {
      const world = worldOf(seed);
      for (let events = 0; events < 2_000; events++) {
        step(world);
        check(world);
      }
      comeToRest(world);
      const { model, processes } = world;
      for (const { book, epoch } of processes) {
        book.giveAllBack();
        model.giveBack(epoch, book.givenBack());
      }
      for (const id of model.budgets()) for (const { epoch } of processes) expect(model.outOf(epoch, id)).toBe(0n);
      for (const [attempt, amount] of world.charged) expect(model.settledFor(attempt)).toBe(amount);
    },
  );
});

/** One process that exchanges with the database at once, and calls of one project. */
function alone(limitNano?: bigint) {
  const model = new LeaseModel(20_000 * dayMs);
  const set = (nano: bigint) =>
    model.setBudget({ id: "b", scope: "project:p", currency: "USD", limitNano: nano, period: "day" });
  if (limitNano !== undefined) set(limitNano);
  const process = new SimulatedProcess(model, scopes);
  const exchange = () => {
    for (let round = 0; round < 4; round++) {
      process.send();
      if (process.asked) process.receive();
      process.drain();
    }
  };
  const hold = (attempt: string, nano: bigint) => {
    process.hold({ attempt, scopes: ["project:p"], finalNano: nano, leastNano: nano, needNano: nano });
    exchange();
    return process.calls.get(attempt);
  };
  const settle = (attempt: string, nano: bigint) => {
    const call = process.calls.get(attempt)!;
    call.usedNano = nano;
    process.settle(call);
  };
  const hear = () => {
    while (model.figures("b").pending) {
      process.hearChanges(scopes, () => false);
      process.post(100);
    }
    process.hearChanges(scopes, () => false);
  };
  return { model, process, set, hold, settle, hear, exchange };
}

test("what calls give back under a lowered limit admits no new call until the limit has room", () => {
  const { model, process, set, hold, settle, hear, exchange } = alone(1_000n);
  for (const attempt of ["a", "b", "c", "d", "e"]) hold(attempt, 100n);
  set(200n);
  hear();
  for (const attempt of ["a", "b", "c", "d"]) settle(attempt, 45n);
  // 180 are spent, and the call that goes on holds 100.
  expect(hold("late", 30n)).toBeUndefined();
  settle("e", 10n);
  exchange();
  expect(hold("later", 5n)).toBeDefined();
  process.post(100);
  const { spent, leased } = model.figures("b");
  expect(spent + leased).toBeLessThanOrEqual(200n);
});

test("a budget that is set below the work under way admits no call until that work has given back", () => {
  const { model, process, set, hold, settle, hear, exchange } = alone();
  for (const attempt of ["a", "b", "c"]) hold(attempt, 100n);
  set(200n);
  hear();
  settle("a", 10n);
  expect(hold("late", 20n)).toBeUndefined();
  settle("b", 10n);
  exchange();
  // 20 are spent, 100 held: the call that waited has its money.
  expect(process.calls.get("late")).toBeDefined();
  expect(hold("later", 100n)).toBeUndefined();
  process.post(100);
  const { spent, leased } = model.figures("b");
  expect(spent + leased).toBeLessThanOrEqual(200n);
});

test("work that is settled while its new budget is being acknowledged is leased once", () => {
  const { model, process, set, hold, settle, exchange } = alone();
  for (const attempt of ["a", "b", "c"]) hold(attempt, 100n);
  set(1_000n);
  // Adopted; the first two settle before the acknowledgement, of which one is posted.
  process.hearChanges(scopes, () => false);
  settle("a", 10n);
  process.post(1);
  settle("b", 20n);
  // The database has acknowledged, and the answer is lost.
  let calls = 0;
  process.hearChanges(scopes, () => ++calls === 2);
  settle("c", 30n);
  for (let step = 0; step < 4; step++) {
    process.hearChanges(scopes, () => false);
    process.post(100);
  }
  exchange();
  process.post(100);
  process.book.giveAllBack();
  model.giveBack(process.epoch, process.book.givenBack());
  expect(model.figures("b")).toMatchObject({ spent: 60n, leased: 0n });
});

test("an answer that goes on past midnight moves to the new day in all of its budgets at once", () => {
  const model = new LeaseModel(20_000 * dayMs - 1_000);
  for (const scope of ["project:p", "key:k"])
    model.setBudget({ id: scope, scope, currency: "USD", limitNano: 1_000n, period: "day" });
  const process = new SimulatedProcess(model, scopes);
  const exchange = () => {
    process.send();
    if (process.asked) process.receive();
    process.drain();
  };
  process.hold({
    attempt: "long",
    scopes: ["project:p", "key:k"],
    finalNano: 30n,
    leastNano: 10n,
    needNano: 10n,
  });
  exchange();
  model.nowMs += 2_000;
  // Another call takes one of the two into the new day.
  process.hold({ attempt: "other", scopes: ["key:k"], finalNano: 10n, leastNano: 10n, needNano: 10n });
  exchange();
  process.book.extend({ attempt: "long", leastNano: 20n, needNano: 20n, stuck: true }, model.nowMs);
  for (let round = 0; round < 4; round++) exchange();
  const long = process.calls.get("long")!;
  expect(long.heldNano).toBe(30n);
  expect(long.shares.map(({ period }) => period)).toEqual([0, 1].map(() => new Date(20_000 * dayMs).toISOString()));
  long.usedNano = 30n;
  process.settle(long);
  process.post(1);
  expect(model.figures("project:p")).toMatchObject({ spent: 30n });
  expect(model.figures("key:k")).toMatchObject({ spent: 30n });
});

test("a call that costs nothing is counted in the month in which it is made", () => {
  const model = new LeaseModel(20_000 * dayMs - 1_000);
  model.setBudget({ id: "b", scope: "project:p", currency: "USD", limitNano: 1_000n, period: "day" });
  const process = new SimulatedProcess(model, scopes);
  model.nowMs += 10 * dayMs;
  process.hold({ attempt: "free", scopes: ["project:p"], finalNano: 0n, leastNano: 0n, needNano: 0n });
  for (let round = 0; round < 4; round++) {
    process.send();
    if (process.asked) process.receive();
    process.drain();
  }
  expect(process.calls.get("free")).toMatchObject({ countedAtMs: model.nowMs });
});

test("a purse that waits for its acknowledgement is not forgotten, and what waits for it is no deadlock", () => {
  const { model, process, set, hold } = alone();
  hold("a", 100n);
  set(1_000n);
  process.hearChanges(scopes, () => false);
  process.book.extend({ attempt: "a", leastNano: 10n, needNano: 10n, stuck: true }, model.nowMs);
  process.drain();
  expect(process.book.asks(model.nowMs)).toEqual([]);
  model.nowMs += 60_000;
  process.book.tick(model.nowMs);
  expect(process.drain()).toEqual([]);
  const call = process.calls.get("a")!;
  call.usedNano = 100n;
  process.settle(call);
  model.nowMs += 60_000;
  expect(process.book.unused(model.nowMs)).toEqual([]);
});

test("a call that waited behind one that is refused for another budget is served at once", () => {
  const model = new LeaseModel(20_000 * dayMs);
  for (const [scope, limitNano] of [
    ["project:p", 100n],
    ["key:k", 1_000n],
  ] as const)
    model.setBudget({ id: scope, scope, currency: "USD", limitNano, period: "total" });
  const process = new SimulatedProcess(model, scopes);
  const hold = (attempt: string, of: readonly string[], leastNano: bigint, needNano: bigint) => {
    process.hold({ attempt, scopes: of, finalNano: needNano, leastNano, needNano });
    for (let round = 0; round < 4; round++) {
      process.send();
      if (process.asked) process.receive();
      process.drain();
    }
    return process.calls.get(attempt);
  };
  const settle = (attempt: string, nano: bigint) => {
    const call = process.calls.get(attempt)!;
    call.usedNano = nano;
    process.settle(call);
    process.drain();
  };
  hold("supply", ["key:k"], 60n, 60n);
  settle("supply", 0n);
  const free = process.book.standing("key:k")!.freeNano;
  hold("last of p", ["project:p"], 60n, 60n);
  expect(hold("before", ["project:p", "key:k"], 50n, free + 1n)).toBeUndefined();
  // The key's money would do, and belongs to the call before it.
  expect(hold("behind", ["key:k"], free, free)).toBeUndefined();
  // The money of the project is gone: the first one is refused.
  settle("last of p", 60n);
  expect(process.waiting.size).toBe(0);
  expect(process.calls.get("behind")).toBeDefined();
});

test("a fenced process ends its extensions: those that lack money are cut, those that only stood in line are granted", () => {
  const { model, process, set, hold, settle, hear } = alone(1_000n);
  set(1_000n);
  hear();
  for (const attempt of ["a", "b", "c"]) hold(attempt, 300n);
  process.book.extend({ attempt: "a", leastNano: 400n, needNano: 400n, stuck: true }, model.nowMs);
  process.book.extend({ attempt: "b", leastNano: 60n, needNano: 60n, stuck: true }, model.nowMs);
  process.drain();
  settle("c", 220n);
  process.book.end(model.nowMs);
  const decided = process.drain().map(({ type, attempt }) => `${attempt} ${type}`);
  expect(decided).toContain("a cut");
  expect(decided.every((one) => one === "a cut" || one === "b extended")).toBe(true);
});
