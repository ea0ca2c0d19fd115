// Lines of batches as rows. Every process serves lines of every batch, so what may happen once is decided by a statement:
//
//   waiting -> claimed -> done, or failed      back to waiting where it has to be tried again
//
// A claim gives a line a new fence, and every later statement about the line must name that fence. A process that was taken for dead and is
// alive finds its line taken, and writes nothing. A line's result is written before its call is paid for (pipeline.ts): a process that is
// killed between the two has delivered a result without a price, and one that is killed before has neither. So no line is lost, and none
// is billed twice.
//
// A line keeps its owner until the record of its call can be read (recorder.ts), and its batch does not end before that. A client that sees
// an ended batch therefore reads all of its calls, its whole price and a proof that agrees.
import type { Seal } from "../../governance/index.ts";
import type { Database, Queryable } from "../../store/index.ts";
import { limits } from "../limits.ts";
import { opened, sealed } from "../responses/sealed.ts";
import type { BatchLine } from "./lines.ts";
import type { BatchName } from "./types.ts";

/** One claim of a line, by the fence that it gave the line. */
export interface LineClaim {
  project: string;
  batch: string;
  number: number;
  fence: bigint;
}

/** A line that this process serves. */
export interface ClaimedLine extends LineClaim {
  customId: string;
  /** Tries before this one that failed. */
  triesBefore: number;
  /** JSON text of the request. */
  body: string;
}

/** How a line has ended: JSON text of its line in the output or the error file. */
interface LineResult {
  isDone: boolean;
  text: string;
}

interface LineRow {
  [column: string]: unknown;
  number: number;
  custom_id: string;
  fence: bigint;
  tries: number;
  request: Buffer;
}

export class LineStore {
  readonly #db: Database;
  readonly #seal: Seal;

  constructor({ db, seal }: { db: Database; seal: Seal }) {
    this.#db = db;
    this.#seal = seal;
  }

  /**
   * Takes lines of a batch, those of processes that have gone included. Empty where it has none that may be served now, or where it is to
   * end.
   */
  async claim({ project, id }: BatchName, owner: string, most: number): Promise<ClaimedLine[]> {
    const { rows } = await this.#db.query<LineRow>(
      `with picked as (
         select l.number from batch_lines l join batches b on b.project = l.project and b.id = l.batch
          where l.project = $1 and l.batch = $2 and b.status = 'in_progress' and b.ends is null
            and ((l.state = 'waiting' and (l.not_before is null or l.not_before <= now()))
              or (l.state = 'claimed' and l.claimed_at < now() - make_interval(secs => $5)))
          order by l.number limit $4 for update of l skip locked)
       update batch_lines l set state = 'claimed', owner = $3, fence = fence + 1, claimed_at = now(), tries = tries + 1
         from picked where l.project = $1 and l.batch = $2 and l.number = picked.number
       returning l.number, l.custom_id, l.fence, l.tries, l.request`,
      [project, id, owner, most, limits.lineDeadMs / 1000],
    );
    return rows.map((row) => ({
      project,
      batch: id,
      number: row.number,
      customId: row.custom_id,
      fence: row.fence,
      triesBefore: row.tries - 1,
      body: this.#text(row.request, [project, id, row.number]),
    }));
  }

  /** Says that a process still serves its lines, and still records the calls of those that have ended. */
  async beat(owner: string): Promise<void> {
    await this.#db.query("update batch_lines set claimed_at = now() where owner = $1", [owner]);
  }

  /**
   * Writes how a line has ended, once; the line stays with its process until `recorded`. False where another process has taken the line.
   */
  async settle(line: ClaimedLine, call: string, { isDone, text }: LineResult): Promise<boolean> {
    const { rowCount } = await this.#db.query(
      `with ended as (
         update batch_lines set state = $5, result = $6, call = $7, claimed_at = now(), request = ''
          where project = $1 and batch = $2 and number = $3 and fence = $4 and state = 'claimed' returning state)
       update batches set completed = completed + (ended.state = 'done')::int, failed = failed + (ended.state = 'failed')::int
         from ended where project = $1 and id = $2`,
      [
        line.project,
        line.batch,
        line.number,
        line.fence,
        isDone ? "done" : "failed",
        this.#closed(text, [line.project, line.batch, line.number]),
        call,
      ],
    );
    return rowCount === 1;
  }

  /** Writes the result of a line that is done anew: what was paid for differs from what the engine said. */
  async correct(line: ClaimedLine, text: string): Promise<void> {
    await this.#db.query(
      "update batch_lines set result = $5 where project = $1 and batch = $2 and number = $3 and fence = $4 and state = 'done'",
      [line.project, line.batch, line.number, line.fence, this.#closed(text, [line.project, line.batch, line.number])],
    );
  }

  /**
   * Ends the claims of these lines: the records of their calls can be read, so their batches may end. A line whose result could not be
   * written is given back, and one that another process has taken is left as it is.
   */
  async recorded(lines: readonly LineClaim[]): Promise<void> {
    await this.#db.query(
      `update batch_lines l set owner = null, state = case l.state when 'claimed' then 'waiting' else l.state end
         from unnest($1::text[], $2::text[], $3::int[], $4::bigint[]) as ended (project, batch, number, fence)
        where l.project = ended.project and l.batch = ended.batch and l.number = ended.number and l.fence = ended.fence
          and l.owner is not null`,
      [
        lines.map(({ project }) => project),
        lines.map(({ batch }) => batch),
        lines.map(({ number }) => number),
        lines.map(({ fence }) => fence),
      ],
    );
  }

  /** Gives a line back, to be tried again after a while. `isTry`: the try counts among those that it has. */
  async release(line: ClaimedLine, { afterMs, isTry }: { afterMs: number; isTry: boolean }): Promise<void> {
    await this.#db.query(
      `update batch_lines set state = 'waiting', owner = null, not_before = now() + make_interval(secs => $5), tries = tries - $6
        where project = $1 and batch = $2 and number = $3 and fence = $4 and state = 'claimed'`,
      [line.project, line.batch, line.number, line.fence, afterMs / 1000, isTry ? 0 : 1],
    );
  }

  /** Adds lines to a batch that is being validated. */
  async addLines({ project, id }: BatchName, lines: readonly BatchLine[], client: Queryable): Promise<void> {
    await client.query(
      `insert into batch_lines (project, batch, number, custom_id, state, request)
       select $1, $2, number, custom_id, 'waiting', request
         from unnest($3::int[], $4::text[], $5::bytea[]) as line (number, custom_id, request)`,
      [
        project,
        id,
        lines.map(({ number }) => number),
        lines.map(({ customId }) => customId),
        lines.map(({ number, body }) => this.#closed(body, [project, id, number])),
      ],
    );
  }

  /** Lines in their order, some at a time; `text` is undefined for a line that was not served. */
  async *results(
    { project, id }: BatchName,
    client: Queryable,
  ): AsyncGenerator<{ number: number; customId: string; isDone: boolean; text: string | undefined }, void> {
    for (let after = 0; ;) {
      const { rows } = await client.query<{ number: number; custom_id: string; state: string; result: Buffer | null }>(
        `select number, custom_id, state, result from batch_lines where project = $1 and batch = $2 and number > $3
          order by number limit $4`,
        [project, id, after, limits.resultsRead],
      );
      for (const { number, custom_id: customId, state, result } of rows) {
        const text = result ? this.#text(result, [project, id, number]) : undefined;
        yield { number, customId, isDone: state === "done", text };
        after = number;
      }
      if (rows.length < limits.resultsRead) return;
    }
  }

  // A text is sealed as a member of an object, because what is sealed for stored responses is one.
  #closed = (text: string, of: readonly unknown[]): Buffer => sealed(this.#seal, JSON.stringify({ text }), of);
  #text = (bytes: Buffer, of: readonly unknown[]): string => opened(this.#seal, bytes, of)["text"] as string;
}
