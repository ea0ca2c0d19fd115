// What money costs: calls with everything recorded (hold, sent mark, settlement, rows of attempt and call), in several processes on one
// Postgres; by lease, exactly (a budget that is hardly larger than the holds), and by the path before leases, in one run. Three budgets
// concern each call. Cases are interleaved over the rounds, so that other load of the machine affects all alike; medians are shown.
//
//   calls/s    written durably: the record is in the spool, or committed, when its call goes on
//   posted/s   the same calls until all of them are in Postgres
//   holds/s    holds with their sent marks, many at once in each process, while nothing is settled or posted
//   added      what a call waits for its hold and sent mark, in milliseconds
//   process    CPU time of the processes for a call, posting included, in microseconds
//   Postgres   its CPU time for a call, in microseconds
//
//   npm run bench:ledger -- [--runs 3] [--seconds 4] [--only lease] [--json FILE]
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { Budgets } from "../src/ledger/budgets.ts";
import type { ScopeKind } from "../src/ledger/types.ts";
import { Database } from "../src/store/index.ts";
import { cpuMicrosOfTree } from "./cpu.ts";
import { card, organisation, promptTokens, type Done, type Work } from "./ledger/work.ts";
import { startPostgres } from "./postgres.ts";

const { values: options } = parseArgs({
  options: {
    runs: { type: "string", default: "3" },
    seconds: { type: "string", default: "4" },
    only: { type: "string" },
    json: { type: "string" },
  },
});

const profiled = ["--disable-warning=ExperimentalWarning"];
if (process.env["BENCH_PROFILE"]) profiled.push("--cpu-prof", `--cpu-prof-dir=${process.env["BENCH_PROFILE"]}`);

/** The last migration of the path before leases. */
const oldMigrations = 18;
const spread = 64;

interface Case {
  path: Work["path"];
  accounts: number;
  processes: number;
  /** Of each process. */
  writers: number;
}

const shapes = [
  { accounts: 1, processes: 1, writers: 1 },
  { accounts: 1, processes: 4, writers: 4 },
  { accounts: spread, processes: 4, writers: 4 },
];
const cases = (["old", "exact", "lease"] as const)
  .flatMap((path) => shapes.map((shape): Case => ({ path, ...shape })))
  .filter(({ path }) => options.only === undefined || path === options.only);

interface Sample {
  callsPerSecond: number;
  postedPerSecond: number;
  holdsPerSecond: number;
  p50: number;
  p99: number;
  processMicros: number;
  postgresMicros: number;
}

async function prepare(db: Database, { path, accounts, processes, writers }: Case): Promise<void> {
  await db.query("insert into organisations (id, name, currency) values ($1, $1, 'USD') on conflict do nothing", [
    organisation,
  ]);
  const plenty = 10n ** 17n;
  const holds = BigInt(processes * writers * (promptTokens + 256));
  const scopes = [
    { kind: "organisation", id: organisation, limit: plenty },
    ...Array.from({ length: accounts }, (_, number) => [
      { kind: "project", id: `prj_${number}`, limit: path === "exact" ? holds : plenty },
      { kind: "key", id: `key_${number}`, limit: plenty },
    ]).flat(),
  ] as { kind: ScopeKind; id: string; limit: bigint }[];
  if (path === "old") {
    await db.query(
      `insert into rate_cards (id, organisation, model, version, currency, input_nano_per_million, cached_nano_per_million, output_nano_per_million)
       values ($1, $2, 'small', 1, 'USD', 1000000, 1000000, 1000000) on conflict do nothing`,
      [card.id, organisation],
    );
    for (const { kind, id, limit } of scopes)
      await db.query("select set_budget($1, $2, $3, $4, 'USD', $5, 'total')", [
        `bud_${id}`,
        organisation,
        kind,
        id,
        limit,
      ]);
    return;
  }
  const budgets = new Budgets(db);
  for (const { kind, id, limit } of scopes)
    await budgets.set({
      organisation,
      scope: { kind, id },
      currency: "USD",
      limitNano: limit,
      period: "total",
      fresh: true,
    });
}

async function run(one: Case): Promise<Sample> {
  const postgres = await startPostgres(one.path === "old" ? oldMigrations : undefined);
  const spools = mkdtempSync(join(tmpdir(), "lineshaft-bench-spools-"));
  try {
    // What the runtime role may do with the functions of before is not declared any more.
    const url = one.path === "old" ? postgres.ownerUrl : postgres.url;
    const db = new Database(url, { connections: 1 });
    await prepare(db, one);
    await db.close();
    const { path, writers, accounts } = one;
    const work: Work = { path, url, spools, seconds: Number(options.seconds), writers, accounts };
    const children = await Promise.all(Array.from({ length: one.processes }, () => start(work)));
    const before = cpuMicrosOfTree(postgres.pid);
    await Promise.all(children.map((child) => child.next()));
    const micros = cpuMicrosOfTree(postgres.pid) - before;
    const lines = await Promise.all(children.map((child) => child.next()));
    const done = lines.map((line) => JSON.parse(line) as Done);
    const sum = (of: (done: Done) => number) => done.reduce((total, each) => total + of(each), 0);
    const calls = sum((each) => each.calls);
    return {
      callsPerSecond: sum((each) => (each.calls * 1000) / each.loadMs),
      postedPerSecond: (calls * 1000) / Math.max(...done.map((each) => each.wholeMs)),
      holdsPerSecond: sum((each) => each.holdsPerSecond),
      p50: median(done.map((each) => each.p50)),
      p99: Math.max(...done.map((each) => each.p99)),
      processMicros: sum((each) => each.cpuMicros) / calls,
      postgresMicros: micros / calls,
    };
  } finally {
    await postgres.stop();
    rmSync(spools, { recursive: true, force: true });
  }
}

/** Starts a process; `next` lets it go on, and answers its next line. */
async function start(work: Work): Promise<{ next(): Promise<string> }> {
  const script = new URL("ledger/process.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [...profiled, script, JSON.stringify(work)], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, NODE_ENV: "production" },
  });
  child.once("exit", (code) => {
    if (code !== 0) throw new Error(`A process of the benchmark ended with ${code}.`);
  });
  const lines = createInterface({ input: child.stdout });
  const line = async () => ((await once(lines, "line")) as [string])[0];
  await line();
  return {
    next() {
      const answer = line();
      child.stdin.write("go");
      return answer;
    },
  };
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

const samples = new Map<Case, Sample[]>(cases.map((one) => [one, []]));
for (let round = 0; round < Number(options.runs); round++)
  for (const one of cases) samples.get(one)!.push(await run(one));

const results = cases.map((one) => {
  const all = samples.get(one)!;
  const of = (key: keyof Sample) => median(all.map((sample) => sample[key]));
  const rates = all.map(({ callsPerSecond }) => Math.round(callsPerSecond));
  return {
    path: one.path,
    budgets: one.accounts === 1 ? "one hot" : `over ${one.accounts}`,
    "processes x writers": `${one.processes} x ${one.writers}`,
    "calls/s": Math.round(of("callsPerSecond")),
    "(min-max)": `${Math.min(...rates)}-${Math.max(...rates)}`,
    "posted/s": Math.round(of("postedPerSecond")),
    "holds/s": Math.round(of("holdsPerSecond")),
    "added p50 ms": Number(of("p50").toFixed(3)),
    "p99 ms": Number(of("p99").toFixed(2)),
    "process us/call": Math.round(of("processMicros")),
    "Postgres us/call": Math.round(of("postgresMicros")),
  };
});
const machine = `${cpus().length} cores, ${cpus()[0]?.model}, Node ${process.version}, ${options.runs} runs of ${options.seconds} s`;
console.log(machine);
console.table(results);
if (options.json !== undefined) writeFileSync(options.json, JSON.stringify({ machine, results }, null, 2));
