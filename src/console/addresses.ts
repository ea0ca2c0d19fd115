// The values that an address may hold for a filter or a range. The router checks addresses by them, and the screens offer them.
import type { BatchStatus, Call, Run } from "../contract/index.ts";
import type { OverviewRange } from "./api/queries.ts";

export const callStatuses = ["completed", "failed", "refused", "cancelled"] as const satisfies Call["status"][];
export const runStatuses = [
  "queued",
  "running",
  "waiting",
  "completed",
  "failed",
  "stopped",
] as const satisfies Run["status"][];
export const batchStatuses = [
  "validating",
  "in_progress",
  "completed",
  "failed",
  "expired",
  "cancelling",
  "cancelled",
] as const satisfies BatchStatus[];
export const overviewRanges = ["1h", "24h", "7d", "30d"] as const satisfies OverviewRange[];
export const billRanges = ["24h", "7d", "30d", "all"] as const;
export type BillRange = (typeof billRanges)[number];
