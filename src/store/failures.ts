// Why a statement failed: because the database is away, or because it refuses what it was given. The first passes by itself and
// is worth another try; the second never does, so the row at fault is put aside and its neighbours go on.

/**
 * Of connections (Node) and of servers that start, stop or break (Postgres' classes 08, 53 and 57P; 57014 is a statement that took
 * too long). 53 also has the full disk, which passes when there is room again.
 */
const away = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|57P0[1-5]|57014|08\d{3}|53\d{3}|58030)$/;

/** Whether Postgres could not be reached, or broke off. */
export function isStoreAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  if (code !== undefined && away.test(code)) return true;
  if (error instanceof AggregateError) return error.errors.some(isStoreAway);
  return /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout)/.test(error.message);
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
