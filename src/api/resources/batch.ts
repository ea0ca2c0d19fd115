// Batches as /api shows them: the only mapping from their core records (gateway/batches/types.ts).
import type { BatchResource } from "../../contract/index.ts";
import type { Batch } from "../../gateway/batches/types.ts";

/** Moments of a batch's end; it has one of them at most. */
const ends = ["completed_at", "failed_at", "expired_at", "cancelled_at"];

export function batchResource(of: Batch, priceNano: bigint, currency: string): BatchResource {
  const ended = ends.map((name) => of.times[name]).find((seconds) => seconds !== undefined);
  return {
    id: of.id,
    status: of.status,
    endpoint: of.endpoint,
    key: of.key || null,
    total: of.total,
    completed: of.completed,
    failed: of.failed,
    price_nano: priceNano.toString(),
    currency,
    input_file: of.inputFile || null,
    output_file: of.outputFile ?? null,
    error_file: of.errorFile ?? null,
    problems: [...of.problems],
    created_at: of.createdAt.toISOString(),
    expires_at: of.expiresAt.toISOString(),
    ended_at: ended === undefined ? null : new Date(ended * 1000).toISOString(),
  };
}
