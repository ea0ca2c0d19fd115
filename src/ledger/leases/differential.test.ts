// Random sequences of takes, returns, acknowledgements, postings, fences, ends, clock jumps and changes of limits, done in Postgres and in
// the naive model (model.ts): every answer and every figure is the same, and no grant passes a limit.
import { expect, test } from "vitest";
import { newId, type Database } from "../../store/index.ts";
import { testDatabase } from "../../store/testing.ts";
import { proveLedger } from "../proof/proof.ts";
import { EpochFencedError, fenceEpoch } from "./leases.ts";
import { LeaseModel } from "./model.ts";
import { beginProcess, makeOrganisation, randomFrom, setLedgerClock, type Process, type Settled } from "./testing.ts";
import type { GivenBack } from "../book/types.ts";

const dayMs = 86_400_000;
const scopes = [
  "organisation:org_1",
  "project:prj_1",
  "project:prj_2",
  "key:key_1",
  "agent:agt_1",
  "run:run_1",
  "run:run_2",
];
const periods = ["total", "month", "day"] as const;

/** Everything of one sequence. */
class Sequence {
  readonly db: Database;
  readonly model: LeaseModel;
  readonly #random: () => number;
  readonly #processes: Process[] = [];
  /** Money that a process has, by its number: what it may give back or spend. */
  readonly #shares: { epoch: number; share: GivenBack }[] = [];
  #attempts = 0;

  constructor(db: Database, seed: number) {
    this.db = db;
    this.model = new LeaseModel(Date.UTC(2026, 10, 27, 12));
    this.#random = randomFrom(seed);
  }

  async begin(): Promise<void> {
    this.#processes.push(await beginProcess(this.db, { clock: () => this.model.nowMs }));
    expect(this.#processes.at(-1)!.epoch).toBe(this.model.begin());
  }

  async step(): Promise<void> {
    const steps = [
      this.#take,
      this.#take,
      this.#take,
      this.#take,
      this.#post,
      this.#post,
      this.#post,
      this.#giveBack,
      this.#giveBack,
      this.#acknowledge,
      this.#setBudget,
      this.#wait,
      this.#end,
    ];
    await this.#pick(steps).call(this);
    await this.#compare();
  }

  #below(most: number): number {
    return Math.floor(this.#random() * most);
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#below(items.length)]!;
  }

  /** Does the same at both: both answer the same, or both say that the epoch is fenced. */
  async #both<Result>(real: () => Promise<Result>, modelled: () => Result): Promise<Result | undefined> {
    let expected: Result;
    try {
      expected = modelled();
    } catch (error) {
      if (!(error instanceof EpochFencedError)) throw error;
      await expect(real()).rejects.toBeInstanceOf(EpochFencedError);
      return undefined;
    }
    expect(await real()).toEqual(expected);
    return expected;
  }

  async #take(): Promise<void> {
    const process = this.#pick(this.#processes);
    const known = this.model.budgets();
    if (known.length === 0) return;
    const asks = Array.from({ length: 1 + this.#below(3) }, (_, index) => {
      const budgets = [...new Set(Array.from({ length: 1 + this.#below(3) }, () => this.#pick(known)))];
      return {
        ask: `ask_${index}`,
        parts: budgets.map((budget) => {
          const leastNano = BigInt(this.#below(60));
          const needNano = leastNano + BigInt(this.#below(60));
          const stuckYoungestMs = this.#below(2) ? this.model.nowMs - this.#below(1000) : undefined;
          return { budget, leastNano, needNano, wantNano: needNano + BigInt(this.#below(3) * 50), stuckYoungestMs };
        }),
      };
    });
    const before = new Map(known.map((id) => [id, this.model.figures(id)]));
    const answers = await this.#both(
      () => process.leases.take(asks),
      () => this.model.take(process.epoch, asks),
    );
    for (const { budget, facts, grantedNano: amountNano } of answers ?? []) {
      if (amountNano === 0n) continue;
      this.#shares.push({ epoch: process.epoch, share: { budget, period: facts!.period, amountNano } });
      const { limit, spent, leased, lost } = this.model.figures(budget);
      expect(
        spent + leased + lost,
        `${budget} after a grant, before: ${JSON.stringify(before.get(budget), text)}`,
      ).toBeLessThanOrEqual(limit);
    }
  }

  /** Settles shares of one process, each one attempt, for a part of the share; the rest of it goes back. */
  async #post(): Promise<void> {
    const process = this.#pick(this.#processes);
    const own = this.#takeShares(process.epoch, 1 + this.#below(4));
    const settled = own.map(({ budget, period, amountNano }): Settled => {
      const scope = this.model.budgetsOf(process.epoch, scopes).budgets.find((one) => one.budget === budget)?.scope;
      const jitterMs = this.#below(2) * this.#below(3 * dayMs);
      return {
        attempt: `att_${++this.#attempts}`,
        amountNano: (amountNano * BigInt(this.#below(101))) / 100n,
        project: scope?.kind === "project" ? scope.id : "prj_2",
        ...(scope && scope.kind !== "organisation" && scope.kind !== "project" && { [scope.kind]: scope.id }),
        leases: [{ budget, period }],
        countedAt: new Date(Math.min(this.model.nowMs, Math.max(Date.parse(period), this.model.nowMs - jitterMs))),
      };
    });
    if (settled.length === 0) return;
    await process.post(settled);
    this.model.post(
      process.epoch,
      settled.map((one) => ({
        attempt: one.attempt,
        amountNano: one.amountNano,
        countedAtMs: one.countedAt!.getTime(),
        leases: one.leases!,
        scopes: [
          "organisation:org_1",
          `project:${one.project}`,
          ...(["key", "agent", "run"] as const).flatMap((kind) => (one[kind] ? [`${kind}:${one[kind]}`] : [])),
        ],
      })),
    );
    for (const [place, one] of settled.entries()) {
      const rest = own[place]!.amountNano - one.amountNano;
      if (rest > 0n) this.#shares.push({ epoch: process.epoch, share: { ...own[place]!, amountNano: rest } });
    }
  }

  async #giveBack(): Promise<void> {
    const process = this.#pick(this.#processes);
    const shares = this.#takeShares(process.epoch, 1 + this.#below(3)).filter(({ budget }) =>
      this.model.budgets().includes(budget),
    );
    const named = this.model.recallsOf(process.epoch).map((recall) => ({ ...recall, amountNano: 0n }));
    await this.#both(
      () => process.leases.giveBack([...shares, ...named]),
      () => this.model.giveBack(process.epoch, [...shares, ...named]),
    );
  }

  async #acknowledge(): Promise<void> {
    const process = this.#pick(this.#processes);
    const changes = this.model.changesAfter(0);
    const change = changes.at(-1);
    if (!change) return;
    const current = this.model.budgetsOf(process.epoch, scopes).budgets.find(({ budget }) => budget === change.budget);
    const held =
      current && this.#below(2)
        ? [{ budget: change.budget, period: current.period, amountNano: BigInt(1 + this.#below(200)) }]
        : [];
    const seen = await this.db.query<{ budgets_seen: bigint }>("select budgets_seen from epochs where id = $1", [
      process.epoch,
    ]);
    const isNew = Number(seen.rows[0]!.budgets_seen) < change.seq && this.model.isLive(process.epoch);
    const fresh = isNew
      ? held.filter(({ budget, period }) => this.model.outIn(process.epoch, budget, period) === 0n)
      : [];
    await this.#both(
      () => process.leases.acknowledge(change.seq, held, {}),
      () => this.model.acknowledge(process.epoch, change.seq, held),
    );
    for (const share of fresh) this.#shares.push({ epoch: process.epoch, share });
  }

  async #setBudget(): Promise<void> {
    const known = this.model.budgets();
    if (known.length > 0 && this.#below(6) === 0) {
      const id = this.#pick(known);
      const { rows } = await this.db.query<{ removed: boolean }>("select remove_budget('org_1', $1) as removed", [id]);
      expect(rows[0]!.removed).toBe(this.model.removeBudget(id));
      this.#forget(({ share }) => share.budget === id);
      return;
    }
    const set = {
      id: newId("bud"),
      scope: this.#pick(scopes),
      currency: "USD",
      limitNano: BigInt(this.#below(10) * 100),
      period: this.#pick(periods),
    };
    const colon = set.scope.indexOf(":");
    const { rows } = await this.db.query<{ id: string; seq: bigint }>(
      "select * from set_budget($1, 'org_1', $2, $3, 'USD', $4, $5, false)",
      [set.id, set.scope.slice(0, colon), set.scope.slice(colon + 1), set.limitNano, set.period],
    );
    expect({ id: rows[0]!.id, seq: Number(rows[0]!.seq) }).toEqual(this.model.setBudget(set));
  }

  /** Time passes, now and then past the end of a day or a month; rarely the clock goes back. */
  async #wait(): Promise<void> {
    const days = this.#pick([0, 0, 0, 1, 1, 30, -1]);
    this.model.nowMs += days * dayMs + 1 + this.#below(3_000);
    await setLedgerClock(this.db, new Date(this.model.nowMs));
  }

  /** A process ends well or is fenced, and another one begins. A fenced one goes on posting what it has. */
  async #end(): Promise<void> {
    const process = this.#pick(this.#processes);
    if (!this.model.isLive(process.epoch)) return;
    if (this.#below(2)) {
      await fenceEpoch(this.db, process.epoch);
      this.model.fence(process.epoch);
    } else {
      await process.leases.close({ [process.spool]: process.position });
      this.model.close(process.epoch);
      this.#processes.splice(this.#processes.indexOf(process), 1);
      this.#forget(({ epoch }) => epoch === process.epoch);
    }
    await this.begin();
  }

  #takeShares(epoch: number, most: number): GivenBack[] {
    const own = this.#shares.filter((one) => one.epoch === epoch).slice(0, most);
    this.#forget((one) => own.includes(one));
    return own.map(({ share }) => share);
  }

  #forget(which: (one: { epoch: number; share: GivenBack }) => boolean): void {
    for (let place = this.#shares.length - 1; place >= 0; place--)
      if (which(this.#shares[place]!)) this.#shares.splice(place, 1);
  }

  async #compare(): Promise<void> {
    const { rows } = await this.db.query(
      `select id, limit_nano::numeric as limit, spent_nano as spent, leased_nano as leased, lost_nano as lost, pending from budgets order by id`,
    );
    const modelled = this.model
      .budgets()
      .toSorted()
      .map((id) => ({ id, ...this.model.figures(id) }));
    expect(rows).toEqual(modelled);
    const { rows: past } = await this.db.query<{
      budget: string;
      period_start: Date;
      spent: bigint;
      leased: bigint;
      lost: bigint;
    }>(
      `select budget, period_start, spent_nano as spent, leased_nano as leased, lost_nano as lost from budget_periods`,
    );
    for (const { budget, period_start, ...sums } of past)
      expect({ budget, ...this.model.pastOf(budget, period_start.toISOString()) }).toEqual({ budget, ...sums });
    const { rows: out } = await this.db.query<{ epoch: bigint; budget: string; out: bigint }>(
      "select epoch, budget, sum(out_nano) as out from leases group by 1, 2",
    );
    for (const { epoch, budget, out: nano } of out) expect(this.model.outOf(Number(epoch), budget)).toBe(nano);
    const { rows: sums } = await this.db.query(
      `select b.id from budgets b where leased_nano <> (select coalesce(sum(out_nano), 0) from leases l where l.budget = b.id and l.period_start = b.period_start)
       or lost_nano <> (select coalesce(sum(amount_nano - drawn_nano), 0) from suspense s where s.budget = b.id and s.period_start = b.period_start)`,
    );
    expect(sums).toEqual([]);
  }
}

const text = (_: string, value: unknown) => (typeof value === "bigint" ? value.toString() : value);
const seeds = (process.env["LEASE_SEEDS"] ?? "1,2,3,4").split(",").map(Number);

test.each(seeds)("seed %i: Postgres and the model agree after every step", async (seed) => {
  await using db = await testDatabase();
  await makeOrganisation(db);
  const sequence = new Sequence(db, seed);
  await setLedgerClock(db, new Date(sequence.model.nowMs));
  for (let count = 0; count < 3; count++) await sequence.begin();
  for (let count = 0; count < Number(process.env["LEASE_STEPS"] ?? 150); count++) await sequence.step();
  expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
  await expectUsage(db);
});

/** The rollup of the bill is what the settlements say. */
async function expectUsage(db: Database): Promise<void> {
  const { rows: kept } = await db.query("select * from usage_days order by day, project, agent");
  const { rows: counted } = await db.query(
    `select s.organisation, usage_day(counted_at) as day, project, coalesce(agent, '') as agent, count(*) as attempts, count(distinct call) as calls,
       count(distinct run) as runs, sum(prompt_tokens) as prompt_tokens, sum(cached_tokens) as cached_tokens,
       sum(output_tokens) as output_tokens, sum(amount_nano) as amount_nano, sum(suspense_nano) as suspense_nano,
       coalesce(sum(cache_saving(cached_tokens, prompt_tokens, r)), 0) as saved_nano_millionths
     from settlements s left join rate_cards r on r.id = s.rate_card group by 1, 2, 3, 4 order by day, project, agent`,
  );
  expect(kept).toEqual(counted);
  const { rows: spans } = await db.query("select kind, subject, day from usage_spans order by 1, 2, 3");
  const { rows: several } = await db.query(
    `select kind, subject, day from (
       select distinct 'run' as kind, run as subject, usage_day(counted_at) as day from settlements where run is not null) d
     where (select count(distinct usage_day(counted_at)) from settlements s where s.run = d.subject) > 1 order by 1, 2, 3`,
  );
  expect(spans).toEqual(several);
}

test("what was counted before the clock went back is spent in that day by every budget", async () => {
  await using db = await testDatabase();
  await makeOrganisation(db);
  let nowMs = Date.UTC(2026, 10, 27, 12);
  const wait = async (ms: number) => setLedgerClock(db, new Date((nowMs += ms)));
  await wait(0);
  const set = async (kind: string, id: string) => {
    const sql = "select id from set_budget($1, 'org_1', $2, $3, 'USD', 1000, 'day', false)";
    return (await db.query<{ id: string }>(sql, [newId("bud"), kind, id])).rows[0]!.id;
  };
  const whole = await set("organisation", "org_1");
  const budget = await set("project", "prj_1");
  const process = await beginProcess(db, { clock: () => nowMs });
  const take = async (of: string) => {
    const parts = [{ budget: of, leastNano: 10n, needNano: 10n, wantNano: 10n, stuckYoungestMs: undefined }];
    return (await process.leases.take([{ ask: "ask", parts }]))[0]!.facts!.period;
  };
  await wait(dayMs);
  const period = await take(budget);
  const countedAt = new Date(nowMs);
  await wait(-dayMs);
  await process.post([
    { attempt: "att_1", amountNano: 10n, project: "prj_1", leases: [{ budget, period }], countedAt },
  ]);
  await set("key", "key_1");
  await wait(dayMs);
  await take(whole);
  expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
  const { rows } = await db.query("select spent_nano from budgets where id = $1", [whole]);
  expect(rows).toEqual([{ spent_nano: 10n }]);
});
