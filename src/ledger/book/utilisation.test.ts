// Many agents at once on one budget: each asks for windows of output that double, ahead of need, as the gateway does. A budget a little
// above the real cost refuses and cuts none of them; a budget below it is used up to its last tokens.
import { describe, expect, test } from "vitest";
import { LeaseModel } from "../leases/model.ts";
import { Book } from "./book.ts";
import { simulatedLimits, sum } from "./simulation.ts";
import type { ShareName } from "./types.ts";
import "../../../test/setup/costly.ts";

interface Agent {
  attempt: string;
  process: number;
  promptNano: bigint;
  /** What is held for the prompt beyond its price. */
  spareNano: bigint;
  outputNano: bigint;
  /** Undefined until it is held. */
  heldNano: bigint | undefined;
  usedNano: bigint;
  windowNano: bigint;
  asking: boolean;
  shares: ShareName[];
  end: "settled" | "refused" | "cut" | undefined;
}

/** `bound`: what is held for a prompt, as a multiple of its price. */
function run(agentsMany: number, processesMany: number, share: number, seed: number, bound = 1n) {
  let state = seed + 1;
  const random = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
  const agents: Agent[] = Array.from({ length: agentsMany }, (_, at) => ({
    attempt: `a${at}`,
    process: at % processesMany,
    promptNano: BigInt(200 + Math.floor(random() * 2_000)),
    spareNano: 0n,
    outputNano: BigInt(50 + Math.floor(random() ** 3 * 8_000)),
    heldNano: undefined,
    usedNano: 0n,
    windowNano: 256n,
    asking: false,
    shares: [],
    end: undefined,
  }));
  for (const agent of agents) agent.spareNano = (bound - 1n) * agent.promptNano;
  const cost = sum(agents.map(({ promptNano, outputNano }) => promptNano + outputNano));
  const limit = (cost * BigInt(Math.round(share * 1_000))) / 1_000n;
  const model = new LeaseModel(0);
  model.setBudget({ id: "b", scope: "organisation:o", currency: "USD", limitNano: limit, period: "total" });
  const processes = Array.from({ length: processesMany }, () => {
    const book = new Book(simulatedLimits);
    const epoch = model.begin();
    for (const facts of model.budgetsOf(epoch, ["organisation:o"]).budgets) book.learn(facts);
    return { book, epoch };
  });
  for (const agent of agents) hold(agent, processes[agent.process]!.book, 0);
  const hear = (book: Book) => {
    for (const decision of book.decisions()) {
      const agent = agents.find(({ attempt }) => attempt === decision.attempt)!;
      agent.asking = false;
      if (decision.type === "held") agent.heldNano = decision.amountNano;
      if (decision.type === "held" || decision.type === "extended") agent.shares = decision.shares;
      if (decision.type === "extended" && agent.heldNano !== undefined) agent.heldNano += decision.addedNano;
      if (decision.type === "refused") agent.end = "refused";
      if (decision.type === "cut") agent.end = "cut";
    }
  };
  for (let round = 0; round < 100_000 && agents.some(({ end }) => !end); round++) {
    model.nowMs += 10;
    for (const { book, epoch } of processes) {
      const back = book.givenBack();
      for (const { budget, period, amountNano } of model.recallsOf(epoch)) {
        book.recalled(budget, amountNano, model.nowMs);
        back.push({ budget, period, amountNano: 0n }, ...book.givenBack());
      }
      model.giveBack(epoch, back);
      const asks = book.asks(model.nowMs);
      const answers = model.take(epoch, asks);
      book.answered(
        asks,
        answers.map(({ state, facts, ...answer }) => ({ ...answer, facts: facts!, refused: state === "short" })),
        model.nowMs,
      );
      book.tick(model.nowMs);
      hear(book);
    }
    for (const agent of agents) {
      const { book } = processes[agent.process]!;
      hear(book);
      if (!agent.end && agent.heldNano === undefined && agent.spareNano > 0n) holdByCount(agent, book, model);
      else step(agent, processes[agent.process]!, model);
    }
    const { spent, leased } = model.figures("b");
    expect(spent + leased <= limit).toBe(true);
  }
  const { spent: spentNano } = model.figures("b");
  return { limit, spentNano, ends: Map.groupBy(agents, ({ end }) => end) };
}

function hold({ attempt, promptNano, spareNano }: Agent, book: Book, nowMs: number): void {
  const boundNano = promptNano + spareNano;
  const scopes = ["organisation:o"];
  const needs = { leastNano: boundNano + 16n, needNano: boundNano + 256n };
  book.hold({ attempt, scopes, currency: "USD", budgets: ["b"], ...needs }, nowMs);
}

/** A hold by a bound that waits is given up for one by the count. */
function holdByCount(agent: Agent, book: Book, { nowMs }: LeaseModel): void {
  book.abandon(agent.attempt, nowMs);
  agent.spareNano = 0n;
  hold(agent, book, nowMs);
}

/** Eight tokens of output a round; the next window is asked for when half of this one is used. */
function step(agent: Agent, { book, epoch }: { book: Book; epoch: number }, model: LeaseModel): void {
  if (agent.heldNano === undefined || agent.end === "settled" || agent.end === "refused") return;
  const final = agent.promptNano + agent.outputNano;
  agent.usedNano = agent.usedNano === 0n ? agent.promptNano : agent.usedNano + 8n;
  const paidNano = agent.heldNano - agent.spareNano;
  if (agent.usedNano > paidNano) agent.usedNano = paidNano;
  if (agent.usedNano > final) agent.usedNano = final;
  const stuck = agent.usedNano === paidNano;
  if (agent.usedNano === final || (agent.end === "cut" && stuck)) {
    agent.end ??= "settled";
    const { shares, usedNano } = agent;
    book.settle(agent.attempt, usedNano, model.nowMs);
    const { attempt } = agent;
    const scopes = ["organisation:o"];
    model.post(epoch, [{ attempt, scopes, amountNano: usedNano, countedAtMs: model.nowMs, leases: shares }]);
    agent.heldNano = undefined;
    return;
  }
  if (agent.end || (agent.asking && !stuck)) return;
  if (paidNano - agent.usedNano > agent.windowNano / 2n) return;
  if (!agent.asking) agent.windowNano *= 2n;
  agent.asking = true;
  // Its prompt is counted where it has to wait. It does not stand before.
  const counts = stuck && agent.spareNano > 0n;
  book.extend(
    { attempt: agent.attempt, leastNano: 1n, needNano: agent.windowNano, stuck: stuck && !counts },
    model.nowMs,
  );
  if (!counts) return;
  const { attempt, spareNano } = agent;
  agent.spareNano = 0n;
  agent.heldNano -= spareNano;
  book.lower(attempt, spareNano, model.nowMs);
}

describe.each([1, 2, 4])("64 agents on %i processes", (processes) => {
  test.each([1, 2, 3, 4, 5])("a budget of 1.05 times the real cost serves all of them in full (seed %i)", (seed) => {
    const { ends } = run(64, processes, 1.05, seed);
    expect([...ends.keys()]).toEqual(["settled"]);
  });

  test.each([1, 2, 3, 4, 5])(
    "so does one of prompts that are held by a bound four times their price (seed %i)",
    (seed) => {
      const { ends } = run(64, processes, 1.05, seed, 4n);
      expect([...ends.keys()]).toEqual(["settled"]);
    },
  );

  test.each([1, 2, 3, 4, 5])("a budget of half the real cost is used to 95 percent or more (seed %i)", (seed) => {
    const { spentNano, limit } = run(64, processes, 0.5, seed);
    expect(Number(spentNano) / Number(limit)).toBeGreaterThan(0.95);
    expect(spentNano <= limit).toBe(true);
  });
});

test("exactly the real cost serves all agents, to the last nano", () => {
  const { ends, spentNano, limit } = run(64, 1, 1, 7);
  expect([...ends.keys()]).toEqual(["settled"]);
  expect(spentNano).toBe(limit);
});
