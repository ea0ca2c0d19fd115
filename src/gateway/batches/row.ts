// The row of a batch in Postgres, and the only mapping from it.
import { limits } from "../limits.ts";
import type { BatchProblem } from "./lines.ts";
import type { Batch, BatchStatus } from "./types.ts";

export interface BatchRow {
  [column: string]: unknown;
  project: string;
  id: string;
  organisation: string;
  key: string;
  endpoint: string;
  input_file: string;
  output_file: string | null;
  error_file: string | null;
  status: BatchStatus;
  ends: string | null;
  metadata: Record<string, unknown> | null;
  total: number;
  completed: number;
  failed: number;
  unserved: number;
  times: Record<string, number>;
  errors: BatchProblem[] | null;
  output_kept_seconds: number | null;
  created_at: Date;
  expires_at: Date;
}

export const batchOf = (row: BatchRow): Batch => ({
  project: row.project,
  id: row.id,
  organisation: row.organisation,
  key: row.key,
  endpoint: row.endpoint,
  inputFile: row.input_file,
  outputFile: row.output_file ?? undefined,
  errorFile: row.error_file ?? undefined,
  status: row.status,
  ends: row.ends ?? undefined,
  metadata: row.metadata ?? undefined,
  total: row.total,
  completed: row.completed,
  failed: row.failed,
  unserved: row.unserved,
  times: row.times,
  problems: row.errors ?? [],
  outputKeptSeconds: row.output_kept_seconds ?? limits.fileKeptSeconds,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
});
