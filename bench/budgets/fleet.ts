// What the bench runs: a Postgres that can be away and come back, a scripted engine, and gateway processes that are killed, frozen and lost
// with their spools.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database, preparePostgres, prepareRoles, runtimeRole } from "../../src/store/index.ts";
import { unsharedPort } from "../../test/setup/ports.ts";

/** What runs: a bench that is interrupted leaves nothing behind. */
const children = new Set<ChildProcess>();
const watched = (child: ChildProcess): ChildProcess => {
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
};
process.once("exit", () => children.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

/** Starts a script of this folder; resolves with the address that it prints. It ends when its input closes. */
async function start(script: string, ...args: string[]): Promise<{ child: ChildProcess; url: string }> {
  const path = new URL(script, import.meta.url).pathname;
  const child = watched(
    spawn(process.execPath, ["--disable-warning=ExperimentalWarning", path, ...args], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, NODE_ENV: "production" },
    }),
  );
  const line = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout!.on("data", (piece: Buffer) => {
      text += piece.toString();
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.once("exit", (code) => reject(new Error(`${script} ended with ${code}`)));
  });
  return { child, url: (JSON.parse(line) as { url: string }).url };
}

const ended = (child: ChildProcess) =>
  new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once("exit", () => resolve());
  });

/** A server of its own, durable as a user's is. */
export class Postgres {
  readonly #command: Awaited<ReturnType<typeof preparePostgres>>;
  readonly #home: string;
  #child: ChildProcess | undefined;
  /** Of the role that gateway processes use. */
  readonly url: string;

  private constructor(home: string, command: Awaited<ReturnType<typeof preparePostgres>>, url: string) {
    this.#home = home;
    this.#command = command;
    this.url = url;
  }

  static async start(): Promise<Postgres> {
    const home = mkdtempSync(join(tmpdir(), "lineshaft-bench-"));
    const command = await preparePostgres({ home, port: await unsharedPort(), password: "bench" });
    const child = spawnServer(command);
    for (let tries = 0; ; tries++) {
      try {
        const { owner, runtime } = await prepareRoles(command.url, { owner: "bench owner", runtime: "bench runtime" });
        const db = new Database(owner, { connections: 1 });
        await db.migrate(runtimeRole);
        await db.close();
        const postgres = new Postgres(home, command, runtime);
        postgres.#child = child;
        return postgres;
      } catch (error) {
        if (tries === 100) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** Stops the server: connections break, and none is taken until `back`. */
  async away(): Promise<void> {
    const child = this.#child!;
    child.kill(this.#command.stopSignal);
    await ended(child);
  }

  back(): void {
    this.#child = spawnServer(this.#command);
  }

  async stop(): Promise<void> {
    await this.away();
    for (const folder of new Set([this.#home, this.#command.dataFolder]))
      rmSync(folder, { recursive: true, force: true });
  }
}

const spawnServer = ({ command, args, env, uid, gid }: Awaited<ReturnType<typeof preparePostgres>>): ChildProcess =>
  watched(
    spawn(command, args, {
      env,
      stdio: "ignore",
      ...(uid !== undefined && { uid }),
      ...(gid !== undefined && { gid }),
    }),
  );

export interface Truth {
  calls: number;
  promptTokens: number;
  outputTokens: number;
}

/** Whether it is known to stop, and to bill no more, when its client has gone. */
export type EngineKind = "stops" | "provider";

export class Engine {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  static async start(tokensPerSecond: number, kind: EngineKind): Promise<Engine> {
    const { child, url } = await start("engine.ts", String(tokensPerSecond), kind);
    return new Engine(child, url);
  }

  /** What it has generated since its start, for clients that stayed and for those that left. */
  async truth(): Promise<Truth> {
    return (await (await fetch(`${this.url}/truth`)).json()) as Truth;
  }

  async stop(): Promise<void> {
    this.#child.stdin!.end();
    await ended(this.#child);
  }
}

interface Member {
  child: ChildProcess;
  url: string;
  /** Where its records are until Postgres has them. */
  spools: string;
  machine: string;
}

/** Gateway processes on one database. Each has a machine and a spool folder of its own. */
export class Fleet {
  readonly #engine: string;
  readonly #database: string;
  readonly #members: Member[] = [];
  readonly #folders = new Map<string, string>();

  private constructor(engine: string, database: string) {
    this.#engine = engine;
    this.#database = database;
  }

  static async start(count: number, engine: string, database: string): Promise<Fleet> {
    const fleet = new Fleet(engine, database);
    for (let number = 0; number < count; number++) await fleet.join(`machine-${number}`);
    return fleet;
  }

  addresses = (): readonly string[] => this.#members.map(({ url }) => url);

  /** Starts a process on a machine; on one that had a process before, it finds that one's spool. */
  async join(machine: string): Promise<void> {
    const spools = this.#folders.get(machine) ?? mkdtempSync(join(tmpdir(), "lineshaft-bench-spools-"));
    this.#folders.set(machine, spools);
    const { child, url } = await start("server.ts", this.#engine, this.#database, spools, machine);
    this.#members.push({ child, url, spools, machine });
  }

  /** Kills the process of a machine, as a crash does. */
  async kill(machine: string): Promise<void> {
    const member = this.#leave(machine);
    member.child.kill("SIGKILL");
    await ended(member.child);
  }

  /** Loses a machine: its process and what it had not posted. */
  async lose(machine: string): Promise<void> {
    await this.kill(machine);
    rmSync(this.#folders.get(machine)!, { recursive: true, force: true });
    this.#folders.delete(machine);
  }

  /** Stops a process in the middle of what it does, for so long. Clients go on sending it calls. */
  async freeze(machine: string, ms: number): Promise<void> {
    const { child } = this.#members.find((one) => one.machine === machine)!;
    child.kill("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, ms));
    child.kill("SIGCONT");
  }

  /** Ends every process in order, and every machine that has a spool has a process that has read it before. */
  async stop(): Promise<void> {
    for (const machine of this.#folders.keys())
      if (!this.#members.some((member) => member.machine === machine)) await this.join(machine);
    for (const { child } of this.#members) child.stdin!.end();
    await Promise.all(this.#members.map(({ child }) => ended(child)));
    for (const folder of this.#folders.values()) rmSync(folder, { recursive: true, force: true });
  }

  #leave(machine: string): Member {
    const index = this.#members.findIndex((member) => member.machine === machine);
    return this.#members.splice(index, 1)[0]!;
  }
}
