// Numbered SQL migrations: `migrations/0001_name.sql` and on, applied in order, each in its own transaction, never edited
// once released (a checksum is kept and compared). An advisory lock lets several processes start at once.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import type { Client, PoolClient } from "pg";
import { LineshaftError } from "../errors/index.ts";
import { applyAccess } from "./access.ts";

const folder = new URL("./migrations/", import.meta.url);
/** The advisory lock of migrations: any constant that nothing else locks in this database. */
export const migrationLock = 4070_0001;

/** One file of `migrations/`. */
export interface Migration {
  number: number;
  name: string;
  sql: string;
  checksum: string;
}

/** The migrations that are here do not fit what was applied, or one of them failed. */
export class MigrationError extends LineshaftError {
  constructor(message: string, options?: ErrorOptions) {
    super({ code: "migration_failed", message, cause: options?.cause });
  }
}

/** The migrations of this version, in order. Throws MigrationError for a gap in their numbers. */
export function readMigrations(): Migration[] {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith(".sql"))
    .toSorted();
  return files.map((file, index) => {
    const match = /^(\d{4})_([a-z0-9_]+)\.sql$/.exec(file);
    if (!match || Number(match[1]) !== index + 1)
      throw new MigrationError(`Migration files must be numbered without gaps: found ${file} at place ${index + 1}.`);
    const sql = readFileSync(new URL(file, folder), "utf8");
    return { number: index + 1, name: match[2]!, sql, checksum: createHash("sha256").update(sql).digest("hex") };
  });
}

interface MigrateOptions {
  migrations?: Migration[];
  /** The restricted role that run time connects as; without one the owner's role is used at run time too. */
  runtimeRole?: string | undefined;
}

/** Brings the database up to date, gives the runtime role its rights, and answers the migrations that were applied now. */
export async function migrate(
  client: Client | PoolClient,
  { migrations = readMigrations(), runtimeRole }: MigrateOptions = {},
): Promise<Migration[]> {
  await client.query("select pg_advisory_lock($1)", [migrationLock]);
  try {
    await makeMigrationsTable(client);
    const { rows } = await client.query<{ number: number; checksum: string }>(
      "select number, checksum from migrations",
    );
    const applied = new Map(rows.map((row) => [row.number, row.checksum]));
    const newest = Math.max(0, ...applied.keys());
    if (newest > migrations.length)
      throw new MigrationError(
        `The database is at migration ${newest}, this Lineshaft knows ${migrations.length}. Start a newer Lineshaft, or restore an older backup.`,
      );
    const pending = migrations.filter((migration) => {
      const known = applied.get(migration.number);
      if (known !== undefined && known !== migration.checksum)
        throw new MigrationError(`Migration ${migration.number} (${migration.name}) was changed after it was applied.`);
      return known === undefined;
    });
    for (const migration of pending) await apply(client, migration);
    if (runtimeRole !== undefined) await applyAccess(client, runtimeRole);
    return pending;
  } finally {
    await client.query("select pg_advisory_unlock($1)", [migrationLock]);
  }
}

/** Makes the table that says which migrations were applied, where it is missing. */
export async function makeMigrationsTable(client: Client | PoolClient): Promise<void> {
  await client.query(`create table if not exists migrations (
    number integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now())`);
}

/** When the migration of this name was applied. */
export async function migratedAt(client: Client | PoolClient, name: string): Promise<Date> {
  const { rows } = await client.query<{ applied_at: Date }>("select applied_at from migrations where name = $1", [
    name,
  ]);
  if (!rows[0]) throw new MigrationError(`The migration ${name} was not applied.`);
  return rows[0].applied_at;
}

async function apply(client: Client | PoolClient, migration: Migration): Promise<void> {
  await client.query("begin");
  try {
    await runMigration(client, migration);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}

/**
 * Applies one migration in the caller's transaction and, unless `record` is false, notes it in the table of migrations. Throws
 * MigrationError.
 */
export async function runMigration(
  client: Client | PoolClient,
  migration: Migration,
  { record = true }: { record?: boolean } = {},
): Promise<void> {
  const { number, name, checksum, sql } = migration;
  try {
    await client.query(sql);
    if (record)
      await client.query("insert into migrations (number, name, checksum) values ($1, $2, $3)", [
        number,
        name,
        checksum,
      ]);
  } catch (error) {
    throw new MigrationError(`Migration ${number} (${name}) failed: ${(error as Error).message}`, { cause: error });
  }
}
