// Placement, live: agent sessions replayed against two real workers behind the real gateway, under one rule after another, beside
// what the simulator says of the same sessions. Every run has fresh workers, an empty cache and the same arrivals.
//
//   npm run bench:placement -- [--policies least-delay,round-robin,...] [--sessions 12] [--calls 8] [--repetitions 1]
//     [--slots 3] [--context 1024] [--load 0.5] [--seed 1] [--json FILE] [--smoke]
//
// A policy is a rule's name, or `pd` for prefill and decode apart under the default rule. After an @ comes where parked states
// lie: `shared` (the default: both workers read one folder), `own` (each its own, as on two machines) or `none`.
//
//   npm run bench:placement -- --predict FILE
//
// asks the simulator alone, anew, about what an earlier run wrote with --json: it starts nothing.
import { writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { defaultPolicy } from "../src/scheduler/index.ts";
import { prefillMs, stepMs } from "../src/simulator/engine/profile.ts";
import { smallModel } from "../test/setup/model.ts";
import startPostgres from "../test/setup/postgres.ts";
import { calibrate } from "./placement/calibrate.ts";
import { parseSetup, type Setup, startLive } from "./placement/live.ts";
import { measure } from "./placement/measured.ts";
import { asPlayed, predict, tokensOf } from "./placement/predict.ts";
import { type Played, replay } from "./placement/replay.ts";
import { printRuns, printSimulated, type Run } from "./placement/report.ts";
import { readSaved, restored, saved, type SavedBench } from "./placement/saved.ts";
import { readSessions, withStarts } from "./placement/sessions.ts";
import { heading, percent } from "./simulator/print.ts";

const usual = [
  ...[defaultPolicy, "round-robin", "consistent-hash", "least-load", "pd"],
  ...[`${defaultPolicy}@own`, "round-robin@own", "consistent-hash@own"],
];
const { values } = parseArgs({
  options: {
    policies: { type: "string" },
    sessions: { type: "string" },
    calls: { type: "string" },
    repetitions: { type: "string", default: "1" },
    slots: { type: "string", default: "3" },
    context: { type: "string", default: "1024" },
    load: { type: "string", default: "0.5" },
    seed: { type: "string", default: "1" },
    json: { type: "string" },
    predict: { type: "string" },
    smoke: { type: "boolean", default: false },
  },
});
const size = { slots: Number(values.slots), contextTokens: values.smoke ? 768 : Number(values.context) };
const seed = Number(values.seed);
const setups = (values.policies?.split(",") ?? (values.smoke ? [defaultPolicy, "round-robin@own"] : usual)).map(
  (name) => parseSetup(name, defaultPolicy),
);

/** A progress line that is overwritten; a log file gets only final lines. */
const say = (text: string) => void (process.stderr.isTTY && process.stderr.write(`\r\x1b[K${text}`));

if (values.predict === undefined) await measureAll();
else predictAgain(values.predict);

async function measureAll(): Promise<void> {
  process.env["LINESHAFT_MODEL"] = await smallModel();
  const stopPostgres = await startPostgres();
  try {
    await main();
  } finally {
    await stopPostgres();
  }
}

function predictAgain(path: string): void {
  const { calibration, runs, seed: played } = readSaved(path);
  printSimulated(
    runs.map(({ setup, runs: each }) => ({
      setup,
      runs: each.map((run) => ({ ...run, simulated: predict(restored(run.played), setup, calibration, played) })),
    })),
  );
}

async function main(): Promise<void> {
  const sessions = await readSessions({
    sessions: Number(values.sessions ?? (values.smoke ? 4 : 12)),
    calls: Number(values.calls ?? (values.smoke ? 4 : 8)),
    contextTokens: size.contextTokens,
    timeShrink: 8,
    mostGapS: 60,
    seed,
  });
  const calibration = await (async () => {
    await using live = await startLive(parseSetup("least-load", defaultPolicy), size);
    return await calibrate(live, size, values.smoke, (part) => say(`calibrating: ${part}`));
  })();
  const { profile } = calibration;
  // The work of a session when nothing is computed twice, shared by two workers, decides how close together they start.
  const fresh = freshTokens(sessions.workload.calls);
  const outputs = sessions.workload.calls.reduce((sum, call) => sum + call.outputTokens, 0);
  const idealMs = (fresh * prefillMs(profile, 512, 256)) / 512 + outputs * stepMs(profile, 0, 0, 1, 512);
  const startGapMs = idealMs / sessions.workload.programs / 2 / Number(values.load);
  const workload = withStarts(sessions.workload, startGapMs, seed);
  say("");
  heading(
    `Placement on two workers: ${workload.programs} sessions, ${workload.calls.length} calls, ${workload.threads - workload.programs} sub-agents; ${cpus().length} cores (${cpus()[0]!.model.trim()}), load average ${loadavg()[0]!.toFixed(1)}`,
  );
  console.log(`${sessions.source}; starts Poisson, ${(startGapMs / 1000).toFixed(1)} s apart; seed ${seed}.`);
  console.log(`A worker: one thread, ${size.slots} sequences of ${size.contextTokens} tokens.`);
  console.log(
    `Its profile: ${(512_000 / prefillMs(profile, 512, 0)).toFixed(0)} prompt tokens/s, ${(1000 / stepMs(profile, 0, 0, 1, 512)).toFixed(0)} output tokens/s alone; a token's state saved in ${calibration.saveMsPerToken.toFixed(3)} ms, brought back in ${calibration.reloadMsPerToken.toFixed(3)} ms; the gateway adds ${calibration.gatewayMs.toFixed(0)} ms; mean error on its own rows ${percent(calibration.error)}.`,
  );
  const runs = setups.map((setup) => ({ setup, runs: [] as Run[] }));
  for (let repetition = 0; repetition < Number(values.repetitions); repetition++) {
    for (const entry of runs) {
      const { setup } = entry;
      const run = await runOnce(setup, repetition);
      entry.runs.push(run);
      save();
      say("");
      console.error(
        `${setup.name}: ${percent(run.measured.hitRate)} cached, mean TTFT ${run.measured.ttftMs.mean.toFixed(0)} ms, ${(run.measured.spanMs / 1000).toFixed(0)} s, load ${loadavg()[0]!.toFixed(1)}`,
      );
    }
  }
  printRuns(runs);

  /** Written after every run, so that a failure in the last run does not lose the figures of the earlier ones. */
  function save(): void {
    if (values.json === undefined) return;
    const all: SavedBench = { sessions: sessions.source, size, startGapMs, seed, calibration, runs };
    writeFileSync(values.json, `${JSON.stringify(all, null, 2)}\n`);
  }

  async function runOnce(setup: Setup, repetition: number): Promise<Run> {
    await using live = await startLive(setup, size);
    const played = await replay(live, workload, sessions.systemTokens, (done, total) =>
      say(`${setup.name}, repetition ${repetition + 1}: ${done}/${total}`),
    );
    const measured = await measure(live, played);
    const real = asPlayed(workload, await tokensOf(live, played));
    const simulated = predict(real, setup, calibration, seed);
    return { loadAverage: loadavg()[0]!, measured, simulated, played: saved(real), calls: played.map(rowOf) };
  }
}

/** A call without its texts. */
function rowOf({ call, messages, ...seen }: Played): Run["calls"][number] {
  return { call: call.index, program: call.program, thread: call.thread, messages: messages.length, ...seen };
}

/** Prompt tokens that some call is the first to ask for. */
function freshTokens(calls: readonly { blocks: Int32Array }[]): number {
  const seen = new Set<number>();
  for (const { blocks } of calls) for (const block of blocks) seen.add(block);
  return seen.size;
}
