// Budgets: a limit on what a scope may spend in a period. What processes have leased, and what was lost with those that were fenced,
// counts as spent.
import { newId, type Database, type Queryable } from "../store/index.ts";
import type { Scope, ScopeKind } from "./types.ts";

type Period = "total" | "month" | "day";

export interface Budget {
  id: string;
  scope: Scope;
  currency: string;
  period: Period;
  limitNano: bigint;
  spentNano: bigint;
  /** Shares that processes have taken: free, held by calls, or settled and not posted yet. */
  leasedNano: bigint;
  /** Shares of processes that were fenced. It is not known what they spent of them, so they count as spent. */
  lostNano: bigint;
  /** A new budget or a lower limit that not every process has acknowledged yet: calls under way may still pass it. */
  pending: boolean;
  /** Never negative; 0 when more was used than the limit (an engine that overran its cap). */
  leftNano: bigint;
  /** First moment of the next period; undefined for `total`. */
  resetsAt: Date | undefined;
  /** When the run of its scope ended; undefined for every other budget. */
  endedAt: Date | undefined;
}

/** Which budgets to list; without any of it all but those of ended runs. */
export interface BudgetFilter {
  /** Kinds of scope. */
  kinds?: readonly ScopeKind[] | undefined;
  /** Id of the scope. */
  scope?: string | undefined;
  /** Those of ended runs too. */
  ended?: boolean;
  /** Only budgets that are older than the one of this id. */
  before?: string | undefined;
  limit?: number;
}

export interface NewBudget {
  organisation: string;
  scope: Scope;
  currency: string;
  limitNano: bigint;
  period: Period;
  /** No call of the scope can have been admitted yet, as for a new run: the budget holds at once, and no process is told. */
  fresh?: boolean;
}

interface BudgetRow {
  [column: string]: unknown;
  id: string;
  scope_kind: ScopeKind;
  scope_id: string;
  currency: string;
  period: Period;
  limit_nano: bigint;
  spent_nano: bigint;
  leased_nano: bigint;
  lost_nano: bigint;
  pending: boolean;
  resets_at: Date | null;
  ended_at: Date | null;
}

/** A budget whose period is over reads as unspent, although its row is moved on only by its next lease. */
const ofPeriod = (column: string) =>
  `case when period_start < budget_period_start(period, now()) then 0 else ${column} end as ${column}`;

const budgetColumns = `id, scope_kind, scope_id, currency, period, limit_nano, pending, ended_at,
  ${["spent_nano", "leased_nano", "lost_nano"].map(ofPeriod).join(", ")},
  case period when 'month' then budget_period_start('month', budget_period_start('month', now()) + interval '32 days')
              when 'day' then budget_period_start('day', now()) + interval '1 day' end as resets_at`;

/**
 * Archives the budget of a run, in the transaction that ends the run: it keeps its figures, and lists leave it out. A run without a
 * budget is fine.
 */
export async function endRunBudget(client: Queryable, run: string): Promise<void> {
  await client.query("select end_budget($1)", [`run:${run}`]);
}

export class Budgets {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Sets the one budget of a scope, or changes its limit and period. A month or day counts what was charged in it already. */
  async set(budget: NewBudget): Promise<Budget> {
    const { scope, ...rest } = budget;
    const set = await this.#db.query<{ id: string }>("select id from set_budget($1, $2, $3, $4, $5, $6, $7, $8)", [
      newId("bud"),
      rest.organisation,
      scope.kind,
      scope.id,
      rest.currency,
      rest.limitNano,
      rest.period,
      rest.fresh ?? false,
    ]);
    const { rows } = await this.#db.query<BudgetRow>(`select ${budgetColumns} from budgets where id = $1`, [
      set.rows[0]!.id,
    ]);
    return budgetOf(rows[0]!);
  }

  /** Newest first. */
  async list(organisation: string, filter: BudgetFilter = {}): Promise<Budget[]> {
    const { kinds, scope, ended = false, before, limit } = filter;
    const { rows } = await this.#db.query<BudgetRow>(
      `select ${budgetColumns} from budgets
       where organisation = $1 and (ended_at is null or $2) and ($3::text[] is null or scope_kind = any($3))
         and ($4::text is null or scope_id = $4) and ($5::text is null or id < $5)
       order by id desc limit $6`,
      [organisation, ended, kinds ?? null, scope ?? null, before ?? null, limit ?? null],
    );
    return rows.map(budgetOf);
  }

  /** True when there was one. Calls that hold from it go on without it. */
  async remove(organisation: string, id: string): Promise<boolean> {
    const { rows } = await this.#db.query<{ removed: boolean }>("select remove_budget($1, $2) as removed", [
      organisation,
      id,
    ]);
    return rows[0]!.removed;
  }
}

function budgetOf(row: BudgetRow): Budget {
  const left = row.limit_nano - row.spent_nano - row.leased_nano - row.lost_nano;
  return {
    id: row.id,
    scope: { kind: row.scope_kind, id: row.scope_id },
    currency: row.currency,
    period: row.period,
    limitNano: row.limit_nano,
    spentNano: row.spent_nano,
    leasedNano: row.leased_nano,
    lostNano: row.lost_nano,
    pending: row.pending,
    leftNano: left > 0n ? left : 0n,
    resetsAt: row.resets_at ?? undefined,
    endedAt: row.ended_at ?? undefined,
  };
}
