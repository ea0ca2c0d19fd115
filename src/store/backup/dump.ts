// Every table of one snapshot of a database, as COPY text: what pg_dump does, in one connection, without its program. The embedded Postgres
// ships no pg_dump, and COPY needs the right to read only, so any role of Lineshaft's can make a backup.
//
// Tables are locked against changes of their shape before the snapshot is taken, so that no migration falls between the two.
import type pg from "pg";
import { to as copyTo } from "pg-copy-streams";
import { access } from "../access.ts";
import { bounded, breakOff, endClient, makeClient } from "../connection.ts";
import { limits } from "../limits.ts";
import { readMigrations } from "../migrate.ts";
import { BackupError } from "./errors.ts";
import type { Facts, Manifest, Stream } from "./manifest.ts";

type Table = Manifest["tables"][number];

/** A table and the columns of it that are copied. */
interface SnapshotTable {
  name: string;
  columns: string[];
}

/** An open snapshot. Disposing it ends its connection. */
export class Snapshot implements AsyncDisposable {
  readonly migrations: Facts["migrations"];
  readonly sequences: Facts["sequences"];
  /** Tables of the schema that Lineshaft did not make: they are not in the snapshot. */
  readonly foreign: string[];
  /** Tables that were read to their end, with their rows. */
  readonly read: Table[] = [];
  readonly #client: pg.Client;
  readonly #tables: SnapshotTable[];

  private constructor(client: pg.Client, taken: Taken) {
    this.#client = client;
    this.#tables = taken.tables;
    this.migrations = taken.migrations;
    this.sequences = taken.sequences;
    this.foreign = taken.foreign;
  }

  /**
   * Takes a snapshot of the database that `url` names. Throws BackupError `backup_failed` for a database without Lineshaft's tables and for
   * one of a newer version.
   */
  static async open(url: string, signal?: AbortSignal): Promise<Snapshot> {
    const client = makeClient(url, "lineshaft backup");
    signal?.addEventListener("abort", () => breakOff(client), { once: true });
    try {
      await client.connect();
      return new Snapshot(client, await take(client));
    } catch (error) {
      await endClient(client);
      throw error;
    }
  }

  /** Rows of every table, one stream a table, to be read in order and to their ends. */
  async *streams(): AsyncGenerator<Stream> {
    for (const table of this.#tables) yield { name: `tables/${table.name}`, bytes: this.#rows(table) };
  }

  async *#rows({ name, columns }: SnapshotTable): AsyncGenerator<Uint8Array> {
    const list = columns.map((column) => this.#client.escapeIdentifier(column)).join(", ");
    const copy = this.#client.query(copyTo(`copy ${this.#client.escapeIdentifier(name)} (${list}) to stdout`));
    // A connection that is lost fails the statement twice, the second time when nothing listens any more.
    copy.on("error", () => {});
    const pieces = copy[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    for (;;) {
      const { done, value } = await bounded(this.#client, limits.backupStallMs, pieces.next());
      if (done) break;
      yield value;
    }
    // The number of rows is known once the server has said that the command is complete, hence before it answers the next one.
    await this.#client.query("select 1");
    this.read.push({ name, columns, rows: copy.rowCount });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endClient(this.#client);
  }
}

/** Text that is the same whatever the server's settings are, and no time in which the operator's settings would end the work. */
const settings = [
  "set local statement_timeout = 0",
  "set local idle_in_transaction_session_timeout = 0",
  `set local lock_timeout = ${limits.backupLockMs}`,
  "set local timezone = 'UTC'",
  "set local datestyle = 'ISO'",
  "set local intervalstyle = 'postgres'",
  "set local extra_float_digits = 1",
  "set local bytea_output = 'hex'",
].join("; ");

type Taken = Pick<Snapshot, "migrations" | "sequences" | "foreign"> & { tables: SnapshotTable[] };

/** Begins the transaction that the snapshot is, and reads what there is to copy. */
async function take(client: pg.Client): Promise<Taken> {
  for (;;) {
    const { own } = await tablesOf(client);
    if (!own.some(({ name }) => name === "migrations"))
      throw new BackupError("backup_failed", {
        why: "The database has no tables of Lineshaft.",
        hint: "Check DATABASE_URL and LINESHAFT_HOME: nothing was ever kept there.",
      });
    await client.query("begin isolation level repeatable read, read only");
    await client.query(settings);
    // No snapshot is taken by the lock, only by the first query after it.
    const names = own.map(({ name }) => client.escapeIdentifier(name)).join(", ");
    await client.query(`lock table ${names} in access share mode`);
    const { own: tables, foreign } = await tablesOf(client);
    if (JSON.stringify(tables) === JSON.stringify(own)) {
      await client.query("select set_config(name, '0', true) from pg_settings where name = 'transaction_timeout'");
      return { tables, foreign, migrations: await migrationsOf(client), sequences: await sequencesOf(client) };
    }
    // A migration came between: the next round sees its tables.
    await client.query("rollback");
  }
}

/**
 * Plain tables of the schema with the columns that are written (generated ones are computed again). At this version's migrations, those
 * that are declared in access.ts are Lineshaft's, and the others belong to other programs; at an older version all are taken.
 */
async function tablesOf(client: pg.Client): Promise<{ own: SnapshotTable[]; foreign: string[] }> {
  const { rows } = await client.query<SnapshotTable>(
    `select c.relname::text as name,
       coalesce(array_agg(a.attname::text order by a.attnum) filter (where a.attgenerated = ''), '{}') as columns
     from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'
       and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
     group by c.relname order by c.relname`,
  );
  const known = rows.some(({ name }) => name === "migrations") ? (await migrationsOf(client)).length : 0;
  if (known !== readMigrations().length) return { own: rows, foreign: [] };
  const isOwn = ({ name }: SnapshotTable) => name === "migrations" || name in access;
  return { own: rows.filter(isOwn), foreign: rows.filter((table) => !isOwn(table)).map(({ name }) => name) };
}

async function migrationsOf(client: pg.Client): Promise<Facts["migrations"]> {
  const { rows } = await client.query<Facts["migrations"][number]>(
    "select number, name, checksum from migrations order by number",
  );
  const here = readMigrations().length;
  if (rows.length > here)
    throw new BackupError("backup_failed", {
      why: `The database is at migration ${rows.length}, and this version knows ${here}.`,
      hint: "Make the backup with the version of Lineshaft that uses this database.",
    });
  return rows;
}

/** Sequences of columns. They stand outside of transactions, so they are at or beyond what the snapshot's rows have. */
async function sequencesOf(client: pg.Client): Promise<Facts["sequences"]> {
  const { rows } = await client.query<Facts["sequences"][number]>(
    `select c.relname::text as table, a.attname::text as column, s.last_value::text as last
     from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     join pg_sequences s on format('%I.%I', s.schemaname, s.sequencename)::regclass
       = pg_get_serial_sequence(c.oid::regclass::text, a.attname)::regclass
     where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and s.schemaname = current_schema()
       and (a.attidentity <> '' or a.atthasdef)
     order by 1, 2`,
  );
  return rows;
}
