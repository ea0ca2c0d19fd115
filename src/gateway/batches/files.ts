// Files of batches: uploaded by clients or written by batches, and removed when their time is over. Their bytes lie in rows of one chunk
// each, compressed and sealed, so that any process serves them and no statement holds a whole file. The project stands first in every key:
// what belongs to another project is answered as what does not exist.
//
//   begin -> write* -> complete      the file can be read from then on
//   begin -> write* -> discard       or nothing follows: a file that was never completed is removed by the sweep
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { LineshaftError } from "../../errors/index.ts";
import type { Seal } from "../../governance/index.ts";
import { newId, type Database, type Queryable } from "../../store/index.ts";
import { limits } from "../limits.ts";
import type { Owner } from "../responses/conversations.ts";

export interface StoredFile {
  id: string;
  purpose: string;
  name: string;
  bytes: number;
  createdAt: Date;
  expiresAt: Date;
}

interface FileRow {
  [column: string]: unknown;
  id: string;
  purpose: string;
  name: string;
  bytes: bigint;
  created_at: Date;
  expires_at: Date;
}

const columns = "id, purpose, name, bytes, created_at, expires_at";
const readable = "complete and expires_at > now()";

/** A page of a list: ids after `after`, newest first unless `ascending`. */
export interface PageWish {
  after: string | undefined;
  limit: number;
  ascending: boolean;
}

export class FileStore {
  readonly #db: Database;
  readonly #seal: Seal;

  constructor({ db, seal }: { db: Database; seal: Seal }) {
    this.#db = db;
    this.#seal = seal;
  }

  /** Begins an upload. Throws LineshaftError `too_many_files` where the project has as many files as it may. */
  async begin(owner: Owner, name: string): Promise<FileWriter> {
    const { filesMost, projectFileBytes: mostBytes } = limits;
    return this.#begin(owner, name, { client: this.#db, filesMost, mostBytes });
  }

  /**
   * Begins the output of a batch, in the transaction that ends it. No bound of the project refuses it: its requests were served and paid
   * for, and the batch's own bounds are its.
   */
  async beginOutput(owner: Owner, name: string, client: Queryable): Promise<FileWriter> {
    const most = Number.MAX_SAFE_INTEGER;
    return this.#begin(owner, name, { client, filesMost: most, mostBytes: most });
  }

  async #begin(
    { organisation, project, key }: Owner,
    name: string,
    { client, filesMost, mostBytes }: { client: Queryable; filesMost: number; mostBytes: number },
  ): Promise<FileWriter> {
    const id = newId("file");
    const { rowCount } = await client.query(
      `insert into files (project, id, organisation, key, purpose, name, bytes, chunks)
       select $1, $2, $3, $4, '', $5, 0, 0 where (select count(*) from files where project = $1) < $6`,
      [project, id, organisation, key, name, filesMost],
    );
    if (rowCount !== 1) throw tooManyFiles();
    return new FileWriter({ client, seal: this.#seal, project, id, mostBytes });
  }

  async get(project: string, id: string): Promise<StoredFile | undefined> {
    const { rows } = await this.#db.query<FileRow>(
      `select ${columns} from files where project = $1 and id = $2 and ${readable}`,
      [project, id],
    );
    return rows[0] && fileOf(rows[0]);
  }

  /** One more than `limit` where there are more. */
  async list(
    project: string,
    purpose: string | undefined,
    { after, limit, ascending }: PageWish,
  ): Promise<StoredFile[]> {
    const [compare, order] = ascending ? [">", "asc"] : ["<", "desc"];
    const { rows } = await this.#db.query<FileRow>(
      `select ${columns} from files
        where project = $1 and ${readable} and ($2::text is null or purpose = $2) and ($3::text is null or id ${compare} $3)
        order by id ${order} limit $4`,
      [project, purpose ?? null, after ?? null, limit + 1],
    );
    return rows.map(fileOf);
  }

  /** Its bytes in their order, one chunk after the other. Ends early where the file is removed meanwhile. */
  async *chunks(project: string, id: string, client: Queryable = this.#db): AsyncGenerator<Buffer, void> {
    for (let ordinal = 0; ; ordinal++) {
      const { rows } = await client.query<{ data: Buffer }>(
        `select c.data from file_chunks c join files f on f.project = c.project and f.id = c.file
          where c.project = $1 and c.file = $2 and c.ordinal = $3 and f.complete and f.expires_at > now()`,
        [project, id, ordinal],
      );
      if (!rows[0]) return;
      const packed = this.#seal.openBytes(rows[0].data, [project, id, ordinal]);
      yield zstdDecompressSync(packed, { maxOutputLength: limits.fileChunkBytes });
    }
  }

  /** False where the project has none of that id. */
  async remove(project: string, id: string): Promise<boolean> {
    const { rowCount } = await this.#db.query(`delete from files where project = $1 and id = $2 and ${readable}`, [
      project,
      id,
    ]);
    return rowCount === 1;
  }

  /** Removes a project's files and answers their number. An upload that is under way goes on. */
  async erase(project: string): Promise<number> {
    for (let erased = 0; ;) {
      const { rowCount } = await this.#db.query(
        "delete from files where project = $1 and id in (select id from files where project = $1 and complete limit $2)",
        [project, limits.filesErased],
      );
      erased += rowCount ?? 0;
      if ((rowCount ?? 0) < limits.filesErased) return erased;
    }
  }

  /** Removes files whose time is over, and those that were never completed. */
  async sweep(): Promise<void> {
    await this.#db.query(
      `delete from files where expires_at < now()
          or (not complete and created_at < now() - make_interval(secs => $1))`,
      [limits.fileWrittenMs / 1000],
    );
  }
}

/** Writes one file. What is written is collected to whole chunks. */
export class FileWriter {
  readonly id: string;
  readonly #client: Queryable;
  readonly #seal: Seal;
  readonly #project: string;
  /** Of all files of the project together. */
  readonly #mostBytes: number;
  #pieces: Buffer[] = [];
  #collected = 0;
  #ordinal = 0;

  constructor(of: { client: Queryable; seal: Seal; project: string; id: string; mostBytes: number }) {
    this.id = of.id;
    this.#client = of.client;
    this.#seal = of.seal;
    this.#project = of.project;
    this.#mostBytes = of.mostBytes;
  }

  /** Throws LineshaftError `files_full` where the project's files would hold more than they may. */
  async write(bytes: Buffer): Promise<void> {
    for (let rest = bytes; rest.length > 0;) {
      const piece = rest.subarray(0, limits.fileChunkBytes - this.#collected);
      this.#pieces.push(piece);
      this.#collected += piece.length;
      rest = rest.subarray(piece.length);
      if (this.#collected === limits.fileChunkBytes) await this.#flush();
    }
  }

  /** `keptSeconds`, from its creation on, is bounded by what the project keeps. Throws LineshaftError `files_full`. */
  async complete({ purpose, keptSeconds }: { purpose: string; keptSeconds: number }): Promise<StoredFile> {
    await this.#flush();
    const { rows } = await this.#client.query<FileRow>(
      `update files set purpose = $3, complete = true, expires_at = created_at + make_interval(secs => least($4, coalesce(
          (select greatest(s.retention_days, 1) * 86400.0 from response_settings s where s.project = $1), $4)))
        where project = $1 and id = $2 returning ${columns}`,
      [this.#project, this.id, purpose, keptSeconds],
    );
    return fileOf(rows[0]!);
  }

  async discard(): Promise<void> {
    await this.#client.query("delete from files where project = $1 and id = $2", [this.#project, this.id]);
  }

  async #flush(): Promise<void> {
    if (this.#collected === 0) return;
    const ordinal = this.#ordinal++;
    const packed = zstdCompressSync(Buffer.concat(this.#pieces));
    const { rowCount } = await this.#client.query(
      `with grown as (
         update files set bytes = bytes + $4, chunks = chunks + 1
          where project = $1 and id = $2 and (select sum(bytes) from files where project = $1) + $4 <= $5
         returning id)
       insert into file_chunks (project, file, ordinal, data) select $1, id, $3, $6 from grown`,
      [
        this.#project,
        this.id,
        ordinal,
        this.#collected,
        this.#mostBytes,
        this.#seal.seal(packed, [this.#project, this.id, ordinal]),
      ],
    );
    if (rowCount !== 1) throw filesFull();
    this.#pieces = [];
    this.#collected = 0;
  }
}

const fileOf = (row: FileRow): StoredFile => ({
  id: row.id,
  purpose: row.purpose,
  name: row.name,
  bytes: Number(row.bytes),
  createdAt: row.created_at,
  expiresAt: row.expires_at,
});

const tooManyFiles = (): LineshaftError =>
  new LineshaftError({
    code: "too_many_files",
    message: `A project has at most ${limits.filesMost} files.`,
    hint: "Delete some of them, or wait until they expire.",
  });

const filesFull = (): LineshaftError =>
  new LineshaftError({
    code: "files_full",
    message: `The files of a project hold at most ${limits.projectFileBytes / 1024 ** 3} GiB together.`,
    hint: "Delete some of them, or wait until they expire.",
  });
