// Why posting failed: for ever, for a row that Postgres refuses, or for a while (everything else).
import { isRowRefused, type TrailFile } from "../../store/index.ts";
import { NotPosted, type Posting } from "./batch.ts";

/** A condition that a person must look at. */
export interface PostingAlarm {
  code: "posting_stuck" | "spool_forked" | "spool_damaged" | "spool_version" | "spool_unknown" | "record_quarantined";
  message: string;
  subject: string;
}

/** Posting cannot go on with this spool. */
export class Stopped extends Error {
  readonly code: PostingAlarm["code"];

  constructor(code: PostingAlarm["code"], file: TrailFile, why: string) {
    super(`${file.path}: ${why}.`);
    this.code = code;
  }
}

/** Whether Postgres says that the spool is another one, has ended, or is not known. */
export const isFinal = (error: unknown): boolean =>
  (error instanceof NotPosted && (error.outcome === "forked" || error.outcome === "stopped")) ||
  (error as { code?: unknown }).code === "LS003";

/** Whether Postgres refuses the data of a batch. A defect of this program is no reason to put records aside. */
export const isRefused = (error: unknown): error is Error & { code: string } =>
  typeof (error as { code?: unknown }).code === "string" && isRowRefused(error);

/** What is kept of a record that is put aside. */
export const refusalOf = (
  { item, attemptRow, callRow }: Posting,
  error: { code: string },
): NonNullable<Posting["refused"]> => ({
  sqlstate: error.code,
  record: { item: valueOf(item), attempt_row: valueOf(attemptRow), call_row: valueOf(callRow) },
});

/** What bytes say, or their text where that is no JSON. */
function valueOf(bytes: Buffer | undefined): unknown {
  if (bytes === undefined) return undefined;
  const text = bytes.toString();
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
