// A Postgres of a benchmark's own, as an instance starts it: durable, on loopback, with our migrations in it.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { migrate, preparePostgres, prepareRoles, readMigrations, runtimeRole } from "../src/store/index.ts";
import type { DatabaseUrls } from "../src/store/index.ts";

interface BenchPostgres {
  /** As the role of run time, and as the owner of the tables. */
  url: string;
  ownerUrl: string;
  /** The server's first process: all others are below it. */
  pid: number;
  stop(): Promise<void>;
}

/** Starts it. `migrations`: only so many, for a benchmark of how it was before. */
export async function startPostgres(migrations?: number): Promise<BenchPostgres> {
  const home = mkdtempSync(join(tmpdir(), "lineshaft-bench-"));
  const port = await freePort();
  const server = await preparePostgres({ home, port, password: "bench" });
  const child = spawn(server.command, server.args, {
    env: server.env,
    uid: server.uid,
    gid: server.gid,
    stdio: "ignore",
  });
  const urls = await migrated(server.url, migrations);
  return {
    url: urls.runtime,
    ownerUrl: urls.owner,
    pid: child.pid!,
    async stop() {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill(server.stopSignal);
      await gone;
      for (const folder of new Set([home, server.dataFolder])) rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function migrated(url: string, migrations: number | undefined): Promise<DatabaseUrls> {
  for (let tries = 0; ; tries++) {
    try {
      const urls = await prepareRoles(url, { owner: "bench owner", runtime: "bench runtime" });
      const client = new pg.Client({ connectionString: urls.owner });
      await client.connect();
      await migrate(client, { migrations: readMigrations().slice(0, migrations), runtimeRole });
      await client.end();
      return urls;
    } catch (error) {
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
