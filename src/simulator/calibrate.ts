// Turns a real endpoint into a profile. `measureEndpoint` asks it for prompts of several lengths alone, for outputs at several
// batch sizes, and for prompts beside such a batch, through an injected `send`, so that the command line can wire any
// OpenAI-compatible address and tests an engine model; `fitProfile` finds the step times that explain the rows, and says how well they do.
import { profileSchema, type EngineProfile } from "./engine/profile.ts";
import { fitError, nonNegativeFit, type LinearRow } from "./fit.ts";
import { SimulatorError } from "./types.ts";

/** What `send` must do: generate exactly `outputTokens` tokens after a prompt of about `promptTokens` that shares nothing. */
export interface ProbeRequest {
  promptTokens: number;
  outputTokens: number;
  /** Differs for every probe, so that no prefix cache can help. */
  nonce: string;
  signal?: AbortSignal;
  /** Call it when the first token is there. Without it no prompt can be measured beside a batch. */
  onFirstToken?: () => void;
}

/** What an endpoint answered to a probe: its own counts of tokens, and times in ms. */
export interface ProbeAnswer {
  /** As the endpoint counted them. */
  promptTokens: number;
  outputTokens: number;
  ttftMs: number;
  totalMs: number;
}

/** Sends one probe to the endpoint that is measured, and waits for its whole answer. Rejects when the endpoint fails. */
export type Send = (request: ProbeRequest) => Promise<ProbeAnswer>;

/**
 * A measured row. `prefill`: time to first token of one call alone; `decode`: time per token with `batch` equal calls; `mixed`: time
 * to first token of one call while `batch` others, of `contextTokens` each, decode.
 */
export type MeasuredRow =
  | { kind: "prefill"; promptTokens: number; ms: number }
  | { kind: "decode"; batch: number; contextTokens: number; ms: number }
  | { kind: "mixed"; promptTokens: number; batch: number; contextTokens: number; ms: number };

export interface MeasureOptions {
  promptLengths?: readonly number[];
  batches?: readonly number[];
  outputTokens?: number;
  repetitions?: number;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/**
 * Measures an endpoint that serves nothing else meanwhile. Rows are medians over repetitions.
 * @throws SimulatorError `counts_invalid`, `too_few_rows` before it asks anything; `probe_failed`
 */
export async function measureEndpoint(send: Send, options: MeasureOptions = {}): Promise<MeasuredRow[]> {
  const {
    promptLengths = [64, 256, 512, 1024, 1536],
    batches = [1, 2, 4, 8],
    outputTokens = 64,
    repetitions = 3,
  } = options;
  checkCounts("prompt lengths", promptLengths, 2);
  checkCounts("batches", batches, 2);
  // Between the first token and the last there must be time.
  checkCounts("tokens after the first", [outputTokens - 1]);
  checkCounts("repetitions", [repetitions]);
  const rows: MeasuredRow[] = [];
  const longer = promptLengths.slice(-2);
  // A call that is measured beside a batch needs a seat: the largest batch may have taken them all.
  const beside = [...new Set(batches.map((batch) => Math.max(1, batch - 1)))];
  const total = promptLengths.length + batches.length * 2 + beside.length * longer.length;
  let done = 0;
  const finished = () => options.onProgress?.(++done, total);
  await probe(send, { promptTokens: promptLengths[0]!, outputTokens: 2, nonce: "warm-up" }, options.signal);
  for (const length of promptLengths) {
    const times: number[] = [];
    let counted = length;
    for (let r = 0; r < repetitions; r++) {
      const answer = await probe(
        send,
        { promptTokens: length, outputTokens: 1, nonce: `p${length}-${r}` },
        options.signal,
      );
      times.push(answer.ttftMs);
      counted = answer.promptTokens;
    }
    rows.push({ kind: "prefill", promptTokens: counted, ms: median(times) });
    finished();
  }
  for (const context of [promptLengths[0]!, promptLengths[Math.floor(promptLengths.length / 2)]!]) {
    for (const batch of batches) {
      const times: number[] = [];
      let counted = context;
      for (let r = 0; r < repetitions; r++) {
        const nonces = Array.from({ length: batch }, (_, i) => `d${context}-${batch}-${r}-${i}`);
        const answers = await Promise.all(
          nonces.map((nonce) => probe(send, { promptTokens: context, outputTokens, nonce }, options.signal)),
        );
        // The last call to get its first token decodes with all others beside it: its pace is the batch's pace.
        const last = answers.reduce((a, b) => (b.ttftMs > a.ttftMs ? b : a));
        times.push((last.totalMs - last.ttftMs) / Math.max(1, last.outputTokens - 1));
        counted = last.promptTokens;
      }
      rows.push({ kind: "decode", batch, contextTokens: counted + outputTokens / 2, ms: median(times) });
      finished();
    }
  }
  for (const length of longer) {
    for (const batch of beside) {
      const times: number[] = [];
      let counted = { promptTokens: length, contextTokens: promptLengths[0]! };
      for (let r = 0; r < repetitions; r++) {
        const nonce = `m${length}-${batch}-${r}`;
        const answer = await besideBatch(
          send,
          { promptTokens: length, batch, context: promptLengths[0]!, nonce },
          options,
        );
        if (answer === undefined) break;
        times.push(answer.ms);
        counted = answer;
      }
      if (times.length > 0) rows.push({ kind: "mixed", batch, ...counted, ms: median(times) });
      finished();
    }
  }
  return rows;
}

/** Refuses counts that could not be fitted, before minutes are spent on measuring. `least`: how many different counts are needed. */
function checkCounts(name: string, values: readonly number[], least = 1): void {
  const wrong = values.find((value) => !Number.isInteger(value) || value < 1);
  if (wrong !== undefined)
    throw new SimulatorError("counts_invalid", `${name}: ${wrong} cannot be measured.`, "Give whole numbers above 0.");
  if (new Set(values).size < least)
    throw new SimulatorError(
      "too_few_rows",
      `A profile needs at least two different ${name}.`,
      "Measure more of them.",
    );
}

/** Tokens that the calls beside a measured prompt generate: more than the steps that it takes, on any engine that chunks. */
const besideOutputTokens = 96;

/** Time to first token beside `batch` calls that decode; undefined when `send` does not tell first tokens or they ended too soon. */
async function besideBatch(
  send: Send,
  { promptTokens, batch, context, nonce }: { promptTokens: number; batch: number; context: number; nonce: string },
  { signal }: MeasureOptions,
): Promise<{ promptTokens: number; contextTokens: number; ms: number } | undefined> {
  let ended = 0;
  const decoding: Promise<void>[] = [];
  const calls = Array.from({ length: batch }, (_, i) => {
    const begun = Promise.withResolvers<void>();
    decoding.push(begun.promise);
    const request = { promptTokens: context, outputTokens: besideOutputTokens, nonce: `${nonce}-${i}` };
    return probe((asked) => send({ ...asked, onFirstToken: begun.resolve }), request, signal).finally(() => {
      ended++;
      begun.resolve();
    });
  });
  const answers = Promise.all(calls);
  // A failed probe is reported when all are waited for, not before.
  answers.catch(() => {});
  await Promise.all(decoding);
  const answer = ended > 0 ? undefined : await probe(send, { promptTokens, outputTokens: 1, nonce }, signal);
  const outlasted = ended === 0;
  const [other] = await answers;
  if (answer === undefined || !outlasted || other === undefined) return undefined;
  return {
    promptTokens: answer.promptTokens,
    contextTokens: other.promptTokens,
    ms: answer.ttftMs,
  };
}

async function probe(send: Send, request: Omit<ProbeRequest, "signal">, signal?: AbortSignal): Promise<ProbeAnswer> {
  const { promptTokens } = request;
  const answer = await send({ ...request, ...(signal ? { signal } : {}) });
  if (!(answer.ttftMs > 0) || answer.outputTokens < 1) {
    throw new SimulatorError(
      "probe_failed",
      `The endpoint answered a probe of ${promptTokens} tokens with ${answer.outputTokens} tokens after ${answer.ttftMs} ms.`,
      "Check that the endpoint streams and reports usage.",
    );
  }
  return answer;
}

/** What a profile needs beside step times. */
export type ProfileFrame = Omit<EngineProfile, "step" | "callOverheadMs">;

export interface FittedProfile {
  profile: EngineProfile;
  /** Mean absolute relative error over the rows. */
  error: number;
  rows: { row: MeasuredRow; predictedMs: number }[];
}

/**
 * Fits step times to rows. The tokens that ride free with the weights are found by trying; everything else is linear.
 * @throws SimulatorError `too_few_rows` when fewer than 3 rows of either kind are given
 */
export function fitProfile(rows: readonly MeasuredRow[], frame: ProfileFrame): FittedProfile {
  const kinds = ["prefill", "decode"] as const;
  for (const kind of kinds) {
    if (rows.filter((row) => row.kind === kind).length < 2) {
      throw new SimulatorError(
        "too_few_rows",
        `A profile needs at least 2 ${kind} rows.`,
        "Measure more lengths or batches.",
      );
    }
  }
  let best: { x: number[]; free: number; error: number } | undefined;
  for (const free of [0, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384, 512]) {
    const linear = rows.map((row) => linearRow(row, free, frame));
    const x = nonNegativeFit(linear, 6);
    const error = fitError(linear, x);
    if (best === undefined || error < best.error - 1e-9) best = { x, free, error };
  }
  const { x, free, error } = best!;
  const [overhead, base, token, sequence, kvRead, pair] = x as [number, number, number, number, number, number];
  const profile = profileSchema.parse({
    ...frame,
    callOverheadMs: overhead,
    step: {
      baseMs: Math.max(base, 1e-6),
      freeTokens: free,
      tokenMs: Math.max(token, 1e-9),
      sequenceMs: sequence,
      kvReadMsPerToken: kvRead,
      attentionMsPerPair: pair,
    },
  });
  const predicted = rows.map((row) => {
    const { features } = linearRow(row, free, frame);
    return { row, predictedMs: features.reduce((sum, feature, j) => sum + feature * x[j]!, 0) };
  });
  return { profile, error, rows: predicted };
}

/** Unknowns: call overhead, base, token, sequence, KV read, attention pair. */
function linearRow(row: MeasuredRow, free: number, frame: ProfileFrame): LinearRow {
  const decodeStep = (batch: number, kvTokens: number) => [0, 1, Math.max(0, batch - free), batch, kvTokens, 0];
  if (row.kind === "decode") return { features: decodeStep(row.batch, row.batch * row.contextTokens), value: row.ms };
  const batch = row.kind === "mixed" ? row.batch : 0;
  const kvTokens = row.kind === "mixed" ? batch * row.contextTokens : 0;
  const most = batch === 0 ? frame.maxBatchTokens : (frame.chunking?.busyTokens ?? frame.maxBatchTokens - batch);
  let chunks = 0;
  let beyond = 0;
  let pairs = 0;
  for (let done = 0; done < row.promptTokens; chunks++) {
    const chunk = Math.min(most, row.promptTokens - done);
    beyond += Math.max(0, chunk + batch - free);
    pairs += chunk * (done + chunk / 2);
    done += chunk;
  }
  const features = [1, chunks, beyond, chunks * batch, chunks * kvTokens, pairs];
  // Beside others it comes in the middle of a step of theirs, on average, and waits for its end.
  if (batch > 0) decodeStep(batch, kvTokens).forEach((feature, j) => (features[j]! += feature / 2));
  return { features, value: row.ms };
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
