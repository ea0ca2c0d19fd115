// The statements of the proof. Each compares what is computed from settlements, which never change, with what stands elsewhere, as sets,
// and answers a row for each thing that differs: what must hold, the thing by name, what was expected and what was found.
//
// A whole proof reads every settlement. An incremental one reads the batches that were not proven yet (proven_batches), and the days and
// budgets that these touch.
import { proofLimits } from "../limits.ts";
import { balances, leasesAndLosses, outcomesPosted, suspenseNamed } from "./accountChecks.ts";
import { batches, journalsOfAttempts, journalsSumToZero } from "./batchChecks.ts";
import { todo, type Check, type ProofKind } from "./check.ts";
import { rollupAndBudgets, touchedDays } from "./rollupChecks.ts";

const checks: readonly Check[] = [
  batches,
  journalsOfAttempts,
  journalsSumToZero,
  balances,
  outcomesPosted,
  leasesAndLosses,
  suspenseNamed,
  rollupAndBudgets,
  touchedDays,
];

interface Statement {
  sql: string;
  takesTime: boolean;
  isOfBatches: boolean;
}

/** The statements of a kind of proof. */
export function statementsOf(kind: ProofKind): Statement[] {
  return checks
    .filter(({ kinds }) => kinds.includes(kind))
    .map(({ sql, takesTime = false, isOfBatches = false }) => ({
      sql: `${sql(kind)}\nlimit ${proofLimits.discrepanciesRead}`,
      takesTime,
      isOfBatches,
    }));
}

/** How much there is to compare, by name. */
export const comparedSql = (kind: ProofKind): string => `
  with todo as materialized (${todo(kind)})
  select (select count(*) from settlements s where ${kind === "whole" ? "true" : "s.batch in (select id from todo)"}) as settlements,
    (select count(*) from todo) as batches, (select count(*) from entries) as entries, (select count(*) from accounts) as accounts,
    (select count(*) from budgets) as budgets, (select count(*) from usage_days) as days, (select count(*) from suspense) as suspense`;

/** The smallest and largest id among the attempts to prove; nulls without any. */
export const attemptRangeSql = (kind: ProofKind): string =>
  kind === "whole"
    ? "select null as first, null as last"
    : `select min(attempt) as first, max(attempt) as last from settlements s where s.batch in (${todo(kind)})`;
