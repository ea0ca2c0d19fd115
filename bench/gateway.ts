// What a call costs in CPU: through Lineshaft with everything on (key, budgets, hold, settlement, record, metrics), through a
// bare Node proxy, and at the engine itself; streamed and whole, 2 KB and 400 KB of prompt. Rounds are interleaved, so that
// other load of the machine affects all targets alike; medians are shown, with minimum and maximum.
//
// Every target is warmed up by a number of calls first: a process that has just started compiles itself meanwhile, which would
// be counted as the price of a call.
//
//   npm run bench:gateway -- [--runs 3] [--seconds 4] [--connections 32] [--only "2 KB"] [--json FILE]
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { Pool } from "undici";
import { cpuMicros, cpuMicrosOfTree } from "./cpu.ts";
import { startPostgres } from "./postgres.ts";

const { values: options } = parseArgs({
  options: {
    runs: { type: "string", default: "3" },
    seconds: { type: "string", default: "4" },
    connections: { type: "string", default: "32" },
    only: { type: "string" },
    json: { type: "string" },
  },
});
const runs = Number(options.runs);
const seconds = Number(options.seconds);
const connections = Number(options.connections);

const warmUpMs = 30_000;

interface Target {
  name: "engine" | "bare" | "lineshaft";
  url: string;
  pid: number;
  headers: string[];
}

interface Sample {
  calls: number;
  cpu: number;
  postgres: number;
  p50: number;
  p99: number;
  callsPerSecond: number;
}

const cases = [
  { name: "whole, 2 KB", stream: false, bytes: 2_000 },
  { name: "stream, 2 KB", stream: true, bytes: 2_000 },
  { name: "whole, 400 KB", stream: false, bytes: 400_000 },
  { name: "stream, 400 KB", stream: true, bytes: 400_000 },
].filter((one) => options.only === undefined || one.name.includes(options.only));

/** A conversation of so many bytes, in turns of about 1 KB. */
function bodyOf(stream: boolean, bytes: number): string {
  const text = 'The quick brown fox jumps over the lazy dog, "again" and again.\n'.repeat(16);
  const messages = Array.from({ length: Math.max(1, Math.round(bytes / 1100)) }, (_, turn) => ({
    role: turn % 2 === 0 ? "user" : "assistant",
    content: text,
  }));
  return JSON.stringify({ stream, model: "scripted", max_tokens: 64, messages });
}

const children: ChildProcess[] = [];

async function start(file: string, ...args: string[]): Promise<Record<string, string> & { pid: number }> {
  const script = new URL(file, import.meta.url).pathname;
  const flags =
    process.env["BENCH_PROFILE"] && file.includes("gatewayServer")
      ? ["--cpu-prof", `--cpu-prof-dir=${process.env["BENCH_PROFILE"]}`]
      : [];
  const child = spawn(process.execPath, [...flags, "--disable-warning=ExperimentalWarning", script, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, NODE_ENV: "production" },
  });
  children.push(child);
  const line = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout!.on("data", (piece: Buffer) => {
      text += piece.toString();
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.once("exit", (code) => reject(new Error(`${file} ended with ${code}`)));
  });
  return { ...(JSON.parse(line) as Record<string, string>), pid: child.pid! } as Record<string, string> & {
    pid: number;
  };
}

/** Calls one after the other on every connection, for so long or so many; answers their latencies in milliseconds. */
async function load(target: Target, body: string, ms: number, most = Infinity): Promise<number[]> {
  const pool = new Pool(target.url, { connections, pipelining: 1 });
  const latencies: number[] = [];
  const end = performance.now() + ms;
  const one = () =>
    new Promise<void>((resolve, reject) => {
      let status = 0;
      let bytes = 0;
      const began = performance.now();
      pool.dispatch(
        { method: "POST", path: "/v1/chat/completions", headers: target.headers, body },
        {
          onRequestStart() {},
          onResponseStart: (_controller, code) => void (status = code),
          onResponseData: (_controller, chunk) => void (bytes += chunk.length),
          onResponseEnd() {
            if (status !== 200 || bytes < 300)
              return reject(new Error(`${target.name} answered ${status}, ${bytes} bytes`));
            latencies.push(performance.now() - began);
            resolve();
          },
          onResponseError: (_controller, error) => reject(error),
        },
      );
    });
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() < end && latencies.length < most) await one();
    }),
  );
  await pool.close();
  return latencies.toSorted((a, b) => a - b);
}

async function measure(target: Target, body: string, postgres: number): Promise<Sample> {
  const cpuBefore = cpuMicros(target.pid);
  const postgresBefore = cpuMicrosOfTree(postgres);
  const began = performance.now();
  const latencies = await load(target, body, seconds * 1000);
  const elapsed = performance.now() - began;
  // Records that are written after the answer are counted as the call's.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const calls = latencies.length;
  return {
    calls,
    cpu: (cpuMicros(target.pid) - cpuBefore) / calls,
    postgres: (cpuMicrosOfTree(postgres) - postgresBefore) / calls,
    p50: latencies[Math.floor(calls * 0.5)]!,
    p99: latencies[Math.floor(calls * 0.99)]!,
    callsPerSecond: (calls * 1000) / elapsed,
  };
}

const median = (numbers: number[]) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;

const postgres = await startPostgres();
try {
  const engine = await start("scriptedEngine.ts");
  const bare = await start("bareProxy.ts", engine["url"]!);
  const gateway = await start("gatewayServer.ts", engine["url"]!, postgres.url);
  const json = ["content-type", "application/json"];
  const targets: Target[] = [
    { name: "engine", url: engine["url"]!, pid: engine.pid, headers: json },
    { name: "bare", url: bare["url"]!, pid: bare.pid, headers: json },
    {
      name: "lineshaft",
      url: gateway["url"]!,
      pid: gateway.pid,
      headers: [...json, "authorization", `Bearer ${gateway["key"]}`],
    },
  ];
  const samples = new Map<string, Sample[]>();
  for (const one of cases)
    for (const target of targets)
      await load(target, bodyOf(one.stream, one.bytes), warmUpMs, one.bytes > 10_000 ? 1_000 : 10_000);
  for (let run = 1; run <= runs; run++)
    for (const one of cases)
      for (const target of targets) {
        const sample = await measure(target, bodyOf(one.stream, one.bytes), postgres.pid);
        const key = `${one.name}/${target.name}`;
        samples.set(key, [...(samples.get(key) ?? []), sample]);
        process.stderr.write(`round ${run}, ${key}: ${sample.cpu.toFixed(0)} us a call\n`);
      }

  const rows = cases.flatMap((one) => {
    const floor = median(samples.get(`${one.name}/bare`)!.map((sample) => sample.cpu));
    return targets.map((target) => {
      const of = samples.get(`${one.name}/${target.name}`)!;
      const cpu = of.map((sample) => sample.cpu);
      return {
        case: one.name,
        target: target.name,
        cpuMicrosPerCall: Math.round(median(cpu)),
        least: Math.round(Math.min(...cpu)),
        most: Math.round(Math.max(...cpu)),
        postgresMicrosPerCall:
          target.name === "lineshaft" ? Math.round(median(of.map((sample) => sample.postgres))) : null,
        timesBareProxy: Number((median(cpu) / floor).toFixed(2)),
        latencyMsP50: Number(median(of.map((sample) => sample.p50)).toFixed(2)),
        latencyMsP99: Number(median(of.map((sample) => sample.p99)).toFixed(2)),
        callsPerSecond: Math.round(median(of.map((sample) => sample.callsPerSecond))),
      };
    });
  });
  const pad = (value: unknown, width: number) => String(value ?? "").padStart(width);
  process.stdout.write(
    `CPU microseconds a call (user and system), median of ${runs} interleaved rounds of ${seconds} s, ${connections} connections\n` +
      `${"case".padEnd(16)}${"through".padEnd(11)}${pad("CPU us", 8)}${pad("least", 7)}${pad("most", 7)}${pad("x bare", 8)}${pad("Postgres us", 13)}${pad("p50 ms", 9)}${pad("p99 ms", 9)}${pad("calls/s", 9)}\n`,
  );
  for (const row of rows)
    process.stdout.write(
      `${row.case.padEnd(16)}${row.target.padEnd(11)}${pad(row.cpuMicrosPerCall, 8)}${pad(row.least, 7)}${pad(row.most, 7)}${pad(row.timesBareProxy, 8)}${pad(row.postgresMicrosPerCall, 13)}${pad(row.latencyMsP50, 9)}${pad(row.latencyMsP99, 9)}${pad(row.callsPerSecond, 9)}\n`,
    );
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
  process.stdout.write(`${machine.cores} cores (${machine.cpu}), Node ${machine.node}\n`);
  if (options.json !== undefined)
    writeFileSync(
      options.json,
      `${JSON.stringify({ bench: "gateway", machine, runs, seconds, connections, rows }, null, 2)}\n`,
    );
} finally {
  for (const child of children) child.stdin?.end();
  await Promise.all(
    children.map((child) => child.exitCode !== null || new Promise((resolve) => child.once("exit", resolve))),
  );
  await postgres.stop();
}
