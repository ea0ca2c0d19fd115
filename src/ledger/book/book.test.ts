// The book alone, and several books on one naive model of the database: the same sums, nothing over a limit, nothing that waits for ever.
import { describe, expect, test } from "vitest";
import type { Scope } from "../types.ts";
import { Book } from "./book.ts";
import { NaiveCentral, SimulatedProcess, sum } from "./simulation.ts";
import type { BookLimits } from "./types.ts";

const limits: BookLimits = { askAgainMs: 250, waitMostMs: 300_000, idleMs: 5_000, asksMost: 256 };

/** mulberry32: one seed, one sequence. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface World {
  central: NaiveCentral;
  processes: SimulatedProcess[];
  random: () => number;
  events: number;
  served: number;
  wantedNano: bigint;
}

const int = (random: () => number, below: number): number => Math.floor(random() * below);

/** Every budget's scopes: an organisation's, projects', keys', runs'. */
function worldOf(seed: number, processes: number): World {
  const random = randomOf(seed);
  const central = new NaiveCentral();
  const kinds: Scope["kind"][] = ["organisation", "project", "key", "agent", "run"];
  const budgets = 1 + int(random, 6);
  for (let at = 0; at < budgets; at++) {
    const scope: Scope = { kind: kinds[at % kinds.length]!, id: String(at) };
    const periodMs = random() < 0.3 ? 20_000 + int(random, 40_000) : undefined;
    central.add(`b${at}`, scope, BigInt(Math.floor(10 ** (2 + 4 * random()))), periodMs);
  }
  const world: World = { central, processes: [], random, events: 0, served: 0, wantedNano: 0n };
  for (let at = 0; at < processes; at++) begin(world);
  return world;
}

let ids = 0;

function begin({ central, processes }: World): void {
  const process = new SimulatedProcess(++ids, new Book(limits));
  central.live.add(process.id);
  for (const budget of central.budgets.values())
    process.book.budget(central.facts(budget, process.id, central.nowMs), central.nowMs);
  processes.push(process);
}

/** What must hold at every moment. Of a frozen or lost process the leases are its own matter. */
function check(world: World, grantsAsked: boolean): void {
  for (const budget of world.central.budgets.values())
    for (const [name, period] of budget.periods) {
      const used = period.spentNano + period.lostNano + sum(period.out.values());
      if (used > budget.limitNano)
        throw new Error(`budget ${budget.budget} (${name}) has ${used} of ${budget.limitNano} used or leased`);
      if (period.lostNano < 0n) throw new Error(`budget ${budget.budget} draws more than was lost`);
      for (const [process, out] of period.out)
        if (out < 0n) throw new Error(`lease of process ${process} on ${budget.budget} is ${out}`);
      if (!grantsAsked) continue;
    }
  for (const process of world.processes)
    for (const budget of world.central.budgets.values()) {
      const standing = process.book.standing(budget.budget);
      if (standing && (standing.freeNano < 0n || standing.heldNano < 0n))
        throw new Error(`process ${process.id} has ${standing.freeNano} free, ${standing.heldNano} held`);
    }
}

function startCall(world: World, process: SimulatedProcess): void {
  const { random, central } = world;
  const known = [...central.budgets.keys()];
  const budgets = known.filter(() => random() < 0.6);
  const attempt = `a${++ids}`;
  const finalNano = BigInt(1 + int(random, 400));
  const leastNano = BigInt(1 + int(random, 20));
  const needNano = leastNano + BigInt(int(random, 40));
  world.wantedNano += finalNano;
  process.waiting.set(attempt, { finalNano, leastNano });
  const scopes = budgets.map((id) => {
    const { scope } = central.budgets.get(id)!;
    return `${scope.kind}:${scope.id}`;
  });
  process.book.hold({ attempt, scopes, currency: "USD", budgets, leastNano, needNano }, central.nowMs);
}

/** A call goes on: it uses what it holds, asks for more, or ends. */
function advance(world: World, process: SimulatedProcess): void {
  const { random, central } = world;
  const calls = [...process.calls.values()];
  const call = calls[int(random, calls.length)];
  if (!call) return;
  const until = call.finalNano < call.heldNano ? call.finalNano : call.heldNano;
  const left = until - call.usedNano;
  if (left > 0n) {
    call.usedNano += random() < 0.5 ? left : BigInt(1 + int(random, Number(left)));
    return;
  }
  if (call.usedNano === call.finalNano || call.cut || random() < 0.02) {
    process.settle(call, central.nowMs);
    world.served++;
    return;
  }
  if (call.waits && random() < 0.9) return;
  call.waits = true;
  const needNano = BigInt(1 + int(random, 80));
  process.book.extend({ attempt: call.attempt, leastNano: 1n, needNano, stuck: true }, central.nowMs);
}

/** Sends what the process's book wants sent, or delivers an answer that is due. */
function exchange(world: World, process: SimulatedProcess): void {
  const { central, random } = world;
  const { book } = process;
  if (process.asked) {
    if (random() < 0.3) return;
    const { asks } = process.asked;
    process.asked = undefined;
    if (central.live.has(process.id)) book.answered(central.take(process.id, asks, central.nowMs), central.nowMs);
    return;
  }
  if (central.live.has(process.id)) central.giveBack(process.id, book.givenBack());
  else book.givenBack();
  for (const budget of central.budgets.values())
    if (budget.recalled.delete(process.id)) book.recalled(budget.budget, 1_000_000n, central.nowMs);
  const asks = book.asks(central.nowMs);
  if (asks.length > 0) process.asked = { asks, atMs: central.nowMs };
}

function post(world: World, process: SimulatedProcess): void {
  for (const { shares, amountNano } of process.spool.splice(0, 1 + int(world.random, 20)))
    world.central.post(process.id, shares, amountNano);
}

/** kill -9: with its spool the settlements are posted and open calls billed by what they used; without it its lease is lost. */
function crash(world: World, process: SimulatedProcess): void {
  const { central, random } = world;
  world.processes.splice(world.processes.indexOf(process), 1);
  if (random() < 0.5) central.fence(process.id);
  else {
    // Returns and asks that the dead process had sent are not answered; what it had given back in its mind only is still its lease.
    for (const { shares, amountNano } of process.spool) central.post(process.id, shares, amountNano);
    for (const call of process.calls.values()) central.post(process.id, call.shares, call.usedNano);
    central.close(process.id);
  }
  begin(world);
}

function step(world: World): void {
  const { random, central, processes } = world;
  world.events++;
  central.nowMs += int(random, 40);
  const process = processes[int(random, processes.length)]!;
  if (central.nowMs < process.frozenUntilMs) return;
  const dice = random();
  if (dice < 0.12) startCall(world, process);
  else if (dice < 0.55) advance(world, process);
  else if (dice < 0.8) exchange(world, process);
  else if (dice < 0.95) post(world, process);
  else if (dice < 0.99) process.book.tick(central.nowMs);
  else if (dice < 0.992) process.frozenUntilMs = central.nowMs + 10_000;
  else if (dice < 0.994) crash(world, process);
  drain(world, process);
}

/** No call is refused as spent while the money could suffice if all others used no more than they have used so far. */
function drain(world: World, process: SimulatedProcess): void {
  const waiting = new Map(process.waiting);
  for (const decision of process.drain()) {
    if (decision.type !== "refused" || decision.why !== "spent") continue;
    const { budget, limitNano, periods, period } = world.central.budgets.get(decision.by.budget)!;
    const { spentNano, lostNano } = periods.get(period)!;
    const settled = world.processes.flatMap(({ spool }) => spool);
    const named = settled.filter(({ shares }) =>
      shares.some((share) => share.budget === budget && share.period === period),
    );
    const certain = spentNano + lostNano + sum(named.map(({ amountNano }) => amountNano));
    const { leastNano } = waiting.get(decision.attempt)!;
    if (certain + leastNano <= limitNano)
      throw new Error(`${decision.attempt} was refused for ${leastNano}, although ${certain} of ${limitNano} is spent`);
  }
}

/** No new calls: everything that runs must end, and everything that waits must be answered. */
function comeToRest(world: World): void {
  const { central, processes } = world;
  for (let round = 0; round < 200_000; round++) {
    central.nowMs += 20;
    const process = processes[round % processes.length]!;
    advance(world, process);
    exchange(world, process);
    post(world, process);
    drain(world, process);
    if (round % 64 === 0) check(world, false);
    const busy = processes.some(
      ({ calls, waiting, spool, asked }) => calls.size + waiting.size + spool.length > 0 || asked,
    );
    if (!busy) return;
  }
  const left = processes.map(({ calls, waiting }) => `${calls.size} calls and ${waiting.size} waiting`);
  throw new Error(`never at rest: ${left.join("; ")}`);
}

describe("several books on one naive model of the database", () => {
  const seeds = Number(process.env["BOOK_SEEDS"] ?? 60);
  test.each(Array.from({ length: seeds }, (_, seed) => seed))(
    "seed %i: nothing over, nothing stuck, sums equal",
    (seed) => {
      const world = worldOf(seed, 1 + (seed % 4));
      for (let events = 0; events < 2_000; events++) {
        step(world);
        check(world, true);
      }
      comeToRest(world);
      for (const process of world.processes) {
        process.book.tick(world.central.nowMs + 1_000_000);
        process.book.giveAllBack();
        world.central.giveBack(process.id, process.book.givenBack());
      }
      for (const budget of world.central.budgets.values())
        for (const period of budget.periods.values()) expect(sum(period.out.values())).toBe(0n);
    },
  );
});
