// How near the simulator comes to a real engine. The engine is measured first (prompts alone, outputs in batches), a profile is
// fitted, and then conversations are replayed at several loads, repetitions interleaved; each repetition is simulated with the
// arrivals and lengths that really happened. Printed: the error of mean and p99 of time to first token and time per token, beside
// the engine's own spread between repetitions, which no model can undercut.
//
//   node bench/fidelity.ts                                   the embedded engine, started here (LINESHAFT_MODEL)
//   node bench/fidelity.ts --url http://127.0.0.1:8101 --model smol --slots 8 --block 32    any OpenAI-compatible engine
//   options: --key, --threads 1, --loads 0.3,0.6,0.9 (of the estimated capacity), --calls 30, --repetitions 5, --json FILE
import { writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { events, startTestWorker } from "../src/engines/embedded/testing.ts";
import { makePolicy } from "../src/scheduler/index.ts";
import { fitProfile, measureEndpoint, type ProfileFrame, type Send } from "../src/simulator/calibrate.ts";
import { prefillMs, stepMs, type EngineProfile } from "../src/simulator/engine/profile.ts";
import { parseFleet } from "../src/simulator/fleet.ts";
import { Random } from "../src/simulator/random.ts";
import { mean, percentile } from "../src/simulator/report/statistics.ts";
import { simulate } from "../src/simulator/run/simulation.ts";
import { WorkloadBuilder } from "../src/simulator/traces/builder.ts";
import { smallModel } from "../test/setup/model.ts";
import { heading, percent, printTable } from "./simulator/print.ts";

const { values } = parseArgs({
  options: {
    url: { type: "string" },
    model: { type: "string", default: "small" },
    key: { type: "string" },
    slots: { type: "string", default: "8" },
    block: { type: "string", default: "16" },
    threads: { type: "string", default: "1" },
    loads: { type: "string", default: "0.3,0.6,0.9" },
    calls: { type: "string", default: "30" },
    repetitions: { type: "string", default: "5" },
    json: { type: "string" },
  },
});
const slots = Number(values.slots);
const blockTokens = Number(values.block);
const repetitions = Number(values.repetitions);
const callsPerRun = Number(values.calls);
const outputTokens = 32;

interface Done {
  conversation: number;
  turn: number;
  sentMs: number;
  ttftMs: number;
  totalMs: number;
  promptTokens: number;
  cachedTokens: number;
  outputTokens: number;
}

/** What a run comes to, engine or simulator. */
interface Figures {
  ttftMean: number;
  ttftP99: number;
  tokenMean: number;
  tokenP99: number;
}

if (values.url === undefined) process.env["LINESHAFT_MODEL"] = await smallModel();
const worker =
  values.url === undefined
    ? await startTestWorker({ slots, contextTokens: 2048, threads: Number(values.threads) })
    : undefined;
const base = worker?.url ?? values.url!;
const headers = worker?.headers ?? {
  "content-type": "application/json",
  ...(values.key === undefined ? {} : { authorization: `Bearer ${values.key}` }),
};

/** One streamed completion of a text. */
async function complete(
  prompt: string,
  maxTokens: number,
  attempt: string,
  onFirstToken?: () => void,
): Promise<Omit<Done, "conversation" | "turn" | "sentMs">> {
  const body = {
    model: values.model,
    prompt,
    max_tokens: maxTokens,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
    ...(worker === undefined ? { ignore_eos: true } : { lineshaft: { attempt, cacheSalt: "bench", project: "bench" } }),
  };
  const started = performance.now();
  const response = await fetch(`${base}/v1/completions`, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  let firstMs = 0;
  let lastMs = 0;
  let usage:
    | { prompt_tokens: number; completion_tokens: number; prompt_tokens_details?: { cached_tokens?: number } }
    | undefined;
  for await (const chunk of events(response)) {
    if (chunk.choices?.length > 0) {
      lastMs = performance.now() - started;
      if (firstMs === 0) onFirstToken?.();
      if (firstMs === 0) firstMs = lastMs;
    }
    if (chunk.usage) usage = chunk.usage;
  }
  if (usage === undefined) throw new Error("the engine reported no usage");
  return {
    ttftMs: firstMs,
    totalMs: lastMs,
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
    outputTokens: usage.completion_tokens,
  };
}

/** Plain words, about a token each, that begin with something no other prompt has. */
function words(nonce: string, count: number): string {
  const list = [
    "river",
    "stone",
    "light",
    "green",
    "table",
    "north",
    "paper",
    "glass",
    "water",
    "house",
    "field",
    "cloud",
  ];
  const random = Random.stream(count, nonce);
  return `${nonce}: ${Array.from({ length: count }, () => list[random.below(list.length)]!).join(" ")}`;
}

const send: Send = ({ promptTokens, outputTokens: maxTokens, nonce, onFirstToken }) => {
  const attempt = `${nonce}-${Math.trunc(performance.now() * 1000)}`;
  return complete(words(attempt, Math.max(1, promptTokens - 8)), maxTokens, attempt, onFirstToken);
};

const frame: ProfileFrame = {
  name: "measured here",
  model: values.model,
  chip: cpus()[0]!.model.trim(),
  chips: 1,
  maxBatchTokens: worker === undefined ? 2048 : 256,
  ...(worker === undefined ? {} : { chunking: { busyTokens: 64, idleTokens: 128, callsPerStep: 2 } }),
  maxSequences: slots,
  kvCapacityTokens: slots * 2048,
  kvBytesPerToken: 23_000,
  tiers: [],
  startUpMs: 0,
  pricePerChipHour: 0,
  source: `fitted by bench/fidelity.ts at load ${loadavg()[0]!.toFixed(1)}`,
};

/** Conversations of up to 3 turns at a Poisson rate; a turn follows the one before it after a pause. */
async function replay(ratePerS: number, label: string, seed: number): Promise<Done[]> {
  const random = new Random(seed);
  const done: Done[] = [];
  const running: Promise<void>[] = [];
  const started = performance.now();
  let atMs = 0;
  for (let conversation = 0; conversation < Math.ceil(callsPerRun / 2); conversation++) {
    atMs += random.exponential(2000 / ratePerS);
    const lengths = [100 + random.below(300), 60 + random.below(120)];
    const pauseMs = 200 + random.exponential(800);
    const startMs = atMs;
    running.push(
      (async () => {
        await sleep(Math.max(0, startMs - (performance.now() - started)));
        let prompt = "";
        for (const [turn, length] of lengths.entries()) {
          if (turn > 0) await sleep(pauseMs);
          prompt += `${words(`${label} ${conversation} ${turn}`, length)}\n`;
          const sentMs = performance.now() - started;
          const answer = await complete(prompt, outputTokens, `${label}-${conversation}-${turn}`);
          done.push({ conversation, turn, sentMs, ...answer });
        }
      })(),
    );
  }
  await Promise.all(running);
  return done.toSorted((a, b) => a.sentMs - b.sentMs);
}

/** The same arrivals and lengths through the model. */
function predict(calls: readonly Done[], profile: EngineProfile): Figures {
  const builder = new WorkloadBuilder("replayed", blockTokens);
  const own = new Map<number, number[]>();
  for (const call of calls) {
    const blocks = own.get(call.conversation) ?? [];
    while (blocks.length < Math.floor(call.promptTokens / blockTokens)) blocks.push(builder.freshBlock());
    own.set(call.conversation, blocks);
    builder.add({
      program: String(call.conversation),
      promptTokens: call.promptTokens,
      outputTokens: call.outputTokens,
      blocks: Int32Array.from(blocks.slice(0, Math.floor(call.promptTokens / blockTokens))),
      delayMs: call.sentMs,
    });
  }
  const workload = builder.build();
  const { records } = simulate(
    workload,
    parseFleet({ pools: [{ name: "engine", profile, replicas: 1 }] }),
    makePolicy("random"),
  );
  return figures(
    workload.calls.map(({ index, outputTokens: tokens }) => ({
      ttftMs: records.firstMs[index]! - records.sentMs[index]!,
      totalMs: records.endMs[index]! - records.sentMs[index]!,
      outputTokens: tokens,
    })),
  );
}

function figures(calls: readonly { ttftMs: number; totalMs: number; outputTokens: number }[]): Figures {
  const ttft = calls.map((call) => call.ttftMs).toSorted((a, b) => a - b);
  const token = calls
    .filter((call) => call.outputTokens > 1)
    .map((call) => (call.totalMs - call.ttftMs) / (call.outputTokens - 1))
    .toSorted((a, b) => a - b);
  return {
    ttftMean: mean(ttft),
    ttftP99: percentile(ttft, 99),
    tokenMean: mean(token),
    tokenP99: percentile(token, 99),
  };
}

try {
  heading(
    `Fidelity: ${worker === undefined ? base : "the embedded engine"}, ${cpus().length} cores, load average ${loadavg()[0]!.toFixed(1)}`,
  );
  const rows = await measureEndpoint(send, {
    // Short outputs separate the cost of a step from the cost of a call: with long outputs alone the fit would mix them up.
    promptLengths: [16, 32, 64, 192, 384, 768, 1152],
    batches: [1, 2, 4, slots],
    outputTokens,
    repetitions: 3,
  });
  const fitted = fitProfile(rows, frame);
  const { profile } = fitted;
  console.log(
    `Profile: ${JSON.stringify(profile.step)}, ${profile.callOverheadMs.toFixed(1)} ms a call; mean error on its rows ${percent(fitted.error)}`,
  );
  const callMs = prefillMs(profile, 280, 0) + (outputTokens * stepMs(profile, 0, 0, slots, slots * 400)) / slots;
  const loads = values.loads
    .split(",")
    .map((share) => ({ share: Number(share), ratePerS: (Number(share) * 1000) / callMs }));
  const runs = loads.map(() => ({ real: [] as Figures[], simulated: [] as Figures[] }));
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const [i, load] of loads.entries()) {
      const calls = await replay(load.ratePerS, `r${repetition}l${i}`, 1);
      runs[i]!.real.push(figures(calls));
      runs[i]!.simulated.push(predict(calls, profile));
    }
  }
  const names: [keyof Figures, string][] = [
    ["ttftMean", "mean TTFT ms"],
    ["tokenMean", "mean ms/token"],
    ["ttftP99", "p99 TTFT ms"],
    ["tokenP99", "p99 ms/token"],
  ];
  const table = loads.flatMap((load, i) =>
    names.map(([key, name]) => {
      const real = runs[i]!.real.map((run) => run[key]);
      const simulated = runs[i]!.simulated.map((run) => run[key]);
      const spread = (Math.max(...real) - Math.min(...real)) / mean(real);
      return [
        load.share,
        name,
        mean(real).toFixed(1),
        mean(simulated).toFixed(1),
        percent(mean(simulated) / mean(real) - 1),
        percent(spread),
      ];
    }),
  );
  printTable(["load", "", "engine", "simulated", "error", "engine's own spread"], table);
  console.log(`${repetitions} repetitions, interleaved; spread is (largest - smallest) / mean over repetitions.`);
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ profile, rows: fitted.rows, loads, runs }, null, 2)}\n`);
} finally {
  await worker?.stop();
}
