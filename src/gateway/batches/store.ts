// Batches as rows. Every process works on every batch, so what may happen once is decided by a statement:
//
//   validating -> in_progress -> completed                      (the moments of each state are kept in `times`)
//              -> failed           an input file that is wrong
//              -> expired          the window is over; `ends` is the code that lines get which were not served
//              -> cancelling -> cancelled
//
// What happens to its lines stands in lineStore.ts.
import { newId, type Database, type Queryable } from "../../store/index.ts";
import { limits } from "../limits.ts";
import type { Owner } from "../responses/conversations.ts";
import type { PageWish } from "./files.ts";
import { batchOf, type BatchRow } from "./row.ts";
import type { BatchProblem } from "./lines.ts";
import type { Batch, BatchApi, BatchName, BatchStatus } from "./types.ts";

/** What a new batch is to be. */
type BatchWish = Pick<Batch, "endpoint" | "inputFile" | "metadata" | "outputKeptSeconds">;

export class BatchStore {
  readonly #db: Database;
  /** Is told of a batch that was made or cancelled. */
  onChange: (batch: Batch) => void = () => {};

  constructor({ db }: { db: Database }) {
    this.#db = db;
  }

  /** Undefined where the project has as many batches under way as it may. */
  async create(owner: Owner, wish: BatchWish): Promise<Batch | undefined> {
    const made = await this.#insert("batch", owner, wish, this.#db);
    return made && this.#changed(made);
  }

  /**
   * Creates a batch whose requests are here already: `addLines` writes them and answers their number, all in one transaction. Undefined
   * where the project has as many batches under way as it may.
   */
  async createWith(
    owner: Owner,
    wish: Omit<BatchWish, "inputFile">,
    addLines: (batch: Batch, client: Queryable) => Promise<number>,
  ): Promise<Batch | undefined> {
    const made = await this.#db.transaction(
      async (client) => {
        const inserted = await this.#insert("msgbatch", owner, { ...wish, inputFile: "" }, client);
        if (!inserted) return undefined;
        const total = await addLines(inserted, client);
        await this.begin(inserted, total, client);
        return { ...inserted, status: "in_progress" as const, total };
      },
      { boundMs: limits.batchWrittenMs },
    );
    return made && this.#changed(made);
  }

  async #insert(api: BatchApi, owner: Owner, wish: BatchWish, client: Queryable): Promise<Batch | undefined> {
    const { rows } = await client.query<BatchRow>(
      `insert into batches (project, id, organisation, key, endpoint, input_file, status, metadata, output_kept_seconds, expires_at)
       select $1, $2, $3, $4, $5, $6, 'validating', $7, $8, now() + make_interval(secs => $9)
        where (select count(*) from batches where project = $1 and status in ('validating', 'in_progress', 'cancelling')) < $10
       returning *`,
      [
        owner.project,
        newId(api),
        owner.organisation,
        owner.key,
        wish.endpoint,
        wish.inputFile,
        wish.metadata ?? null,
        wish.outputKeptSeconds,
        limits.batchWindowMs / 1000,
        limits.openBatchesMost,
      ],
    );
    return rows[0] && batchOf(rows[0]);
  }

  async get(project: string, id: string): Promise<Batch | undefined> {
    const { rows } = await this.#db.query<BatchRow>("select * from batches where project = $1 and id = $2", [
      project,
      id,
    ]);
    return rows[0] && batchOf(rows[0]);
  }

  /** Newest first unless `ascending`, of both APIs unless one is named; one more than `limit` where there are more. */
  async list(
    project: string,
    {
      after,
      limit,
      ascending = false,
      api,
      status,
    }: Pick<PageWish, "after" | "limit"> & { ascending?: boolean; api?: BatchApi; status?: BatchStatus | undefined },
  ): Promise<Batch[]> {
    const [compare, order] = ascending ? [">", "asc"] : ["<", "desc"];
    const { rows } = await this.#db.query<BatchRow>(
      `select * from batches
        where project = $1 and ($2::text is null or id ${compare} $2) and ($3::text is null or status = $3)
          and ($4::text is null or starts_with(id, $4))
        order by id ${order} limit $5`,
      [project, after ?? null, status ?? null, api === undefined ? null : `${api}_`, limit + 1],
    );
    return rows.map(batchOf);
  }

  /**
   * The batch as it is then; undefined where the project has none of that id, or where it has ended. Lines under way go on to their end.
   */
  async cancel(project: string, id: string): Promise<Batch | undefined> {
    const { rows } = await this.#db.query<BatchRow>(
      `update batches set status = 'cancelling', ends = coalesce(ends, 'batch_cancelled'), times = times || ${moment("cancelling_at")}
        where project = $1 and id = $2 and status in ('validating', 'in_progress') returning *`,
      [project, id],
    );
    return rows[0] && this.#changed(batchOf(rows[0]));
  }

  #changed(batch: Batch): Batch {
    this.onChange(batch);
    return batch;
  }

  /** Some of the batches that have not ended, in any order. */
  async open(): Promise<Batch[]> {
    const { rows } = await this.#db.query<BatchRow>(
      "select * from batches where status in ('validating', 'in_progress', 'cancelling') order by random() limit $1",
      [limits.batchesLookedAt],
    );
    return rows.map(batchOf);
  }

  /** No further line of it is begun; those that are not served get this code. */
  async end({ project, id }: BatchName, code: string): Promise<void> {
    await this.#db.query("update batches set ends = coalesce(ends, $3) where project = $1 and id = $2", [
      project,
      id,
      code,
    ]);
  }

  /**
   * A batch in a transaction in which no other process has it, with `work`. Undefined where another process has it, or where it is no
   * longer as `which` says. `boundMs`: of the whole transaction.
   */
  async alone<Result>(
    { project, id }: BatchName,
    which: (batch: Batch) => boolean,
    work: (batch: Batch, client: Queryable) => Promise<Result>,
  ): Promise<Result | undefined> {
    return this.#db.transaction(
      async (client) => {
        const { rows } = await client.query<BatchRow>(
          "select * from batches where project = $1 and id = $2 for no key update skip locked",
          [project, id],
        );
        const batch = rows[0] && batchOf(rows[0]);
        return batch && which(batch) ? work(batch, client) : undefined;
      },
      { boundMs: limits.batchWrittenMs },
    );
  }

  async begin({ project, id }: BatchName, total: number, client: Queryable): Promise<void> {
    await client.query(
      `update batches set status = 'in_progress', total = $3, times = times || ${moment("in_progress_at")}
        where project = $1 and id = $2`,
      [project, id, total],
    );
  }

  async fail({ project, id }: BatchName, problems: readonly BatchProblem[], client: Queryable): Promise<void> {
    await client.query("delete from batch_lines where project = $1 and batch = $2", [project, id]);
    await client.query(
      `update batches set status = 'failed', errors = $3, times = times || ${moment("failed_at")} where project = $1 and id = $2`,
      [project, id, JSON.stringify(problems)],
    );
  }

  /**
   * Whether the batch must wait: for lines that are not served, unless it is to end, for those that a living process serves, and for those
   * whose calls a living process has not recorded yet.
   */
  async hasWork({ project, id }: BatchName, client: Queryable): Promise<boolean> {
    const { rows } = await client.query<{ left: boolean }>(
      `select exists (select from batch_lines l join batches b on b.project = l.project and b.id = l.batch
                       where l.project = $1 and l.batch = $2 and l.state in ('waiting', 'claimed') and b.ends is null)
           or exists (select from batch_lines l
                       where l.project = $1 and l.batch = $2 and l.owner is not null
                         and l.claimed_at >= now() - make_interval(secs => $3)) as left`,
      [project, id, limits.lineDeadMs / 1000],
    );
    return rows[0]!.left;
  }

  /** Ends a batch whose output is written; its lines go, because the files have them. */
  async finish(
    { project, id }: BatchName,
    {
      status,
      unserved,
      outputFile,
      errorFile,
    }: { status: BatchStatus; unserved: number; outputFile: string | undefined; errorFile: string | undefined },
    client: Queryable,
  ): Promise<void> {
    await client.query("delete from batch_lines where project = $1 and batch = $2", [project, id]);
    await client.query(
      `update batches set status = $3, failed = failed + $4, unserved = $4, output_file = $5, error_file = $6,
              times = times || ${moment("finalizing_at")} || ${moment(`${status}_at`)}
        where project = $1 and id = $2`,
      [project, id, status, unserved, outputFile ?? null, errorFile ?? null],
    );
  }

  /** Removes a batch that has ended, with the files that it wrote. False where the project has none of that id that has ended. */
  async remove(project: string, id: string): Promise<boolean> {
    const { rows } = await this.#db.query(
      `with gone as (
         delete from batches where project = $1 and id = $2 and status in ${ended}
         returning project, output_file, error_file),
       files_gone as (
         delete from files f using gone where f.project = gone.project and f.id in (gone.output_file, gone.error_file))
       select from gone`,
      [project, id],
    );
    return rows.length === 1;
  }

  /**
   * Removes a project's batches, those under way included, and answers their number. A line that is served meanwhile finds its batch gone,
   * and costs nothing. Files go apart (files.ts), after the batches, because a batch that ends now writes some.
   */
  async erase(project: string): Promise<number> {
    const { rowCount } = await this.#db.query("delete from batches where project = $1", [project]);
    return rowCount ?? 0;
  }

  /** Removes batches that ended as long ago as a file is kept, or as their project keeps what it stores. */
  async sweep(): Promise<void> {
    await this.#db.query(
      `delete from batches where status in ${ended} and expires_at < now() - make_interval(secs => $1)`,
      [limits.fileKeptSeconds],
    );
    await this.#db.query(
      `delete from batches b using response_settings s
        where b.project = s.project and b.status in ${ended}
          and b.expires_at < now() - make_interval(secs => s.retention_days * 86400.0)`,
    );
  }
}

/** SQL of the states in which a batch has ended. */
const ended = "('failed', 'completed', 'expired', 'cancelled')";

/** SQL of one moment of `times`. `name` is one of ours. */
const moment = (name: string): string => `jsonb_build_object('${name}', trunc(extract(epoch from now()), 3))`;
