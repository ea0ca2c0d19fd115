// Opening a database: the embedded one once it serves, or the operator's own, and bringing it to this version of the schema.
import { setTimeout as sleep } from "node:timers/promises";
import { LineshaftError } from "../errors/index.ts";
import { Database } from "./database.ts";
import { MigrationError } from "./migrate.ts";
import type { DatabaseUrls } from "./roles.ts";

const readyPollMs = 40;

/** Databases of the operator's own: `DATABASE_URL`, and `LINESHAFT_MIGRATION_URL` where migrations have a role of their own. */
export interface ExternalUrls {
  DATABASE_URL?: string | undefined;
  LINESHAFT_MIGRATION_URL?: string | undefined;
}

/** Opens the operator's own database and brings it to this version. Throws LineshaftError `database_unreachable`. */
export async function openExternal(url: string, { LINESHAFT_MIGRATION_URL: owner }: ExternalUrls): Promise<Database> {
  await assertAnswers(url, "DATABASE_URL", ", or unset it to use the embedded Postgres");
  if (owner) await assertAnswers(owner, "LINESHAFT_MIGRATION_URL", "");
  return openMigrated({ owner: owner ?? url, runtime: url });
}

async function assertAnswers(url: string, variable: string, or: string): Promise<void> {
  const db = new Database(url, { connections: 1 });
  try {
    await db.query("select 1");
  } catch (error) {
    throw new LineshaftError({
      code: "database_unreachable",
      message: `The database at ${new URL(url).host} cannot be used.`,
      why: (error as Error).message || (error as NodeJS.ErrnoException).code,
      hint: `Check ${variable}${or}.`,
      cause: error,
    });
  } finally {
    await db.close();
  }
}

/** Migrates as the owner and connects as the role of run time; with one URL for both, that role owns the tables. */
export async function openMigrated(urls: DatabaseUrls): Promise<Database> {
  const db = new Database(urls.runtime);
  const owner = urls.owner === urls.runtime ? db : new Database(urls.owner, { connections: 1 });
  try {
    await owner.migrate(owner === db ? undefined : await roleOf(db));
    return db;
  } catch (error) {
    await db.close();
    if (!(error instanceof MigrationError)) throw error;
    throw new LineshaftError({
      code: error.code,
      message: "The database cannot be brought to this version of Lineshaft.",
      why: error.message,
      hint: "Start the version that made it, restore a backup, or begin anew in another LINESHAFT_HOME.",
      cause: error,
    });
  } finally {
    if (owner !== db) await owner.close();
  }
}

async function roleOf(db: Database): Promise<string> {
  const { rows } = await db.query<{ name: string }>("select current_user::text as name");
  return rows[0]!.name;
}

/** Resolves when the server takes connections. Throws LineshaftError `home_damaged` when it refuses the password. */
export async function untilServing(url: string, signal: AbortSignal): Promise<void> {
  const server = new Database(url, { connections: 1 });
  try {
    await untilItAnswers(server, signal);
  } finally {
    await server.close();
  }
}

async function untilItAnswers(server: Database, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await server.query("select 1");
      return;
    } catch (error) {
      if (isWrongPassword(error))
        throw new LineshaftError({
          code: "home_damaged",
          message: "The embedded Postgres refuses this home's password.",
          why: "secrets.json is not the one that the data was made with.",
          hint: "Restore secrets.json from a backup, or move the home away to begin anew.",
          cause: error,
        });
    }
    await sleep(readyPollMs, undefined, { signal });
  }
}

function isWrongPassword(error: unknown): boolean {
  return (error as { code?: string }).code === "28P01";
}
