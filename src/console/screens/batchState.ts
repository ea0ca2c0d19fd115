// States of a batch in words, and what may be done with it.
import type { BatchResource } from "../../contract/index.ts";

/** `in_progress` -> "in progress" */
export const batchState = (status: BatchResource["status"]): string => status.replace("_", " ");

/** Whether no further line of a batch will be served. */
export const isOver = ({ ended_at: endedAt }: BatchResource): boolean => endedAt !== null;

/** Whether it can be cancelled: it goes on, and is not being cancelled. */
export const isCancellable = ({ status }: BatchResource): boolean =>
  status === "validating" || status === "in_progress";

/** The request that cancels it. Each API cancels the batches that it made. */
export const cancelPath = ({ id }: BatchResource): string =>
  `${id.startsWith("msgbatch_") ? "/v1/messages/batches" : "/v1/batches"}/${encodeURIComponent(id)}/cancel`;
