// What it costs to prefill in one worker and decode in another, beside computing the prompt where it decodes: two real
// workers of one folder, prompts of several lengths, repetitions interleaved. For every length: what the prefill worker
// computes, saves and publishes (checksum and sidecar, until any other process may load it), what the decode worker takes to
// check and load it, and the time to its first token with the state and without.
//
//   npm run bench:handoff -- [--reps 3] [--tokens 250,500,1000,2000] [--threads N] [--model FILE.gguf] [--json FILE]
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import type { PrefillAnswer } from "../src/engines/embedded/protocol.ts";
import { type TestWorker, startTestWorker } from "../src/engines/embedded/testing.ts";
import { smallModel } from "../test/setup/model.ts";

const { values: options } = parseArgs({
  options: {
    reps: { type: "string", default: "3" },
    tokens: { type: "string", default: "250,500,1000,2000" },
    threads: { type: "string", default: "1" },
    model: { type: "string" },
    json: { type: "string" },
  },
});
const reps = Number(options.reps);
const lengths = options.tokens.split(",").map(Number);
const threads = Number(options.threads);
const modelPath = options.model ?? (await smallModel());
const contextTokens = Math.ceil((Math.max(...lengths) + 64) / 256) * 256;

/** Milliseconds of one hand-off, and bytes of its state. */
interface Sample {
  computeMs: number;
  saveMs: number;
  publishMs: number;
  loadMs: number;
  firstTokenPulledMs: number;
  firstTokenComputedMs: number;
  bytes: number;
}

/** Ids that no other prompt of the bench begins with. */
const promptOf = (length: number, seed: number) =>
  Array.from({ length }, (_, place) => 1_000 + ((seed * 7_919 + place * 104_729) % 40_000));

async function prefill(worker: TestWorker, prompt: number[], cacheSalt: string) {
  const started = performance.now();
  const response = await worker.post("/lineshaft/prefill/completions", { prompt, lineshaft: hintsOf(cacheSalt) });
  const answer = (await response.json()) as PrefillAnswer;
  if (answer.state === null) throw new Error("the state could not be kept");
  const { prefillMs, queueMs } = answer.report;
  const publishMs = performance.now() - started - queueMs - prefillMs - answer.saveMs;
  return { ...answer, state: answer.state, computeMs: prefillMs, publishMs };
}

/** Time to the first token of a short answer, and what it said. */
async function decode(worker: TestWorker, prompt: number[], cacheSalt: string, more: object = {}) {
  const started = performance.now();
  let firstMs = 0;
  let text = "";
  let restoreMs = 0;
  const body = { prompt, temperature: 0, max_tokens: 8, lineshaft: { ...hintsOf(cacheSalt), ...more } };
  for await (const chunk of worker.stream(body, "/v1/completions")) {
    if (firstMs === 0) firstMs = performance.now() - started;
    text += chunk.choices[0]?.text ?? "";
    if (chunk.lineshaft) restoreMs = chunk.lineshaft.restoreMs;
  }
  return { firstMs, text, restoreMs };
}

let attempts = 0;
const hintsOf = (cacheSalt: string) => ({ attempt: `bench-${++attempts}`, cacheSalt, project: "bench" });

async function measure(a: TestWorker, b: TestWorker, kvDir: string, length: number, rep: number): Promise<Sample> {
  const prompt = promptOf(length, rep * 1_000 + length);
  const kept = await prefill(a, prompt, `pd-${rep}-${length}`);
  const bytes = statSync(path.join(kvDir, `${kept.state.split(".")[0]}.state`)).size;
  const transfer = { state: kept.state, tokens: kept.tokens };
  const pulled = await decode(b, prompt, `pd-${rep}-${length}`, { transfer });
  const here = await decode(a, prompt, `pd-${rep}-${length}`);
  if (pulled.text !== here.text) throw new Error(`the decoder says ${pulled.text}, the prefill worker ${here.text}`);
  const computed = await decode(b, prompt, `alone-${rep}-${length}`);
  await a.post("/lineshaft/release", { state: kept.state });
  return {
    computeMs: kept.computeMs,
    saveMs: kept.saveMs,
    publishMs: kept.publishMs,
    loadMs: pulled.restoreMs,
    firstTokenPulledMs: pulled.firstMs,
    firstTokenComputedMs: computed.firstMs,
    bytes,
  };
}

const samples = new Map<number, Sample[]>(lengths.map((length) => [length, []]));
const kvDir = mkdtempSync(path.join(tmpdir(), "lineshaft-bench-"));
const workers = [];
try {
  for (let i = 0; i < 2; i++)
    workers.push(await startTestWorker({ kvDir, slots: 4, contextTokens, threads, modelPath }));
  const [a, b] = workers as [TestWorker, TestWorker];
  for (let rep = 0; rep < reps; rep++) {
    process.stderr.write(`repetition ${rep + 1} of ${reps}, load ${loadavg()[0]!.toFixed(1)}\n`);
    for (const length of lengths) samples.get(length)!.push(await measure(a, b, kvDir, length, rep));
  }
} finally {
  for (const worker of workers) await worker.stop();
  rmSync(kvDir, { recursive: true, force: true });
}

const columns = {
  computeMs: "computed there",
  saveMs: "saved",
  publishMs: "published",
  loadMs: "checked and loaded",
  firstTokenPulledMs: "first token, pulled",
  firstTokenComputedMs: "first token, computed here",
} as const;
const median = (values: number[]) => values.toSorted((x, y) => x - y)[Math.floor(values.length / 2)]!;
const cell = (values: number[]) =>
  `${median(values).toFixed(0)}${values.length > 1 ? ` (${Math.min(...values).toFixed(0)}-${Math.max(...values).toFixed(0)})` : ""}`;
console.log(
  `${cpus().length} cores (${cpus()[0]?.model ?? "unknown"}), ${threads} thread(s) a worker, ${reps} repetitions`,
);
console.log(`\n| prompt, tokens | state, MB | ${Object.values(columns).join(", ms | ")}, ms |\n|${"---|".repeat(8)}`);
for (const [length, rows] of samples) {
  const cells = (Object.keys(columns) as (keyof typeof columns)[]).map((name) => cell(rows.map((row) => row[name])));
  console.log(`| ${length} | ${(rows[0]!.bytes / 1e6).toFixed(1)} | ${cells.join(" | ")} |`);
}
if (options.json)
  writeFileSync(
    options.json,
    `${JSON.stringify({ bench: "handoff", threads, reps, cpu: cpus()[0]?.model, samples: Object.fromEntries(samples) }, null, 2)}\n`,
  );
