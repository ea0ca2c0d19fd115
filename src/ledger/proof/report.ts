// What a proof answers.
import type { ProofKind } from "./check.ts";

/** What must hold, by a short name that is a label of a metric. */
export const proofRules = {
  batch_entries: "The entries of a batch must be the sums of its settlements.",
  batch_journal: "A batch must have its journal.",
  batch_changed: "A proven batch must never change: its checksum is another one.",
  over_hold: "A settlement must not pass its hold.",
  attempt_entries: "A settlement must have posted its amount.",
  journal_orphan: "A journal of a settlement must have its settlement.",
  journal_sum: "The entries of a journal must sum to zero.",
  balance: "The balance of an account must be the sum of its entries.",
  outcome_price: "An outcome that passed must have posted its price.",
  lease_epoch: "A lease must be of a live epoch.",
  leased: "The leases of a budget must be what it has leased.",
  lost: "What a budget has lost must be named in suspense.",
  suspense_balance: "The balance of suspense must be the sum of its named items.",
  suspense_entry: "A suspense item must have posted its amount.",
  suspense_item: "What a settlement left in suspense must be a named item.",
  quarantine_item: "A named item of quarantine must be the amount of its record.",
  usage_day: "A day of the rollup must sum up its settlements.",
  usage_span: "A run or call of several days must be named so in the rollup.",
  budget_spent: "A budget must have spent what was charged in its period.",
  past_spent: "A past period of a budget must have spent what was charged in it.",
  record_missing: "A settlement must have a record of its attempt.",
  record_differs: "An attempt's record must say what its settlement says.",
  record_orphan: "A record of an attempt must have its settlement.",
  call_price: "The price of a call must be the sum of its attempts'.",
} as const;

export type ProofRule = keyof typeof proofRules;

export interface Discrepancy {
  rule: ProofRule;
  /** The thing that breaks it, by name: an attempt, a journal and account, a budget, a day of the rollup. */
  id: string;
  /** Whose it is; undefined where that cannot be known from the thing itself. */
  organisation: string | undefined;
  expected: bigint;
  found: bigint;
}

/** How many rows of each kind were compared. */
export type Compared = Record<
  "settlements" | "batches" | "entries" | "accounts" | "budgets" | "days" | "suspense",
  number
>;

export interface ProofReport {
  kind: ProofKind;
  beganAt: Date;
  endedAt: Date;
  compared: Compared;
  /** How many were found; `discrepancies` has the first of them. 0 when everything agrees. */
  discrepancyCount: number;
  discrepancies: Discrepancy[];
}
