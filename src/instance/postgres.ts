// The database of an instance: the embedded server as a supervised child, or the one that DATABASE_URL names.
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { commandLine, FleetError, freePort, type ChildSpec, type Home, type Supervisor } from "../fleet/index.ts";
import {
  Database,
  MigrationError,
  preparePostgres,
  prepareRoles,
  type DatabaseUrls,
  type PostgresCommand,
} from "../store/index.ts";
import { childStopMs } from "./undo.ts";

const readyPollMs = 40;

export interface StartedDatabase {
  /** Connected as the restricted role, where there is one. */
  db: Database;
  /** Null with DATABASE_URL. */
  port: number | null;
}

/** Databases of the operator's own: `DATABASE_URL`, and `LINESHAFT_MIGRATION_URL` where migrations have a role of their own. */
export interface ExternalUrls {
  DATABASE_URL?: string | undefined;
  LINESHAFT_MIGRATION_URL?: string | undefined;
}

export async function startDatabase(
  home: Home,
  supervisor: Supervisor,
  external: ExternalUrls,
): Promise<StartedDatabase> {
  if (external.DATABASE_URL) return { db: await openExternal(external.DATABASE_URL, external), port: null };
  const port = await freePort();
  const secrets = home.secrets();
  const command = await preparePostgres({ home: home.path, port, password: secrets.postgresPassword });
  removeStalePidFile(command.dataFolder);
  await supervisor.start(postgresSpec(command));
  const urls = await prepareRoles(command.url, {
    owner: secrets.postgresOwnerPassword,
    runtime: secrets.postgresRuntimePassword,
  });
  return { db: await openMigrated(urls), port };
}

async function openExternal(url: string, { LINESHAFT_MIGRATION_URL: owner }: ExternalUrls): Promise<Database> {
  await assertAnswers(url, "DATABASE_URL", ", or unset it to use the embedded Postgres");
  if (owner) await assertAnswers(owner, "LINESHAFT_MIGRATION_URL", "");
  return openMigrated({ owner: owner ?? url, runtime: url });
}

async function assertAnswers(url: string, variable: string, or: string): Promise<void> {
  const db = new Database(url, { connections: 1 });
  try {
    await db.query("select 1");
  } catch (error) {
    throw new FleetError({
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
async function openMigrated(urls: DatabaseUrls): Promise<Database> {
  const db = new Database(urls.runtime);
  const owner = urls.owner === urls.runtime ? db : new Database(urls.owner, { connections: 1 });
  try {
    await owner.migrate(owner === db ? undefined : await roleOf(db));
    return db;
  } catch (error) {
    await db.close();
    if (!(error instanceof MigrationError)) throw error;
    throw new FleetError({
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

function postgresSpec(command: PostgresCommand): ChildSpec {
  return {
    name: "postgres",
    command: command.command,
    args: command.args,
    env: command.env,
    ...(command.uid !== undefined && { uid: command.uid, gid: command.gid }),
    ready: (_child, signal) => untilItServes(command.url, signal),
    // Recovery after a crash replays the log first; a large one takes a while.
    readyTimeoutMs: 120_000,
    stopSignal: command.stopSignal,
    stopTimeoutMs: childStopMs,
  };
}

async function untilItServes(url: string, signal: AbortSignal): Promise<void> {
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
        throw new FleetError({
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

/**
 * postmaster.pid of a server that was killed names a pid that may by now be somebody else's (in a restarted container it nearly
 * always is), and Postgres then refuses to start. Called with the home's lock held and orphans ended, so no server of ours runs.
 */
function removeStalePidFile(dataFolder: string): void {
  const path = join(dataFolder, "postmaster.pid");
  let pid: number;
  try {
    pid = Number(readFileSync(path, "utf8").split("\n")[0]);
  } catch {
    return;
  }
  const [program, ...words] = commandLine(pid);
  if (!program?.includes("postgres") || !words.includes(dataFolder)) rmSync(path, { force: true });
}
