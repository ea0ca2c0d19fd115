// What a call costs in CPU through Lineshaft with everything on, beside other gateways with as little on as they allow, in one run: the proxy
// on one core, the engine, the load and Postgres on another. Rounds are interleaved, so that other load of the machine affects all alike;
// medians are shown, with the least and the most.
//
//   npm run bench:peers -- [--rounds 3] [--seconds 4] [--peers bare,lineshaft,lineshaft@2] [--cases "2 KB,400 KB"] [--other FOLDER] [--json FILE]
//
// `@2` behind a peer's name puts it in front of two engines, so that it chooses by what they have cached. `--other`: another checkout of this
// repository, measured as the peer `other` in turn with this one.
//
// Peers are installed by npm and pip into node_modules/.cache; one that cannot be had is named, and the others are measured.
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { request } from "undici";
import { litellm } from "./peers/litellm.ts";
import { bare, lineshaftOf } from "./peers/ours.ts";
import { portkey } from "./peers/portkey.ts";
import { sglangRouter, vllmRouter } from "./peers/routers.ts";
import { firstLine, leaveTheProxysCore, placement, runOn, stopAll } from "./peers/run.ts";
import type { Peer, RunningPeer } from "./peers/types.ts";
import { bodiesOf, cases, load, measure, type Case, type Sample } from "./peers/work.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "4" },
    peers: {
      type: "string",
      default: "bare,vllmRouter,sglangRouter,sglangRouter@2,portkey,litellm,lineshaft,lineshaft@2",
    },
    cases: { type: "string", default: cases.map(({ name }) => name).join() },
    other: { type: "string" },
    json: { type: "string" },
  },
});
const { other } = options;
const peers: Record<string, Peer> = {
  bare,
  vllmRouter,
  sglangRouter,
  portkey,
  litellm,
  lineshaft: lineshaftOf(),
  ...(other !== undefined && { other: lineshaftOf(other) }),
};
const names = casesIn(options.cases);
const wanted = cases.filter(({ name }) => names.includes(name));
const warmUpMostMs = 20_000;

/** Names of cases hold commas, and each other; the longest name is taken first, out of the text. */
function casesIn(text: string): string[] {
  const names = cases.map(({ name }) => name).toSorted((a, b) => b.length - a.length);
  let rest = text;
  return names.filter((name) => {
    const before = rest;
    rest = rest.replace(name, "");
    return rest !== before;
  });
}

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
const log = (text: string) => void process.stderr.write(`${text}\n`);

interface Row {
  case: string;
  peer: string;
  how: string;
  unit: "call" | "chunk";
  micros: number;
  least: number;
  most: number;
  databaseMicros: number;
  timesBare: number | undefined;
  p50Ms: number;
  p99Ms: number;
  callsPerSecond: number;
}

/** A peer by its name in `--peers`, and how many engines it has. */
function peerOf(name: string): { peer: Peer; engines: number } {
  const [of, engines = "1"] = name.split("@") as [string, string?];
  const peer = peers[of];
  if (!peer) throw new Error(`There is no peer ${of}. There are ${Object.keys(peers).join(", ")}.`);
  if (engines !== "1" && !peer.routes) throw new Error(`${peer.name} does not choose among engines.`);
  return { peer, engines: Number(engines) };
}

function titleOf(name: string): string {
  const { peer, engines } = peerOf(name);
  return engines === 1 ? peer.name : `${peer.name}, ${engines}`;
}

async function started(
  engineUrls: readonly string[],
): Promise<{ running: Map<string, RunningPeer>; missing: string[] }> {
  const running = new Map<string, RunningPeer>();
  const missing: string[] = [];
  for (const name of options.peers.split(",")) {
    const { peer, engines } = peerOf(name);
    const own = engineUrls.slice(0, engines) as [string, ...string[]];
    try {
      running.set(
        name,
        await peer.start({ engineUrls: own, run: (command, args, env) => runOn("proxy", command, args, env) }),
      );
      log(`${titleOf(name)} is ready`);
    } catch (error) {
      missing.push(`${titleOf(name)}: ${(error as Error).message}`);
      log(`not measured: ${missing.at(-1)}`);
    }
  }
  return { running, missing };
}

/** The rounds of one case, each through every proxy in turn. A proxy that fails in it is left out of it, and named. */
async function rounds(of: Case, running: Map<string, RunningPeer>, missing: string[]): Promise<Map<string, Sample[]>> {
  const bodies = bodiesOf(of);
  const samples = new Map<string, Sample[]>();
  const attempt = async (name: string, work: (target: RunningPeer) => Promise<unknown>) => {
    try {
      await work(running.get(name)!);
      return true;
    } catch (error) {
      missing.push(`${titleOf(name)}, ${of.name}: ${(error as Error).message}`);
      samples.delete(name);
      return false;
    }
  };
  const able: string[] = [];
  for (const name of running.keys())
    if (await attempt(name, (target) => load(target, of, bodies, warmUpMostMs, of.warmUpCalls))) able.push(name);
  for (let round = 1; round <= Number(options.rounds); round++)
    for (const name of able)
      await attempt(name, async (target) => {
        const sample = await measure(target, of, bodies, Number(options.seconds) * 1000);
        samples.set(name, [...(samples.get(name) ?? []), sample]);
        log(`${of.name}, round ${round}, ${titleOf(name)}: ${sample.cpuMicros.toFixed(0)} us a call`);
      });
  return samples;
}

function rowsOf(of: Case, samples: Map<string, Sample[]>): Row[] {
  const parts = of.stream ? of.chunks : 1;
  const cpuOf = (all: readonly Sample[]) => all.map(({ cpuMicros }) => cpuMicros / parts);
  const floor = samples.get("bare");
  return [...samples].map(([name, all]) => {
    const cpu = cpuOf(all);
    return {
      case: of.name,
      peer: titleOf(name),
      how: peerOf(name).peer.how,
      unit: of.stream ? "chunk" : "call",
      micros: median(cpu),
      least: Math.min(...cpu),
      most: Math.max(...cpu),
      databaseMicros: median(all.map(({ databaseMicros }) => databaseMicros / parts)),
      timesBare: floor && median(cpu) / median(cpuOf(floor)),
      p50Ms: median(all.map(({ p50Ms }) => p50Ms)),
      p99Ms: median(all.map(({ p99Ms }) => p99Ms)),
      callsPerSecond: median(all.map(({ callsPerSecond }) => callsPerSecond)),
    };
  });
}

const short = (value: number, digits = value < 100 ? 1 : 0) => value.toFixed(digits);
const pad = (value: unknown, width: number) => String(value ?? "").padStart(width);

function print(rows: readonly Row[], missing: readonly string[]): void {
  const lines = rows.map((row) => {
    const spread = `${short(row.least)} to ${short(row.most)}`;
    const database = row.databaseMicros > 0 ? short(row.databaseMicros) : "";
    const times = row.timesBare === undefined ? "" : row.timesBare.toFixed(2);
    return (
      `${row.case.padEnd(18)}${row.peer.padEnd(18)}${pad(short(row.micros), 8)}${pad(spread, 18)}${pad(times, 8)}` +
      `${pad(database, 10)}${pad(row.p50Ms.toFixed(2), 9)}${pad(row.p99Ms.toFixed(2), 9)}${pad(row.callsPerSecond.toFixed(0), 9)}`
    );
  });
  const head = `${"case".padEnd(18)}${"through".padEnd(18)}${pad("CPU us", 8)}${pad("least to most", 18)}${pad("x bare", 8)}${pad("database", 10)}${pad("p50 ms", 9)}${pad("p99 ms", 9)}${pad("calls/s", 9)}`;
  process.stdout.write(
    `CPU microseconds of a call, in cases of chunks of a chunk; user and system; median of ${options.rounds} rounds\n`,
  );
  process.stdout.write(`${[head, ...lines].join("\n")}\n`);
  for (const one of missing) process.stdout.write(`not measured: ${one}\n`);
  process.stdout.write(`${cpus().length} cores (${cpus()[0]?.model}), ${placement}, Node ${process.version}\n`);
}

leaveTheProxysCore();
const script = new URL("scriptedEngine.ts", import.meta.url).pathname;
const most = Math.max(...options.peers.split(",").map((name) => peerOf(name).engines));
const engine = runOn("rest", process.execPath, ["--disable-warning=ExperimentalWarning", script, "20", `${most}`]);
try {
  const { url, urls } = await firstLine(engine);
  const { running, missing } = await started(urls!.split(","));
  const rows: Row[] = [];
  for (const of of wanted) {
    const { chunks, paceMs } = of;
    const answer = await request(`${url}/script`, { method: "POST", body: JSON.stringify({ chunks, paceMs }) });
    await answer.body.dump();
    rows.push(...rowsOf(of, await rounds(of, running, missing)));
  }
  print(rows, missing);
  const versions = Object.values(peers).flatMap(({ installed }) => installed?.packages ?? []);
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, placement, versions };
  if (options.json !== undefined)
    writeFileSync(
      options.json,
      `${JSON.stringify({ bench: "peers", machine, rounds: options.rounds, seconds: options.seconds, rows, missing }, null, 2)}\n`,
    );
} finally {
  await stopAll();
}
