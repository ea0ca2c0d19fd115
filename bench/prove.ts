// What the proof of the ledger and the bill cost over a million attempts, on the embedded Postgres with its usual settings: milliseconds by
// the clock, and CPU time of all of the server's processes, which does not depend on what else the machine does.
//
//   node bench/prove.ts [--attempts 1000000] [--json FILE]
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import pg from "pg";
import { recordProof } from "../src/gateway/index.ts";
import { readBill } from "../src/ledger/bill.ts";
import { proveLedger } from "../src/ledger/proof/proof.ts";
import { Database, preparePostgres, prepareRoles, runtimeRole } from "../src/store/index.ts";
import { unsharedPort } from "../test/setup/ports.ts";
import { generateLedger } from "./prove/generate.ts";

const { values } = parseArgs({
  options: { attempts: { type: "string", default: "1000000" }, json: { type: "string" } },
});
const attempts = Number(values.attempts);
const dayMs = 24 * 60 * 60_000;

interface Measured {
  what: string;
  ms: number;
  cpuMs: number;
}

const home = mkdtempSync(join(tmpdir(), "lineshaft-prove-"));
const { command, args, env, uid, gid, url } = await preparePostgres({
  home,
  port: await unsharedPort(),
  password: "bench",
});
const server = spawn(command, args, { env, uid, gid, stdio: "ignore" });
const exited = new Promise((resolve) => server.once("exit", resolve));
try {
  const measured = await measure();
  const machine = `${cpus().length} x ${cpus()[0]!.model}`;
  console.log(`${attempts.toLocaleString("en-US")} attempts; ${machine}; embedded Postgres\n`);
  console.log(`${"".padEnd(44)}${"ms".padStart(9)}${"CPU ms".padStart(9)}`);
  for (const { what, ms, cpuMs } of measured)
    console.log(`${what.padEnd(44)}${ms.toFixed(0).padStart(9)}${cpuMs.toFixed(0).padStart(9)}`);
  if (values.json) writeFileSync(values.json, JSON.stringify({ attempts, machine, measured }, undefined, 2));
} finally {
  server.kill("SIGINT");
  await exited;
  rmSync(home, { recursive: true, force: true, maxRetries: 5 });
}

async function measure(): Promise<Measured[]> {
  const measured: Measured[] = [];
  const time = async <Result>(what: string, work: () => Promise<Result>): Promise<Result> => {
    const began = performance.now();
    const cpuBefore = serverCpuMs();
    const result = await work();
    measured.push({ what, ms: performance.now() - began, cpuMs: serverCpuMs() - cpuBefore });
    return result;
  };
  await untilServing(url);
  const urls = await prepareRoles(url, { owner: "bench", runtime: "bench" });
  const owner = new Database(urls.owner, { connections: 1 });
  await owner.migrate(runtimeRole);
  await owner.close();
  const superuser = new pg.Client({ connectionString: inDatabase(url, urls.owner) });
  await superuser.connect();
  await superuser.query("insert into organisations (id, name, currency) values ('org_bench', 'bench', 'USD')");
  await time("made by SQL", () => generateLedger(superuser, { organisation: "org_bench", attempts }));
  await superuser.end();

  const db = new Database(urls.runtime, { connections: 4 });
  const ago = (days: number) => new Date(Date.now() - days * dayMs);
  const bills = {
    "bill of all time": {},
    "bill of 17 days, both ends inside a day": { from: ago(20.3), to: ago(3.4) },
    "bill of one agent": { agent: "agt_3" },
  };
  for (const [what, of] of Object.entries(bills)) {
    await readBill(db, "org_bench", of);
    await time(what, () => readBill(db, "org_bench", of));
  }
  const prove = async (what: string, kind: "whole" | "incremental") => {
    const { discrepancyCount, discrepancies } = await time(what, () => proveLedger(db, kind, recordProof));
    if (discrepancyCount > 0)
      throw new Error(`The generated ledger does not agree: ${JSON.stringify(discrepancies[0], text)}`);
  };
  await prove("whole proof, the first one", "whole");
  await prove("whole proof, with checksums compared", "whole");
  await prove("incremental proof, nothing new", "incremental");
  await db.close();
  return measured;
}

const text = (_: string, value: unknown) => (typeof value === "bigint" ? value.toString() : value);

function inDatabase(server: string, of: string): string {
  const made = new URL(server);
  made.pathname = new URL(of).pathname;
  return made.toString();
}

/** CPU time of the server, its processes that live and those that have ended, in milliseconds. */
function serverCpuMs(): number {
  const ticks = (pid: string, fields: number[]): number => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const after = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (fields.length === 2 && Number(after[1]) !== server.pid) return 0;
      return fields.reduce((sum, field) => sum + Number(after[field]), 0);
    } catch {
      return 0;
    }
  };
  const own = ticks(String(server.pid), [11, 12, 13, 14]);
  const children = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return 10 * children.reduce((sum, pid) => sum + ticks(pid, [11, 12]), own);
}

async function untilServing(of: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    const client = new pg.Client({ connectionString: of });
    try {
      await client.connect();
      return await client.end();
    } catch (error) {
      if (tries === 300) throw error;
      await sleep(100);
    }
  }
}
