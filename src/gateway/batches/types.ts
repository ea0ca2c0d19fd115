// A batch as every file of this folder knows it. Its states and their changes stand in store.ts.
import type { Owner } from "../responses/conversations.ts";
import type { BatchProblem } from "./lines.ts";

export type BatchStatus =
  | "validating"
  | "failed"
  | "in_progress"
  | "completed"
  | "expired"
  | "cancelling"
  | "cancelled";

export interface Batch extends Owner {
  id: string;
  endpoint: string;
  inputFile: string;
  outputFile: string | undefined;
  errorFile: string | undefined;
  status: BatchStatus;
  /** Why it ends before all its lines were served. */
  ends: string | undefined;
  /** Labels of its owner's; of a batch of Anthropic's API the headers that belong to its requests. */
  metadata: Record<string, unknown> | undefined;
  total: number;
  completed: number;
  /** Those that were not served included. */
  failed: number;
  unserved: number;
  /** Seconds since 1970 with their milliseconds, by the name of the member that says them. */
  times: Readonly<Record<string, number>>;
  problems: readonly BatchProblem[];
  outputKeptSeconds: number;
  createdAt: Date;
  expiresAt: Date;
}

/** The two APIs by which batches are made; each shows its own alone. */
export type BatchApi = "batch" | "msgbatch";

/** Of a batch by its project and id. */
export type BatchName = Pick<Batch, "project" | "id">;

/** What live listeners are told: a batch is in another state. */
export interface BatchEvent {
  type: "batch";
  batch: Pick<Batch, "id" | "status">;
}
