// The database of an instance: the embedded server as a supervised child, or the one that DATABASE_URL names.
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { commandLine, FleetError, freePort, type ChildSpec, type Home, type Supervisor } from "../../fleet/index.ts";
import { Database, MigrationError, preparePostgres, type PostgresCommand } from "../../store/index.ts";

const readyPollMs = 40;

export interface StartedDatabase {
  db: Database;
  /** Null with DATABASE_URL. */
  port: number | null;
}

export async function startDatabase(
  home: Home,
  supervisor: Supervisor,
  url: string | undefined,
): Promise<StartedDatabase> {
  if (url) return { db: await openExternal(url), port: null };
  const port = await freePort();
  const command = await preparePostgres({ home: home.path, port, password: home.secrets().postgresPassword });
  removeStalePidFile(command.dataFolder);
  await supervisor.start(postgresSpec(command));
  return { db: await migrated(new Database(command.url)), port };
}

async function openExternal(url: string): Promise<Database> {
  const db = new Database(url);
  try {
    await db.query("select 1");
  } catch (error) {
    await db.close();
    throw new FleetError({
      code: "database_unreachable",
      message: `The database at ${new URL(url).host} cannot be used.`,
      why: (error as Error).message || (error as NodeJS.ErrnoException).code,
      hint: "Check DATABASE_URL, or unset it to use the embedded Postgres.",
      cause: error,
    });
  }
  return migrated(db);
}

async function migrated(db: Database): Promise<Database> {
  try {
    await db.migrate();
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
  }
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
    stopTimeoutMs: 2_500,
  };
}

/** Waits until the server answers, then has our database in it (a new data folder has none). */
async function untilItServes(url: string, signal: AbortSignal): Promise<void> {
  const maintenance = new URL(url);
  maintenance.pathname = "/postgres";
  const server = new Database(maintenance.toString(), { connections: 1 });
  try {
    await untilItAnswers(server, signal);
    const name = new URL(url).pathname.slice(1);
    const found = await server.query("select from pg_database where datname = $1", [name]);
    if (found.rowCount === 0) await server.query(`create database ${name}`);
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
  if (!commandLine(pid)[0]?.includes("postgres")) rmSync(path, { force: true });
}
