// Loads a backup into an empty database, in one transaction: the migrations up to the backup's version, its rows, its sequences, the
// migrations up to this version, and what the caller does with it. Whatever interrupts it leaves the database empty.
//
// It needs the rights of the tables' owner and no more. Foreign keys are dropped for the time of the load and made again after it, so that
// tables come in any order and each key is checked once, over all rows. Triggers of the tables are off meanwhile: rows of a backup were
// checked when they were written.
import type pg from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { once } from "node:events";
import { finished } from "node:stream/promises";
import { breakOff, endClient, makeClient } from "../connection.ts";
import { makeMigrationsTable, migrationLock, readMigrations, runMigration, type Migration } from "../migrate.ts";
import { BackupError } from "./errors.ts";
import type { Manifest, Part } from "./manifest.ts";

interface LoadOptions {
  /** Connects as the owner of the tables that are made. */
  url: string;
  /** Of a backup that was read to its end and found whole. */
  manifest: Manifest;
  /** Reads the backup again and hands its parts on; throws when it is not the same any more. */
  parts(onPart: (part: Part) => Promise<void>): Promise<Manifest>;
  /** The last statements of the transaction, at this version of the schema. */
  finish(client: pg.Client): Promise<void>;
  signal?: AbortSignal | undefined;
}

/** Throws BackupError `restore_refused` when the database has anything in it, and `backup_unknown` when this version does not fit. */
export async function loadBackup({ url, manifest, parts, finish, signal }: LoadOptions): Promise<void> {
  const migrations = readMigrations();
  assertKnown(manifest, migrations);
  const client = makeClient(url, "lineshaft restore");
  signal?.addEventListener("abort", () => breakOff(client), { once: true });
  await client.connect();
  try {
    await client.query("begin");
    await client.query("set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0");
    await client.query("select pg_advisory_xact_lock($1)", [migrationLock]);
    await assertEmpty(client);
    await makeMigrationsTable(client);
    for (const migration of migrations.slice(0, manifest.migrations.length))
      await runMigration(client, migration, { record: false });
    await assertShape(client, manifest);
    const keys = await foreignKeys(client);
    for (const { drop } of keys) await client.query(drop);
    await loadRows(client, manifest, parts);
    await setSequences(client, manifest);
    for (const { add } of keys) await client.query(add);
    for (const migration of migrations.slice(manifest.migrations.length)) await runMigration(client, migration);
    await finish(client);
    await client.query("commit");
    // Without figures on the tables the first queries would be planned as if these were empty.
    await client.query("analyze");
  } finally {
    // Before the commit this rolls back.
    await endClient(client);
  }
}

/** Throws BackupError `restore_refused` when the database has any table, view or function of its own. */
export async function assertEmptyDatabase(url: string): Promise<void> {
  const client = makeClient(url, "lineshaft restore");
  await client.connect();
  try {
    await assertEmpty(client);
  } finally {
    await endClient(client);
  }
}

async function assertEmpty(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ name: string; database: string }>(
    `select o.name, current_database()::text as database from (
       select c.oid, c.relname::text as name from pg_class c where c.relnamespace = current_schema()::regnamespace
       union all
       select p.oid, p.proname::text || '()' from pg_proc p where p.pronamespace = current_schema()::regnamespace
     ) o where not exists (select from pg_depend d where d.objid = o.oid and d.deptype = 'e') order by o.name limit 1`,
  );
  if (rows[0])
    throw new BackupError("restore_refused", {
      why: `The database ${rows[0].database} has something in it already, for example ${rows[0].name}.`,
      hint: "Make an empty database (`create database NAME owner ROLE`) and name it in DATABASE_URL.",
    });
}

function assertKnown(manifest: Manifest, migrations: Migration[]): void {
  for (const { number, name, checksum } of manifest.migrations) {
    const known = migrations[number - 1];
    if (!known)
      throw new BackupError("backup_unknown", {
        why: `It is at migration ${number} (${name}), and this version of Lineshaft knows ${migrations.length}.`,
        hint: `Use Lineshaft ${manifest.lineshaft}, which made it, or a newer one.`,
      });
    if (known.checksum !== checksum)
      throw new BackupError("backup_unknown", {
        why: `Its migration ${number} (${name}) is not the one of this version.`,
        hint: `Use Lineshaft ${manifest.lineshaft}, which made it.`,
      });
  }
}

/** The tables that the migrations have made must be those of the backup, with its columns. */
async function assertShape(client: pg.Client, manifest: Manifest): Promise<void> {
  const { rows } = await client.query<{ name: string; columns: string[] }>(
    `select c.relname::text as name, array_agg(a.attname::text order by a.attnum) filter (where a.attgenerated = '') as columns
     from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' group by c.relname`,
  );
  const made = new Map(rows.map(({ name, columns }) => [name, columns]));
  for (const { name, columns } of manifest.tables) {
    if (made.get(name)?.toSorted().join() !== columns.toSorted().join())
      throw new BackupError("backup_unknown", {
        why: `Its table ${name} has other columns than the migrations of this version make.`,
      });
    made.delete(name);
  }
  const [missing] = made.keys();
  if (missing !== undefined) throw new BackupError("backup_damaged", { why: `The table ${missing} is missing.` });
}

async function foreignKeys(client: pg.Client): Promise<{ drop: string; add: string }[]> {
  const { rows } = await client.query<{ drop: string; add: string }>(
    `select format('alter table %s drop constraint %I', conrelid::regclass, conname) as drop,
       format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) as add
     from pg_constraint where contype = 'f' and connamespace = current_schema()::regnamespace and conparentid = 0
     order by conrelid, conname`,
  );
  return rows;
}

async function loadRows(client: pg.Client, manifest: Manifest, parts: LoadOptions["parts"]): Promise<void> {
  const tables = new Map(manifest.tables.map((table) => [`tables/${table.name}`, table]));
  // Migrations put rows of their own into some tables; those of the backup take their place.
  for (const name of manifest.tables.map((table) => client.escapeIdentifier(table.name)))
    await client.query(`alter table ${name} disable trigger user`);
  await client.query(
    ["truncate", manifest.tables.map(({ name }) => client.escapeIdentifier(name)).join(", ")].join(" "),
  );
  let copy: TableCopy | undefined;
  const again = await parts(async ({ stream, bytes }) => {
    const table = tables.get(stream);
    if (copy?.stream !== stream) {
      await copy?.end();
      copy = table && new TableCopy(client, stream, table);
    }
    await copy?.write(bytes);
  });
  await copy?.end();
  if (JSON.stringify(again) !== JSON.stringify(manifest))
    throw new BackupError("backup_damaged", { why: "The file was changed while it was restored." });
  for (const name of manifest.tables.map((table) => client.escapeIdentifier(table.name)))
    await client.query(`alter table ${name} enable trigger user`);
}

/** The rows of one table. A statement ends where a part ends with a whole row, so that none grows with the table. */
class TableCopy {
  readonly stream: string;
  readonly #client: pg.Client;
  readonly #table: Manifest["tables"][number];
  #statement: ReturnType<typeof copyFrom> | undefined;
  #rows = 0;

  constructor(client: pg.Client, stream: string, table: Manifest["tables"][number]) {
    this.stream = stream;
    this.#client = client;
    this.#table = table;
  }

  async write(bytes: Buffer): Promise<void> {
    const statement = (this.#statement ??= this.#begin());
    if (!statement.write(bytes)) await Promise.race([once(statement, "drain"), finished(statement)]);
    if (bytes.at(-1) === 0x0a) await this.#finish();
  }

  #begin(): ReturnType<typeof copyFrom> {
    const name = this.#client.escapeIdentifier(this.#table.name);
    const columns = this.#table.columns.map((column) => this.#client.escapeIdentifier(column)).join(", ");
    const statement = this.#client.query(copyFrom(`copy ${name} (${columns}) from stdin`));
    // A connection that is lost fails the statement twice, the second time when nothing listens any more.
    statement.on("error", () => {});
    return statement;
  }

  async #finish(): Promise<void> {
    const statement = this.#statement;
    if (!statement) return;
    this.#statement = undefined;
    statement.end();
    await finished(statement);
    this.#rows += statement.rowCount;
  }

  async end(): Promise<void> {
    await this.#finish();
    if (this.#rows !== this.#table.rows)
      throw new BackupError("backup_damaged", {
        why: `The table ${this.#table.name} got ${this.#rows} rows, and the backup says ${this.#table.rows}.`,
      });
  }
}

/** Each sequence goes on behind the last value that it gave and behind every value of its column. */
async function setSequences(client: pg.Client, manifest: Manifest): Promise<void> {
  for (const { table, column, last } of manifest.sequences) {
    const { rows } = await client.query<{ statement: string }>(
      `select format('select setval(%L, greatest(coalesce(max(%I), 0), coalesce(%L::bigint, 0), 1), greatest(coalesce(max(%I), 0), coalesce(%L::bigint, 0)) > 0) from %I',
         pg_get_serial_sequence(format('%I', $1::text), $2), $2::text, $3::text, $2::text, $3::text, $1::text) as statement`,
      [table, column, last],
    );
    await client.query(rows[0]!.statement);
  }
}
