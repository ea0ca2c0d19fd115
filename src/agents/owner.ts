// Who works on a run: this process, as an advisory lock of one database session. When the process ends, however it ends, the
// session ends and the lock is free; others see it at once, with no clock and no heartbeat. When only the session breaks, the
// process takes a new lock, and the fence of every run (runs.fence) keeps what it had begun from being written twice.
import { randomInt } from "node:crypto";
import pg from "pg";

/** Namespace of these locks (`classid` in pg_locks). */
export const ownerNamespace = 1_279_870_290;

/** True in SQL when the owner in a column of `runs` is gone. */
export const ownerGone = `not exists (select from pg_locks where locktype = 'advisory' and classid = ${ownerNamespace}
  and objid = runs.owner::oid and objsubid = 2 and granted
  and database = (select oid from pg_database where datname = current_database()))`;

export class Owner {
  /** 31 random bits. */
  readonly id = randomInt(1, 2 ** 31 - 1);
  readonly #url: string;
  #client: pg.Client | undefined;
  #closed = false;

  constructor(databaseUrl: string) {
    this.#url = databaseUrl;
  }

  async open(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: "lineshaft-agents",
      keepAlive: true,
    });
    client.on("error", () => this.#lost(client));
    client.on("end", () => this.#lost(client));
    await client.connect();
    await client.query("select pg_advisory_lock($1, $2)", [ownerNamespace, this.id]);
    if (this.#closed) await client.end();
    else this.#client = client;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => {});
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client || this.#closed) return;
    this.#client = undefined;
    this.#reopen();
  }

  #reopen(): void {
    if (this.#closed) return;
    this.open().catch(() => setTimeout(() => this.#reopen(), 500).unref());
  }
}
