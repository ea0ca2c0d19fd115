// The database roles of the embedded Postgres, and how a data folder gets them.
//
//   lineshaft        the superuser that initdb made; used only here, to make the other two and the database
//   lineshaft_owner  owns the database and every table; used only while migrations run
//   lineshaft_app    what everything uses at run time: no superuser, owns nothing, holds the grants of access.ts
//
// A data folder of an earlier version has the superuser as owner of everything; its objects are handed to the owner role here.
// The superuser cannot be taken away (Postgres refuses it for the role of initdb), so run time simply connects as another role.
import pg from "pg";
import type { Queryable } from "./database.ts";
import { makeClient } from "./connection.ts";

export const bootstrapRole = "lineshaft";
/** The role that owns the tables of the embedded Postgres; for migrations, backups and restores. */
export const ownerRole = "lineshaft_owner";
/** The role that the running process connects as: it owns nothing and may do what access.ts grants. */
export const runtimeRole = "lineshaft_app";
const databaseName = "lineshaft";

export interface RolePasswords {
  owner: string;
  runtime: string;
}

export interface DatabaseUrls {
  /** Connects as the owner of the tables; for migrations. */
  owner: string;
  /** Connects as the restricted role; for everything else. */
  runtime: string;
}

/** The same server as another role, in another database. */
export function urlAs(server: string, role: string, password: string, database = databaseName): string {
  const url = new URL(server);
  url.username = role;
  url.password = encodeURIComponent(password);
  url.pathname = `/${database}`;
  return url.toString();
}

/**
 * Makes the roles and the database where they are missing, and sets passwords and ownership as they must be. `server` connects
 * as the superuser to any database of the server. Repeating it changes nothing.
 */
export async function prepareRoles(
  server: string,
  passwords: RolePasswords,
  database = databaseName,
): Promise<DatabaseUrls> {
  await withClient(inDatabase(server, "postgres"), async (client) => {
    for (const [role, password] of [
      [ownerRole, passwords.owner],
      [runtimeRole, passwords.runtime],
    ] as const)
      await ensureRole(client, role, password);
    const found = await client.query("select from pg_database where datname = $1", [database]);
    if (found.rowCount === 0) await client.query(`create database ${pg.escapeIdentifier(database)} owner ${ownerRole}`);
    await client.query(`alter database ${pg.escapeIdentifier(database)} owner to ${ownerRole}`);
    // Without temporary tables, nothing can stand in front of a table's name inside a function of the owner.
    await client.query(`revoke temporary, create on database ${pg.escapeIdentifier(database)} from public`);
  });
  await withClient(inDatabase(server, database), handOver);
  return {
    owner: urlAs(server, ownerRole, passwords.owner, database),
    runtime: urlAs(server, runtimeRole, passwords.runtime, database),
  };
}

async function ensureRole(client: pg.Client, role: string, password: string): Promise<void> {
  const found = await client.query("select from pg_roles where rolname = $1", [role]);
  if (found.rowCount === 0) await client.query(`create role ${role}`);
  await client.query(
    `alter role ${role} with login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password ${pg.escapeLiteral(password)}`,
  );
}

/** Gives the owner role everything in the schema that another role owns: a data folder of before has it all with the superuser. */
async function handOver(client: pg.Client): Promise<void> {
  await client.query(`revoke create on schema public from public`);
  const { rows } = await client.query<{ statement: string }>(
    `select format('alter %s %s owner to %I',
              case c.relkind when 'S' then 'sequence' when 'v' then 'view' when 'm' then 'materialized view' else 'table' end,
              c.oid::regclass, $1::text) as statement
     from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S') and c.relowner <> $1::regrole
       -- The sequence of a column goes with its table.
       and not exists (select from pg_depend d where d.objid = c.oid and c.relkind = 'S' and d.deptype in ('a', 'i'))
     union all
     select format('alter routine %s owner to %I', p.oid::regprocedure, $1::text)
     from pg_proc p where p.pronamespace = 'public'::regnamespace and p.proowner <> $1::regrole`,
    [ownerRole],
  );
  for (const { statement } of rows) await client.query(statement);
}

/** True when this connection may do everything on its server, so that neither grants nor triggers bind it. */
export async function isSuperuser(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ super: boolean }>(
    "select rolsuper as super from pg_roles where rolname = current_user",
  );
  return rows[0]?.super === true;
}

/** What to do about it, for a person. */
export const superuserAdvice =
  "The database role of DATABASE_URL is a superuser: whatever runs as it can change the ledger and run programs on the database's machine. " +
  "Make a role for Lineshaft (`create role lineshaft login password '...'`, `create database lineshaft owner lineshaft`) and name it in DATABASE_URL.";

function inDatabase(server: string, database: string): string {
  const url = new URL(server);
  url.pathname = `/${database}`;
  return url.toString();
}

async function withClient<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = makeClient(url, "lineshaft roles");
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
