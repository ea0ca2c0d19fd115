// How much a project may keep in stored responses and conversations, and for how long, its files and batches included. The database adds up
// what is kept (migration 0038); a process asks for the sum of a project at most every few seconds, so the bound may be passed by what is
// stored in that time.
import { LineshaftError } from "../../errors/index.ts";
import type { Database } from "../../store/index.ts";
import { limits } from "../limits.ts";

/** What a project keeps, and may keep. */
export interface ProjectStorage {
  /** Bytes of items before they are compressed, and of what stands around them. */
  bytes: number;
  mostBytes: number;
  /** Responses are kept for so many days; 0: none are. Files are kept for no longer, and for a day at least. */
  retentionDays: number;
}

/** What an owner sets; null: the installation's own; absent: as it was. */
interface StorageSet {
  mostBytes?: number | null | undefined;
  retentionDays?: number | null | undefined;
}

interface Row {
  [column: string]: unknown;
  bytes: bigint;
  most_bytes: bigint | null;
  retention_days: number | null;
}

export class ResponseStorage {
  readonly #db: Database;
  readonly #now: () => number;
  /** What was read last, by project. */
  readonly #known = new Map<string, { readMs: number; storage: ProjectStorage }>();

  constructor(db: Database, now: () => number = () => performance.now()) {
    this.#db = db;
    this.#now = now;
  }

  /** As the database says. */
  async read(project: string): Promise<ProjectStorage> {
    const { rows } = await this.#db.query<Row>(
      `select coalesce(sum(kept.bytes), 0)::bigint as bytes, max(settings.most_bytes) as most_bytes,
              max(settings.retention_days) as retention_days
         from (values ($1::text)) as asked (project)
         left join response_settings settings on settings.project = asked.project
         left join stored_bytes kept on kept.project = asked.project`,
      [project],
    );
    const { bytes, most_bytes: most, retention_days: days } = rows[0]!;
    const storage = {
      bytes: Math.max(0, Number(bytes)),
      mostBytes: most === null ? limits.storedBytesPerProject : Number(most),
      retentionDays: days ?? limits.responseKeptDays,
    };
    if (this.#known.size >= limits.storagesKnown) this.#known.clear();
    this.#known.set(project, { readMs: this.#now(), storage });
    return storage;
  }

  /** As it was a few seconds ago at the most. */
  async of(project: string): Promise<ProjectStorage> {
    const known = this.#known.get(project);
    return known && this.#now() - known.readMs < limits.storageKnownMs ? known.storage : this.read(project);
  }

  /** Changes a project's settings. A shorter retention holds for what is kept already. */
  async set(project: string, { mostBytes, retentionDays }: StorageSet): Promise<ProjectStorage> {
    await this.#db.transaction(async (client) => {
      await client.query(
        `insert into response_settings as known (project, most_bytes, retention_days) values ($1, $2, $3)
         on conflict (project) do update set
           most_bytes = case when $4 then excluded.most_bytes else known.most_bytes end,
           retention_days = case when $5 then excluded.retention_days else known.retention_days end`,
        [project, mostBytes ?? null, retentionDays ?? null, mostBytes !== undefined, retentionDays !== undefined],
      );
      if (typeof retentionDays !== "number") return;
      await client.query(
        `update responses set expires_at = created_at + make_interval(days => $2)
          where project = $1 and expires_at > created_at + make_interval(days => $2)`,
        [project, retentionDays],
      );
      // A batch has a day in which it is served, and reads its input file in it.
      await client.query(
        `update files set expires_at = created_at + make_interval(days => greatest($2, 1))
          where project = $1 and expires_at > created_at + make_interval(days => greatest($2, 1))`,
        [project, retentionDays],
      );
    });
    return this.read(project);
  }

  /** Throws 507 where the project keeps as much as it may. */
  async makeSure(project: string): Promise<void> {
    const storage = await this.of(project);
    if (isFull(storage)) throw responsesFull(storage);
  }
}

export const isFull = ({ bytes, mostBytes }: ProjectStorage): boolean => bytes >= mostBytes;

export function responsesFull({ mostBytes }: ProjectStorage): LineshaftError {
  return new LineshaftError({
    code: "responses_full",
    message: `This project's stored responses and conversations have ${sizeText(mostBytes)}, which is the most that it may keep.`,
    hint: "Delete some, or send `store: false`. An owner can raise the bound with PUT /api/response-storage.",
  });
}

function sizeText(bytes: number): string {
  return bytes >= 1024 ** 2 ? `${Math.round(bytes / 1024 ** 2)} MiB` : `${bytes} bytes`;
}
