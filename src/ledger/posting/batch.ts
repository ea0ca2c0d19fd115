// A batch of records on its way to Postgres: everything that one transaction writes. Records that write nothing (holds, marks, extensions)
// are in it by their number alone.
import type { Database } from "../../store/index.ts";
import type { RecordRows } from "../types.ts";
import type { PostedRecord } from "./decode.ts";

/** One record, as far as posting needs it. */
export interface Posting {
  number: number;
  /** The chain of the spool after it. */
  chain: number;
  /** JSON. It lies outside of V8's heap, where a batch that waits for Postgres would be copied by its collections. */
  item?: Buffer;
  attemptRow?: Buffer | undefined;
  callRow?: Buffer | undefined;
  /** Why it cannot be posted, where that is known before it is tried. */
  refused?: { sqlstate: string; record: unknown };
}

/** Where a spool stands in Postgres. */
interface SpoolRow {
  position: number;
  chain: number;
  state: "open" | "ended" | "damaged";
}

/** What Postgres answered instead of posting. Nothing of the batch was written. */
export class NotPosted extends Error {
  readonly outcome: "already" | "elsewhere" | "gap" | "forked" | "stopped";

  constructor(outcome: NotPosted["outcome"]) {
    super(`Postgres answered ${outcome}.`);
    this.outcome = outcome;
  }
}

/** `record` may be valid for a moment only. */
export function postingOf(number: number, chain: number, record: PostedRecord): Posting {
  if (record.k === "settle") {
    // An attempt that was never sent has no row and costs nothing, so it leaves no settlement either.
    if (record.row === undefined && record.isFree) return { number, chain };
    return { number, chain, item: Buffer.from(record.item), attemptRow: record.row && Buffer.from(record.row) };
  }
  if (record.k === "call") return { number, chain, callRow: record.row && Buffer.from(record.row) };
  return { number, chain };
}

/** Whether a record writes anything beside the spool's position. */
export const isHeavy = (posting: Posting): boolean =>
  posting.item !== undefined || posting.callRow !== undefined || posting.refused !== undefined;

/** Statements of one spool. */
export class Posts {
  readonly #db: Database;
  readonly #spool: string;
  readonly #rows: RecordRows;

  constructor(db: Database, spool: string, rows: RecordRows) {
    this.#db = db;
    this.#spool = spool;
    this.#rows = rows;
  }

  /** Undefined where Postgres does not know the spool. */
  async row(): Promise<SpoolRow | undefined> {
    const { rows } = await this.#db.query<{ position: bigint; chain: bigint; state: SpoolRow["state"] }>(
      "select position, chain, state from spools where id = $1",
      [this.#spool],
    );
    const row = rows[0];
    return row && { position: Number(row.position), chain: Number(row.chain), state: row.state };
  }

  /**
   * Posts records in one transaction; `chain` is that before the first. Throws NotPosted, and the errors of statements.
   *
   * Its commit does not wait for the disk. Position and rows go together, so a crash of Postgres loses both, and the records are posted
   * again: the file stays until a commit that waited came after.
   */
  async post(postings: readonly Posting[], chain: number, complete: Date | undefined): Promise<void> {
    const attempts: Buffer[] = [];
    const calls: Buffer[] = [];
    const items: Buffer[] = [];
    for (const { attemptRow, callRow, item } of postings) {
      if (attemptRow !== undefined) attempts.push(attemptRow);
      if (callRow !== undefined) calls.push(callRow);
      if (item !== undefined) items.push(item);
    }
    const last = postings.at(-1)!;
    const values = [this.#spool, postings[0]!.number, last.number, chain, last.chain, complete];
    const posting = this.#db.transaction(async (client) => {
      await client.query("select set_config('synchronous_commit', 'off', true), lock_spool($1)", [this.#spool]);
      if (attempts.length > 0 || calls.length > 0)
        await this.#rows.post(client, { attempts: arrayOf(attempts), calls: arrayOf(calls) });
      const { rows } = await client.query<{ outcome: "posted" | NotPosted["outcome"] }>(
        "select outcome from post_batch($1, $2, $3, $4, $5, $6, $7)",
        [...values, arrayOf(items)],
      );
      throwUnlessPosted(rows[0]!.outcome);
    });
    await posting.catch(async (error: unknown) => {
      // The mark that the spool is forked went with the transaction, so it is made again without any rows.
      if (error instanceof NotPosted && error.outcome === "forked")
        await this.#db.query("select outcome from post_batch($1, $2, $3, $4, $5, $6, '[]')", values);
      throw error;
    });
  }

  /** Says that the spool is complete through a later moment, and posts nothing. */
  async complete(position: number, chain: number, complete: Date): Promise<void> {
    await this.#db.query("select outcome from post_batch($1, $2, $3, $4, $4, $5, '[]')", [
      this.#spool,
      position + 1,
      position,
      chain,
      complete,
    ]);
  }

  /** Puts a record aside that the database refuses. */
  async quarantine(posting: Posting, chain: number, refused: { sqlstate: string; record: unknown }): Promise<void> {
    const { item } = posting;
    const { rows } = await this.#db.query<{ outcome: "posted" | NotPosted["outcome"] }>(
      "select outcome from quarantine_record($1, $2, $3, $4, null, $5, $6, $7)",
      [
        this.#spool,
        posting.number,
        chain,
        posting.chain,
        JSON.stringify(storableJson(refused.record)),
        refused.sqlstate,
        item === undefined ? null : JSON.stringify(storableJson(JSON.parse(item.toString()))),
      ],
    );
    throwUnlessPosted(rows[0]!.outcome);
  }
}

/** A JSON array of these values, as bytes. */
function arrayOf(values: readonly Buffer[]): Buffer {
  let bytes = Math.max(2, values.length + 1);
  for (const { length } of values) bytes += length;
  const array = Buffer.allocUnsafe(bytes);
  let at = array.write("[");
  for (const [place, value] of values.entries()) {
    if (place > 0) at += array.write(",", at);
    at += value.copy(array, at);
  }
  array.write("]", at);
  return array;
}

function throwUnlessPosted(outcome: "posted" | NotPosted["outcome"]): void {
  // A transaction whose commit was not answered may have been carried out.
  if (outcome !== "posted") throw new NotPosted(outcome);
}

/** JSON that `jsonb` keeps: texts with NUL or half of a surrogate pair are written in base64 of their UTF-16. */
function storableJson(value: unknown): unknown {
  if (typeof value === "string")
    return value.isWellFormed() && !value.includes("\0")
      ? value
      : { base64_utf16le: Buffer.from(value, "utf16le").toString("base64") };
  if (Array.isArray(value)) return value.map(storableJson);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key.toWellFormed().replaceAll("\0", "\ufffd"), storableJson(inner)]),
  );
}
