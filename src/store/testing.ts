// Databases for tests: one Postgres per test run (test/setup/postgres.ts), one database per caller, cloned from a template
// that has the migrations in it (about 30 ms instead of migrating anew). Tests connect as the restricted runtime role, as an
// instance does, so that a missing grant shows.
import { randomBytes } from "node:crypto";
import pg from "pg";
import type { QueryResultRow } from "pg";
import { Database } from "./database.ts";
import { ownerRole, runtimeRole, urlAs } from "./roles.ts";

/** URL of the run's server as its superuser; set by the global setup. */
export const testServerVariable = "LINESHAFT_TEST_DATABASE_URL";
export const templateName = "lineshaft_template";
export const testPasswords = { owner: "test owner", runtime: "test runtime" };

function serverUrl(database: string): string {
  const url = new URL(process.env[testServerVariable] ?? fail());
  url.pathname = `/${database}`;
  return url.toString();
}

function fail(): never {
  throw new Error(`${testServerVariable} is not set: run tests with 'npm test', whose global setup starts Postgres.`);
}

/** The same database as the owner of its tables, for what migrations do. */
export function asOwner(db: Database): Database {
  const name = new URL(db.url).pathname.slice(1);
  return new Database(urlAs(serverUrl(name), ownerRole, testPasswords.owner, name), { connections: 4 });
}

/** One statement as the superuser with triggers off: how a test makes a row that nothing else could make. */
export async function tamper<Row extends QueryResultRow>(
  db: Database,
  sql: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: serverUrl(new URL(db.url).pathname.slice(1)) });
  await client.connect();
  try {
    await client.query("set session_replication_role = replica");
    return (await client.query<Row>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

/** A fresh, migrated database. `await using` drops it; `url` serves processes that connect on their own. */
export async function testDatabase(): Promise<Database & AsyncDisposable> {
  const name = `test_${randomBytes(8).toString("hex")}`;
  await administer(`create database ${name} template ${templateName} owner ${ownerRole}`);
  // A clone has the grants of its template, but not those on the database itself.
  await administer(`revoke temporary, create on database ${name} from public`);
  const url = urlAs(serverUrl(name), runtimeRole, testPasswords.runtime, name);
  const database = new Database(url, { connections: 6 });
  return Object.assign(database, {
    async [Symbol.asyncDispose]() {
      await database.close();
      await administer(`drop database if exists ${name} with (force)`);
    },
  });
}

async function administer(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: serverUrl("postgres") });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
