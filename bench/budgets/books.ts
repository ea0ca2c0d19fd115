// The tenant of a case with its keys, prices and budgets, and what its books say in the end.
import { randomBytes } from "node:crypto";
import { Identity } from "../../src/governance/index.ts";
import { recordProof } from "../../src/gateway/index.ts";
import { proveLedger } from "../../src/ledger/proof/proof.ts";
import { Rates } from "../../src/ledger/rates.ts";
import { Budgets } from "../../src/ledger/budgets.ts";
import type { RateCard, Scope } from "../../src/ledger/index.ts";
import type { Database } from "../../src/store/index.ts";
import type { Client } from "./agents.ts";
import { costOf, type PlannedCall } from "./workload.ts";

/** Prices that cases use, in nano-units per million tokens. */
export const cards: Record<string, Omit<RateCard, "id" | "model" | "version">> = {
  flat: {
    currency: "USD",
    inputNanoPerMillion: 500_000_000n,
    cachedNanoPerMillion: 50_000_000n,
    outputNanoPerMillion: 1_500_000_000n,
  },
  "tiered, with a fee": {
    currency: "USD",
    inputNanoPerMillion: 500_000_000n,
    cachedNanoPerMillion: 50_000_000n,
    outputNanoPerMillion: 1_500_000_000n,
    tiers: [
      {
        abovePromptTokens: 4_000,
        inputNanoPerMillion: 1_000_000_000n,
        cachedNanoPerMillion: 100_000_000n,
        outputNanoPerMillion: 2_250_000_000n,
      },
    ],
    callNano: 1_000n,
  },
};

export interface Tenant {
  organisation: string;
  card: RateCard;
  clients: Client[];
  /** The budgets by scope, with the cost of the work that counts against each. */
  budgets: { scope: Scope; limitNano: bigint }[];
}

/** How agents are spread over scopes: one budget on the project, or ten on all five kinds at once. */
export type Spread = "one budget" | "ten budgets on five scopes";

export async function openBooks(
  db: Database,
  agents: readonly PlannedCall[][],
  { price, spread, share }: { price: string; spread: Spread; share: number },
): Promise<Tenant> {
  const identity = new Identity({ db, secret: Buffer.alloc(32, 1) });
  const name = `bench-${randomBytes(4).toString("hex")}`;
  const { organisation, project } = await identity.ensureTenant({ organisation: name, project: name, currency: "USD" });
  const of = { organisation: organisation.id, project: project.id, role: "owner" } as const;
  const keys = [await identity.createKey({ ...of, name: "a" }), await identity.createKey({ ...of, name: "b" })];
  const rates = new Rates(db, () => new Date());
  const card = await rates.set({ organisation: organisation.id, model: "scripted", ...cards[price]! });
  const costs = new Map<string, { scope: Scope; costNano: bigint }>();
  const clients = agents.map((calls, number): Client => {
    const key = keys[number % 2]!;
    const agent = `agent-${name}-${number % 2}`;
    const run = `run-${name}-${number % 4}`;
    const scopes: Scope[] = [{ kind: "project", id: project.id }];
    if (spread !== "one budget")
      scopes.push(
        { kind: "organisation", id: organisation.id },
        { kind: "key", id: key.key.id },
        { kind: "agent", id: agent },
        { kind: "run", id: run },
      );
    for (const scope of scopes) {
      const so = costs.get(scope.id) ?? { scope, costNano: 0n };
      costs.set(scope.id, { scope, costNano: so.costNano + costOf(calls, card) });
    }
    return { key: key.secret, program: `${agent}/${run}`, calls };
  });
  const store = new Budgets(db);
  const budgets = [...costs.values()].map(({ scope, costNano }) => ({
    scope,
    limitNano: (costNano * BigInt(Math.round(share * 1_000))) / 1_000n,
  }));
  for (const budget of budgets)
    await store.set({ organisation: organisation.id, currency: "USD", period: "total", ...budget });
  return { organisation: organisation.id, card, clients, budgets };
}

export interface Standing {
  limitNano: bigint;
  spentNano: bigint;
  /** Leases that are out, and those that were lost with their process and are in suspense by name. */
  leasedNano: bigint;
  lostNano: bigint;
  /** Of the budgets together: what they were passed by. */
  overNano: bigint;
}

/** The budget that limits all of the case's calls, and how far any budget was passed. */
export async function standingOf(db: Database, { organisation, budgets }: Tenant): Promise<Standing> {
  const { rows } = await db.query<{
    scope: string;
    limit_nano: bigint;
    spent_nano: bigint;
    leased_nano: bigint;
    lost_nano: bigint;
  }>("select scope, limit_nano, spent_nano, leased_nano, lost_nano from budgets where organisation = $1", [
    organisation,
  ]);
  const widest = budgets.reduce((a, b) => (a.limitNano >= b.limitNano ? a : b));
  const row = rows.find(({ scope }) => scope === `${widest.scope.kind}:${widest.scope.id}`)!;
  const over = rows.map((one) => BigInt(one.spent_nano) + BigInt(one.lost_nano) - BigInt(one.limit_nano));
  return {
    limitNano: BigInt(row.limit_nano),
    spentNano: BigInt(row.spent_nano),
    leasedNano: BigInt(row.leased_nano),
    lostNano: BigInt(row.lost_nano),
    overNano: over.reduce((sum, one) => sum + (one > 0n ? one : 0n), 0n),
  };
}

/** What the proof finds, in words; empty where all sums are equal and every bill has its record. */
export async function proved(db: Database): Promise<string[]> {
  const { discrepancies, discrepancyCount } = await proveLedger(db, "whole", recordProof);
  const first = discrepancies.slice(0, 5);
  const words = first.map(({ rule, id, expected, found }) => `${rule}: ${id}, expected ${expected}, found ${found}`);
  return discrepancyCount > first.length ? [...words, `and ${discrepancyCount - first.length} more`] : words;
}

/** Settled amounts and tokens of the tenant: what the bill is made of. */
export async function billedOf(db: Database, { organisation }: Tenant) {
  const { rows } = await db.query<{ amount: string; output: string }>(
    `select coalesce(sum(amount_nano), 0)::text as amount, coalesce(sum(output_tokens), 0)::text as output
     from settlements where organisation = $1`,
    [organisation],
  );
  return { amountNano: BigInt(rows[0]!.amount), outputTokens: Number(rows[0]!.output) };
}
