// How long one request holds the event loop: every hostile input of test/hostile/corpus, one after the other, against a real gateway
// process (keys, ledger, records, the agents' API) over a scripted engine. The process under test watches its own loop and reports the
// longest turn: by the clock, and in CPU time of its main thread, which does not depend on what else the machine does.
//
//   npm run bench:stalls -- [--runs 3] [--only TEXT] [--limit 50] [--json FILE]
//
// It ends with 1 when an input has held the loop for more CPU time than the limit (milliseconds).
import { fork, type ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { Pool } from "undici";
import { scriptedEngine } from "../src/engines/testing.ts";
import { testDatabase } from "../src/store/testing.ts";
import { corpus, type HostileInput } from "../test/hostile/corpus/index.ts";
import startPostgres from "../test/setup/postgres.ts";

const { values: options } = parseArgs({
  options: {
    runs: { type: "string", default: "3" },
    only: { type: "string", multiple: true },
    limit: { type: "string", default: "50" },
    json: { type: "string" },
  },
});
const runs = Number(options.runs);
const limitMs = Number(options.limit);
/** A request without an answer within this time is shown as `silent`, and the process is started anew. */
const patienceMs = 120_000;

interface Stall {
  wallMs: number;
  cpuMs: number;
  rssMb: number;
}

interface Served {
  child: ChildProcess;
  url: string;
  key: string;
}

async function serve(engineUrl: string, databaseUrl: string): Promise<Served> {
  const script = new URL("stallsServer.ts", import.meta.url).pathname;
  const child = fork(script, [engineUrl.replace(/\/v1$/, ""), databaseUrl], {
    execArgv: ["--disable-warning=ExperimentalWarning"],
    env: { ...process.env, NODE_ENV: "production" },
    serialization: "json",
  });
  const { url, key } = (await heard(child, patienceMs)) as { url: string; key: string };
  return { child, url, key };
}

/** The next message of the process; undefined when it says nothing in time or ends. */
function heard(child: ChildProcess, ms: number): Promise<unknown> {
  return new Promise((resolve) => {
    const done = (message: unknown) => {
      clearTimeout(timer);
      child.off("message", done).off("exit", gone);
      resolve(message);
    };
    const gone = () => done(undefined);
    const timer = setTimeout(done, ms, undefined);
    child.on("message", done).on("exit", gone);
  });
}

async function stallOf(at: Served): Promise<Stall | undefined> {
  at.child.send("stall");
  return (await heard(at.child, patienceMs)) as Stall | undefined;
}

async function request(at: Served, input: Pick<HostileInput, "method" | "path" | "headers" | "body">) {
  const pool = new Pool(at.url, { headersTimeout: patienceMs, bodyTimeout: patienceMs });
  try {
    const { statusCode, body } = await pool.request({
      method: input.method,
      path: input.path,
      headers: { authorization: `Bearer ${at.key}`, "content-type": "application/json", ...input.headers },
      body: input.body?.() ?? null,
    });
    await body.dump({ limit: 2 ** 30 });
    return String(statusCode);
  } catch {
    return "silent";
  } finally {
    await pool.destroy();
  }
}

const stopPostgres = await startPostgres();
const engine = await scriptedEngine();
const db = await testDatabase();
const rows: { input: string; bytes: number; status: string; cpuMs: number; wallMs: number; rssMb: number }[] = [];
let at = await serve(engine.url, db.url);
try {
  // The first calls compile the process's own code.
  const warm = corpus.find(({ name }) => name === "ordinary call")!;
  for (let call = 0; call < 200; call++) await request(at, warm);
  for (const input of corpus.filter(({ name }) => options.only?.some((text) => name.includes(text)) ?? true)) {
    for (const before of input.prepare ?? []) await request(at, before);
    const body = input.body?.();
    const seen: Stall[] = [];
    let status = "";
    for (let run = 0; run < runs; run++) {
      await stallOf(at);
      engine.usual = input.engine?.() ?? {};
      status = await request(at, input);
      // Work that a request leaves behind its answer is counted as the request's.
      await new Promise((resolve) => setTimeout(resolve, 100));
      const stall = status === "silent" ? undefined : await stallOf(at);
      if (stall) seen.push(stall);
      else {
        at.child.kill("SIGKILL");
        at = await serve(engine.url, db.url);
        seen.push({ wallMs: Infinity, cpuMs: Infinity, rssMb: 0 });
        break;
      }
    }
    const least = (of: (stall: Stall) => number) => Math.round(Math.min(...seen.map(of)) * 10) / 10;
    rows.push({
      input: input.name,
      bytes: body === undefined ? 0 : Buffer.byteLength(body),
      status,
      cpuMs: least((stall) => stall.cpuMs),
      wallMs: least((stall) => stall.wallMs),
      rssMb: Math.max(...seen.map(({ rssMb }) => rssMb)),
    });
    const row = rows.at(-1)!;
    process.stderr.write(`${row.input}: ${row.status}, ${row.cpuMs} ms\n`);
  }
} finally {
  at.child.kill("SIGKILL");
  await engine[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
  await stopPostgres();
}

const pad = (value: unknown, width: number) => String(value).padStart(width);
process.stdout.write(
  `Longest turn of the event loop for one request, least of ${runs} runs\n` +
    `${"input".padEnd(58)}${pad("bytes", 12)}${pad("status", 8)}${pad("CPU ms", 9)}${pad("wall ms", 9)}${pad("RSS MB", 8)}\n`,
);
for (const row of rows)
  process.stdout.write(
    `${row.input.padEnd(58)}${pad(row.bytes.toLocaleString("en"), 12)}${pad(row.status, 8)}${pad(row.cpuMs, 9)}${pad(row.wallMs, 9)}${pad(row.rssMb, 8)}\n`,
  );
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
process.stdout.write(`${machine.cores} cores (${machine.cpu}), Node ${machine.node}\n`);
if (options.json !== undefined)
  writeFileSync(options.json, `${JSON.stringify({ bench: "stalls", machine, runs, limitMs, rows }, null, 2)}\n`);
const over = rows.filter(({ cpuMs }) => cpuMs > limitMs);
if (over.length > 0) process.stdout.write(`Over ${limitMs} ms: ${over.map(({ input }) => input).join("; ")}\n`);
process.exitCode = over.length > 0 ? 1 : 0;
