// What a check of the proof is, and what both kinds of proof share.

export type ProofKind = "whole" | "incremental";

/** A statement that answers a row for each thing that differs. */
export interface Check {
  kinds: readonly ProofKind[];
  /** The statement; `$1`, where it has one, is the time at which suspense came. */
  sql: (kind: ProofKind) => string;
  takesTime?: true;
  /** What it finds is wrong with batches, so that these are not remembered as proven. */
  isOfBatches?: true;
}

export const both = ["whole", "incremental"] as const;
export const whole = ["whole"] as const;
export const incremental = ["incremental"] as const;

/** Batches to prove: all, or those that were not proven. */
export const todo = (kind: ProofKind): string =>
  kind === "whole"
    ? "select id from journals where kind = 'batch'"
    : "select id from journals j where kind = 'batch' and not exists (select from proven_batches p where p.batch = j.id)";
