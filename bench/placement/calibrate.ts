// What the simulator must know of one worker, measured on one before anything is replayed: its step times (as bench:fidelity
// does), what a state costs to save and to bring back, and what the gateway adds to a call.
import { cpus, loadavg } from "node:os";
import { events } from "../../src/engines/embedded/testing.ts";
import { fitProfile, measureEndpoint, type Send } from "../../src/simulator/calibrate.ts";
import type { EngineProfile } from "../../src/simulator/engine/profile.ts";
import { wordsOf } from "./conversation.ts";
import { diskBytes, type Live, model, type WorkerSize } from "./live.ts";

export interface Calibration {
  profile: EngineProfile;
  /** Mean error on the rows that it was fitted to. */
  error: number;
  gatewayMs: number;
  saveMsPerToken: number;
  reloadMsPerToken: number;
}

interface Answer {
  promptTokens: number;
  outputTokens: number;
  ttftMs: number;
  totalMs: number;
  /** The worker's own report. */
  report: { restoreMs: number; cachedByTier: { disk: number } } | undefined;
}

const outputTokens = 16;
const stateTokens = 256;

/** `quick`: some seconds instead of a minute or two, and a profile to match. */
export async function calibrate(
  live: Live,
  size: WorkerSize,
  quick: boolean,
  onProgress: (part: string) => void,
): Promise<Calibration> {
  let probes = 0;
  const direct = (prompt: string, most: number, onFirstToken?: () => void) => {
    const body = {
      model: "small",
      prompt,
      max_tokens: most,
      lineshaft: { attempt: `calibration-${probes++}`, cacheSalt: "calibration", project: "calibration" },
    };
    return ask(live.workers[0]!.url, live.workers[0]!.headers, body, onFirstToken);
  };
  const send: Send = ({ promptTokens, outputTokens: most, nonce, onFirstToken }) =>
    direct(textOf(nonce, promptTokens), most, onFirstToken);
  const rows = await measureEndpoint(send, {
    promptLengths: quick ? [32, 128, 256] : [32, 96, 256, 512, Math.round(size.contextTokens * 0.75)],
    batches: quick ? [1, size.slots] : [1, 2, size.slots],
    outputTokens,
    repetitions: quick ? 1 : 3,
    onProgress: (done, total) => onProgress(`step times ${done}/${total}`),
  });
  onProgress("states");
  const reloadMsPerToken = await reloaded(direct, size);
  const { kv } = await live.workers[0]!.status();
  const saveMsPerToken = await saved(live);
  onProgress("the gateway");
  const gatewayMs = await addedByGateway(live, direct);
  const { profile, error } = fitProfile(rows, {
    name: "worker",
    model: "small",
    chip: cpus()[0]!.model.trim(),
    chips: 1,
    startUpMs: 0,
    pricePerChipHour: 0,
    maxBatchTokens: 256,
    chunking: { busyTokens: 64, idleTokens: 128, callsPerStep: 2 },
    maxSequences: size.slots,
    kvCapacityTokens: size.slots * size.contextTokens,
    kvBytesPerToken: kv.bytesPerToken,
    tiers: [
      {
        tier: "disk",
        capacityTokens: Math.floor(diskBytes / kv.bytesPerToken),
        latencyMs: 0,
        msPerToken: reloadMsPerToken,
      },
    ],
    network: {
      gigabytesPerSecond: kv.bytesPerToken / ((saveMsPerToken + reloadMsPerToken) * 1e6),
      latencyMs: gatewayMs,
    },
    source: `measured by bench/placement.ts at load ${loadavg()[0]!.toFixed(1)}`,
  });
  return {
    profile: { ...profile, callOverheadMs: profile.callOverheadMs + gatewayMs },
    error,
    gatewayMs,
    saveMsPerToken,
    reloadMsPerToken,
  };
}

/** `count` words that begin as no other text does. */
function textOf(nonce: string, count: number): string {
  const start = [...nonce].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 1_000_003, 7) * 2048;
  return wordsOf(Int32Array.from({ length: Math.max(1, count) }, (_, i) => start + i));
}

/** Milliseconds a token to bring a parked state back, the parking of what lay in its place included. */
async function reloaded(direct: (prompt: string, most: number) => Promise<Answer>, size: WorkerSize): Promise<number> {
  const texts = Array.from({ length: size.slots + 2 }, (_, i) => textOf(`state ${i}`, stateTokens));
  for (const text of texts) await direct(text, 1);
  let ms = 0;
  let tokens = 0;
  for (const text of texts) {
    const { report } = await direct(`${text} and`, 1);
    if (!report || report.cachedByTier.disk === 0) continue;
    ms += report.restoreMs;
    tokens += report.cachedByTier.disk;
  }
  if (tokens === 0) throw new Error("No state came back from disk while the worker was calibrated.");
  return ms / tokens;
}

/** Milliseconds a token to keep a prompt's state for another worker. */
async function saved({ workers }: Live): Promise<number> {
  const worker = workers[0]!;
  const response = await worker.post("/lineshaft/prefill/completions", {
    model: "small",
    prompt: textOf("lent", stateTokens),
    max_tokens: 1,
    lineshaft: { attempt: "calibration-lent", cacheSalt: "calibration", project: "calibration" },
  });
  const answer = (await response.json()) as { state: string | null; tokens: number; saveMs: number };
  if (answer.state !== null) await worker.post("/lineshaft/release", { state: answer.state });
  return answer.saveMs / answer.tokens;
}

/** What a call takes longer through the gateway than at a worker: key, hold, tokenising, placing. Medians of short calls. */
async function addedByGateway(live: Live, direct: (prompt: string, most: number) => Promise<Answer>): Promise<number> {
  const short = Array.from({ length: 9 }, (_, i) => textOf(`short ${i}`, 16));
  const alone: number[] = [];
  const through: number[] = [];
  for (const text of short) {
    alone.push((await direct(text, 1)).ttftMs);
    const headers = { authorization: `Bearer ${live.at.key}`, "content-type": "application/json" };
    through.push((await ask(live.at.address, headers, { model, prompt: `${text} now`, max_tokens: 1 })).ttftMs);
  }
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
  return Math.max(0, median(through) - median(alone));
}

async function ask(
  url: string,
  headers: Record<string, string>,
  body: Record<string, unknown>,
  onFirstToken?: () => void,
): Promise<Answer> {
  const started = performance.now();
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers,
    body: JSON.stringify({ ...body, temperature: 0, stream: true, stream_options: { include_usage: true } }),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  const answer: Answer = { promptTokens: 0, outputTokens: 0, ttftMs: 0, totalMs: 0, report: undefined };
  for await (const chunk of events(response)) {
    if (chunk.choices?.length > 0) {
      answer.totalMs = performance.now() - started;
      if (answer.ttftMs === 0) onFirstToken?.();
      if (answer.ttftMs === 0) answer.ttftMs = answer.totalMs;
    }
    if (chunk.lineshaft) answer.report = chunk.lineshaft;
    if (!chunk.usage) continue;
    answer.promptTokens = chunk.usage.prompt_tokens;
    answer.outputTokens = chunk.usage.completion_tokens;
  }
  return answer;
}
