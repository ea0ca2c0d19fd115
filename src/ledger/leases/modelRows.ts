// The rows of the reference model of leases (model.ts): budgets with their periods, leases, what is lost, and what was settled.

export type PeriodKind = "total" | "month" | "day";

export interface Sums {
  spent: bigint;
  leased: bigint;
  lost: bigint;
}

export interface ModelBudget extends Sums {
  id: string;
  scope: string;
  currency: string;
  limit: bigint;
  period: PeriodKind;
  startMs: number;
  change: number;
  pending: boolean;
  /** Sums of periods that are over, by their start. */
  past: Map<number, Sums>;
}

export interface Lease {
  epoch: number;
  budget: string;
  startMs: number;
  out: bigint;
  recall: bigint;
  recalledMs: number;
  stuckYoungestMs: number | undefined;
  stuckAtMs: number;
  /** When it last answered a recall with nothing, and has neither given back nor been granted money since. */
  answeredMs: number | undefined;
}

export interface LostItem {
  epoch: number;
  budget: string;
  startMs: number;
  amount: bigint;
  drawn: bigint;
}

/** A settled attempt, as a batch has it. */
export interface ModelSettlement {
  attempt: string;
  /** Every scope of the attempt, such as `project:prj_1`. */
  scopes: readonly string[];
  amountNano: bigint;
  /** By the model's clock. */
  countedAtMs: number;
  leases: readonly { budget: string; period: string }[];
}

/** Figures of a budget's current period. */
export interface ModelFigures {
  limit: bigint;
  spent: bigint;
  leased: bigint;
  lost: bigint;
  pending: boolean;
}

const dayMs = 86_400_000;

export const periodName = (startMs: number): string => new Date(startMs).toISOString();
export const leftOf = ({ limit, spent, leased, lost }: ModelBudget): bigint => limit - spent - leased - lost;
export const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b);
export const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);
export const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The first moment of a UTC day or month. */
export function startOf(period: "month" | "day", ms: number): number {
  if (period === "day") return Math.floor(ms / dayMs) * dayMs;
  const at = new Date(ms);
  return Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1);
}

export function endOf(period: PeriodKind, startMs: number): number {
  return period === "total" ? Infinity : startOf(period, startMs + (period === "day" ? dayMs : 32 * dayMs));
}
