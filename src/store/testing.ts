// Databases for tests: one Postgres per test run (test/setup/postgres.ts), one database per caller, cloned from a template that has the
// migrations in it. Tests connect as the restricted runtime role, as an instance does, so that a missing grant shows.
//
// Data folders lie in memory where there is room (/dev/shm). A database is 600 files: making and dropping one takes 24 ms of CPU time in
// memory, and 80 to 450 ms on ext4, nearly all of it in the file system.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { QueryResultRow } from "pg";
import { Database } from "./database.ts";
import { limits } from "./limits.ts";
import { preparePostgres } from "./postgres.ts";
import { ownerRole, prepareRoles, runtimeRole, urlAs } from "./roles.ts";
import { unsharedPort } from "../../test/setup/ports.ts";
import { childrenOf, processOf, signal } from "../../test/setup/proc.ts";

/** URL of the run's server as its superuser; set by the global setup. */
export const testServerVariable = "LINESHAFT_TEST_DATABASE_URL";
export const templateName = "lineshaft_template";
export const testPasswords = { owner: "test owner", runtime: "test runtime" };

// A machine that stands still silences the run's server for seconds, and no test of something else fails for that. Tests of silence have a
// server of their own (ownPostgres), and the product's bound while they have it.
const bounds = limits as { silentMs: number };
const silent = { testsMs: 60_000, productMs: limits.silentMs };
bounds.silentMs = silent.testsMs;

const memoryFolder = "/dev/shm";
/** Data of a run's server is below 300 MB, and that of a test's own server below 100 MB. */
const memoryFolderFreeBytes = 1024 ** 3;

/**
 * A new folder for the data of a database that may be lost: in memory where there is a gigabyte free, else in the temporary folder. Folders
 * of processes that were killed before they could remove theirs are removed: memory is not given back by a restart of the tests.
 */
export function dataFolder(prefix: string): string {
  const parent = hasRoom(memoryFolder) ? memoryFolder : tmpdir();
  for (const name of readdirSync(parent)) {
    const maker = name.startsWith(prefix) && /^(\d+)-/.exec(name.slice(prefix.length))?.[1];
    if (maker && !isAlive(Number(maker))) rmSync(join(parent, name), { recursive: true, force: true });
  }
  return mkdtempSync(join(parent, `${prefix}${process.pid}-`));
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function hasRoom(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize >= memoryFolderFreeBytes;
  } catch {
    // Other systems have no such folder.
    return false;
  }
}

function serverUrl(database: string): string {
  const url = new URL(process.env[testServerVariable] ?? fail());
  url.pathname = `/${database}`;
  return url.toString();
}

function fail(): never {
  throw new Error(`${testServerVariable} is not set: run tests with 'npm test', whose global setup starts Postgres.`);
}

/** The same database as the owner of its tables, for what migrations do. */
export function asOwner(db: Database): Database & AsyncDisposable {
  const name = new URL(db.url).pathname.slice(1);
  const owner = new Database(urlAs(serverUrl(name), ownerRole, testPasswords.owner, name), { connections: 4 });
  return Object.assign(owner, { [Symbol.asyncDispose]: () => owner.close() });
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
  await administer([
    // Files are copied: the other strategy writes each page into the log, which takes twice the time.
    `create database ${name} template ${templateName} owner ${ownerRole} strategy file_copy`,
    // A clone has the grants of its template, but not those on the database itself.
    `revoke temporary, create on database ${name} from public`,
  ]);
  const url = urlAs(serverUrl(name), runtimeRole, testPasswords.runtime, name);
  const database = new Database(url, { connections: 6 });
  return Object.assign(database, {
    async [Symbol.asyncDispose]() {
      await database.close();
      await administer([`drop database if exists ${name} with (force)`]);
    },
  });
}

/** An empty database that a plain role of its own owns: what an operator makes by hand for Lineshaft. */
export async function emptyDatabase(): Promise<{ url: string } & AsyncDisposable> {
  const name = `plain_${randomBytes(8).toString("hex")}`;
  await administer([
    `create role ${name} login password 'plain' nosuperuser nocreatedb nocreaterole`,
    `create database ${name} owner ${name}`,
  ]);
  return {
    url: urlAs(serverUrl(name), name, "plain", name),
    async [Symbol.asyncDispose]() {
      await administer([`drop database if exists ${name} with (force)`, `drop role ${name}`]);
    },
  };
}

/** Statements one after another, each in a transaction of its own. */
async function administer(statements: string[], url = serverUrl("postgres")): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  try {
    await client.connect();
    for (const sql of statements) await client.query(sql);
  } finally {
    await client.end();
  }
}

export interface OwnPostgres extends AsyncDisposable {
  url: string;
  /** For the role that migrations run as. */
  ownerUrl: string;
  /** The server's first process. */
  readonly pid: number;
  /** Stops the server and everything it has started where it stands, as SIGSTOP or a disk that hangs does. */
  freeze(): void;
  thaw(): void;
  /** Kills the server with everything it has started. */
  kill(): Promise<void>;
  /** Starts a server that was killed, on the same port and with the same data; resolves when it serves. */
  start(): Promise<void>;
  /** A pool of connections to it, which ends with the scope. */
  open(): Database & AsyncDisposable;
}

/** A server of the caller's own, to be frozen, killed or starved; with our migrations in its database. */
export async function ownPostgres(): Promise<OwnPostgres> {
  const home = dataFolder("lineshaft-own-postgres-");
  // Durable, because tests kill it: what it has committed must be there when it starts again.
  const command = await preparePostgres({ home, port: await unsharedPort(), password: "test" });
  const { uid, gid, env } = command;
  const maintenance = new URL(command.url);
  maintenance.pathname = "/postgres";
  let pid = 0;
  let gone: Promise<unknown> = Promise.resolve();
  const killAll = () => (pid > 0 ? signalAll(pid, "SIGKILL") : []);
  const kill = async () => {
    const killed = killAll();
    await gone;
    // A server that is started while one of them still has the shared memory refuses to.
    while (killed.some((one) => !["Z", undefined].includes(processOf(one)?.state))) await sleep(10);
    pid = 0;
    // A pid file of a killed server may name a process that exists by now, and the server then refuses to start.
    rmSync(join(command.dataFolder, "postmaster.pid"), { force: true });
  };
  const start = async () => {
    const child = spawn(command.command, command.args, { env, uid, gid, stdio: "ignore" });
    pid = child.pid!;
    gone = new Promise((resolve) => child.once("exit", resolve));
    await untilItServes(maintenance.toString());
  };
  process.on("exit", killAll);
  await start();
  bounds.silentMs = silent.productMs;
  const urls = await prepareRoles(maintenance.toString(), testPasswords);
  const owner = new Database(urls.owner, { connections: 1 });
  await owner.migrate(runtimeRole);
  await owner.close();
  return {
    url: urls.runtime,
    ownerUrl: urls.owner,
    get pid() {
      return pid;
    },
    kill,
    start,
    freeze: () => signalAll(pid, "SIGSTOP"),
    thaw: () => signalAll(pid, "SIGCONT"),
    open() {
      const opened = new Database(urls.runtime, { connections: 6 });
      return Object.assign(opened, { [Symbol.asyncDispose]: () => opened.close() });
    },
    async [Symbol.asyncDispose]() {
      process.off("exit", killAll);
      bounds.silentMs = silent.testsMs;
      await kill();
      for (const folder of new Set([home, command.dataFolder]))
        rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/**
 * A signal to the server's first process and those below it, whose pids it answers. The first is stopped before these are looked for, so
 * that it starts no more of them, and gets the signal last: those below a process that has ended would not be found.
 */
function signalAll(pid: number, name: NodeJS.Signals): number[] {
  process.kill(pid, "SIGSTOP");
  const below = childrenOf(pid);
  for (const one of below) signal(one, name);
  process.kill(pid, name);
  return below;
}

async function untilItServes(url: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await administer(["select 1"], url);
    } catch (error) {
      if (tries === 300) throw error;
      await sleep(100);
    }
  }
}
