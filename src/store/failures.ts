// Why a statement failed: the database is away, or it refuses the data of the statement. The first passes by itself, so the statement is
// tried again. The second does not pass, so the row at fault is put aside and the others go on.
import pg from "pg";
import { LineshaftError } from "../errors/index.ts";

/** The database was not reached, broke off, or did not answer in time; the same statement may succeed later. */
export class StoreUnavailableError extends LineshaftError {
  /** Whether a statement may have reached the server, so that its effect is not known. */
  readonly sent: boolean;

  constructor(message: string, options: { sent: boolean; cause?: unknown }) {
    super({ code: "store_unavailable", message, cause: options.cause });
    this.sent = options.sent;
  }
}

/**
 * Of connections (Node) and of servers that start, stop or break (Postgres' classes 08, 53 and 57P; 57014 is a statement that took
 * too long). 53 also has the full disk, which passes when there is room again.
 */
const away =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|57P0[1-5]|57014|08\d{3}|53\d{3}|58030)$/;

/** Whether Postgres could not be reached, broke off, or did not answer in time. */
export function isStoreAway(error: unknown): boolean {
  if (error instanceof StoreUnavailableError) return true;
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  if (code !== undefined && away.test(code)) return true;
  if (error instanceof AggregateError) return error.errors.some(isStoreAway);
  return /^(Connection terminated|Client has encountered a connection error)/.test(error.message);
}

/**
 * Whether the data of a statement cannot be kept, so that another try fails too: Postgres' classes 22 (data), 23 (constraints) and 54
 * (limits), or a value that could not even be written as JSON.
 */
export function isRowRefused(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code;
  if (typeof code === "string" && /^(22|23|54)[0-9A-Z]{3}$/.test(code)) return true;
  return error instanceof TypeError || error instanceof RangeError;
}

/** Whether a disk is full: Postgres' (53100, or an I/O error that says so) or this process's own. */
export function isStorageFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "53100" || code === "ENOSPC" || code === "EDQUOT") return true;
  // 58030 is any I/O error; a full disk in the middle of a file's extension is reported as one.
  if (code === "58030" && /no space left|quota exceeded/i.test(error.message)) return true;
  return error.cause instanceof Error && isStorageFull(error.cause);
}

/**
 * Whether it is unknown if a statement took effect. A server that refuses a statement says so, and then nothing of it stands; a
 * connection that ends in the middle says nothing.
 */
export function isOutcomeUnknown(error: unknown): boolean {
  if (error instanceof StoreUnavailableError) return error.sent;
  return isStoreAway(error) && !(error instanceof pg.DatabaseError && error.severity === "ERROR");
}
