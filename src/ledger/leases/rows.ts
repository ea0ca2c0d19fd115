// What the SQL functions of leases are given and answer, and how it is read.
import type { Scope, ScopeKind } from "../types.ts";
import type { BudgetFacts, GivenBack } from "../book/types.ts";
import type { BudgetsFound, LeaseAnswer } from "./types.ts";

/** A row of budgets_of. */
export interface BudgetOfRow {
  [column: string]: unknown;
  as_of: bigint;
  now: Date;
  budget: string | null;
  scope: string;
  currency: string;
  period_start: Date;
  period_end: Date | null;
  limit_nano: bigint;
  spent_nano: bigint;
  leased_nano: bigint;
  lost_nano: bigint;
  out_nano: bigint;
}

/** An ask in the answer of take_leases. Amounts are text there, because a JSON number has no room for them. */
export interface AskRow {
  ask: string;
  granted: boolean;
  now: string;
  parts: ({ budget: string; state: "gone" } | PartRow)[];
}

/** In the answer of acknowledge. */
export interface LeasedRow {
  budget: string;
  period_start: string;
  out: string;
}

interface PartRow {
  budget: string;
  state: "granted" | "short" | "spared";
  scope: string;
  currency: string;
  period_start: string;
  period_end: string | null;
  granted: string;
  limit: string;
  spent: string;
  lost: string;
  leased_elsewhere: string;
  left: string;
  out: string;
  silent_elsewhere: boolean;
  cut: boolean;
}

/** `run:run_1` in its parts. */
export function scopeOf(text: string): Scope {
  const colon = text.indexOf(":");
  return { kind: text.slice(0, colon) as ScopeKind, id: text.slice(colon + 1) };
}

/** `offsetMs`: the database's time minus that of the process's clock. */
export function budgetsOf(rows: BudgetOfRow[], offsetMs: number): BudgetsFound {
  const budgets = rows.flatMap((row): BudgetFacts[] =>
    row.budget === null
      ? []
      : [
          {
            budget: row.budget,
            scope: scopeOf(row.scope),
            currency: row.currency,
            limitNano: row.limit_nano,
            ...periodOf(row.period_start.getTime(), row.period_end?.getTime() ?? Infinity, offsetMs),
            spentNano: row.spent_nano,
            lostNano: row.lost_nano,
            outNano: row.out_nano,
            elsewhereNano: row.leased_nano - row.out_nano,
          },
        ],
  );
  return { budgets, asOf: Number(rows[0]!.as_of) };
}

export const answersOf = (asks: AskRow[], offsetMs: number): LeaseAnswer[] =>
  asks.flatMap(({ ask, parts }) =>
    parts.map((part) =>
      part.state === "gone"
        ? {
            ask,
            budget: part.budget,
            state: part.state,
            facts: undefined,
            grantedNano: 0n,
            leftNano: 0n,
            silentElsewhere: false,
            cut: false,
          }
        : answerOf(ask, part, offsetMs),
    ),
  );

function periodOf(
  startsAtMs: number,
  endsAtMs: number,
  offsetMs: number,
): Pick<BudgetFacts, "period" | "periodStartsAtMs" | "periodEndsAtMs" | "periodEndMs"> {
  return {
    period: new Date(startsAtMs).toISOString(),
    periodStartsAtMs: startsAtMs,
    periodEndsAtMs: endsAtMs,
    periodEndMs: endsAtMs - offsetMs,
  };
}

function answerOf(ask: string, part: PartRow, offsetMs: number): LeaseAnswer {
  return {
    ask,
    budget: part.budget,
    state: part.state,
    facts: {
      budget: part.budget,
      scope: scopeOf(part.scope),
      currency: part.currency,
      limitNano: BigInt(part.limit),
      ...periodOf(Date.parse(part.period_start), part.period_end ? Date.parse(part.period_end) : Infinity, offsetMs),
      spentNano: BigInt(part.spent),
      lostNano: BigInt(part.lost),
      outNano: BigInt(part.out),
      elsewhereNano: BigInt(part.leased_elsewhere),
    },
    grantedNano: BigInt(part.granted),
    leftNano: BigInt(part.left),
    silentElsewhere: part.silent_elsewhere,
    cut: part.cut,
  };
}

export const heldItem = ({ budget, period, amountNano }: GivenBack) => ({
  budget,
  period_start: period,
  amount: amountNano.toString(),
});
