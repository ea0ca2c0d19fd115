// The database of an instance: the embedded server as a supervised child, or the one that DATABASE_URL names.
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { commandLine, freePort, type ChildSpec, type Home, type Supervisor } from "../fleet/index.ts";
import {
  openExternal,
  openMigrated,
  preparePostgres,
  prepareRoles,
  untilServing,
  type Database,
  type DatabaseUrls,
  type ExternalUrls,
  type PostgresCommand,
} from "../store/index.ts";
import { childStopMs } from "./undo.ts";

interface StartedDatabase {
  /** Connected as the restricted role, where there is one. */
  db: Database;
  /** Null with DATABASE_URL. */
  port: number | null;
}

export async function startDatabase(
  home: Home,
  supervisor: Supervisor,
  external: ExternalUrls & { LINESHAFT_GATEWAYS?: number; LINESHAFT_PORT?: number },
): Promise<StartedDatabase> {
  if (external.DATABASE_URL) return { db: await openExternal(external.DATABASE_URL, external), port: null };
  const { LINESHAFT_GATEWAYS: gateways = 1, LINESHAFT_PORT: ownPort } = external;
  // Main has a pool of its own also where it serves no client.
  const processes = gateways === 1 ? 1 : 1 + gateways;
  const { urls, port } = await startEmbedded(home, supervisor, { processes, ownPort });
  return { db: await openMigrated(urls), port };
}

/**
 * Starts the embedded server with its roles and its database, on a free port; migrates nothing. `processes`: how many will connect, each
 * with a pool of its own. `ownPort`: where the instance listens once the database is there.
 */
export async function startEmbedded(
  home: Home,
  supervisor: Supervisor,
  { processes = 1, ownPort }: { processes?: number; ownPort?: number | undefined } = {},
): Promise<{ urls: DatabaseUrls; port: number }> {
  const port = await freePort(ownPort);
  const secrets = home.secrets();
  const command = await preparePostgres({ home: home.path, port, password: secrets.postgresPassword, processes });
  removeStalePidFile(command.dataFolder);
  await supervisor.start(postgresSpec(command));
  const urls = await prepareRoles(command.url, {
    owner: secrets.postgresOwnerPassword,
    runtime: secrets.postgresRuntimePassword,
  });
  return { urls, port };
}

function postgresSpec(command: PostgresCommand): ChildSpec {
  return {
    name: "postgres",
    command: command.command,
    args: command.args,
    env: command.env,
    ...(command.uid !== undefined && { uid: command.uid, gid: command.gid }),
    ready: (_child, signal) => untilServing(command.url, signal),
    // Recovery after a crash replays the log first; a large one takes a while.
    readyTimeoutMs: 120_000,
    stopSignal: command.stopSignal,
    stopTimeoutMs: childStopMs,
  };
}

/**
 * postmaster.pid of a server that was killed names a pid that another process may have by now (in a restarted container one nearly
 * always has), and Postgres then refuses to start. Called with the home's lock held and orphans ended, so no server of ours runs.
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
