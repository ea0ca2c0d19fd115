// The state of a call in the loop: its request, its progress, and the report of its end.
import type { Generation, Sampling } from "./device.ts";
import { internal } from "./errors.ts";
import type { Slot } from "./kv.ts";
import type { StateOwner } from "./kvStore.ts";
import type { WorkerReport } from "./protocol.ts";

/** The next step of a call, returned for each of its tokens. */
export type Verdict =
  | { type: "go" }
  | { type: "stop" }
  /** Go back to the first `keep` tokens of the output, add `tokens`, and go on under `grammar`. */
  | { type: "rewind"; keep: number; tokens: number[]; grammar: string };

export interface CallEnd {
  reason: "stop" | "length" | "abort" | "error";
  error?: Error;
  /** Cached plus computed prompt tokens: the whole prompt, unless the call ended before its first token. */
  promptTokens: number;
  outputTokens: number;
  report: WorkerReport;
  /** A prefill for another worker: the lease of its state, and what saving it took. */
  lease?: string;
  saveMs: number;
}

export interface Call {
  attempt: string;
  owner: StateOwner;
  prompt: readonly number[];
  /** At least 1, and such that prompt and output fit the sequence. */
  maxTokens: number;
  sampling: Sampling;
  /** Computes all of the prompt but its last token and keeps the state for another worker; nothing is sampled. */
  prefillOnly?: boolean;
  /** A state computed by another worker. The call takes this many of the prompt's tokens from it, or ends with `kv_lost`. */
  transfer?: { state: string; tokens: number };
  /** Called once, before the first token, when a transfer has been pulled. */
  onPulled?(tokens: number): void;
  /** A sampled token, except the one that ends the text. */
  onToken(token: number): Verdict;
  onEnd(end: CallEnd): void;
}

/** A call on its way through the loop. */
export interface Active {
  call: Call;
  hashes: string[];
  order: number;
  slot: Slot | undefined;
  generation: Generation | undefined;
  /** Tokens to compute before the next can be sampled. */
  pending: number[];
  /** Sampled tokens, without those taken back by a rewind. */
  output: number[];
  sampled: number;
  aborted: boolean;
  cached: { device: number; disk: number };
  computed: number;
  lease: string | undefined;
  at: { arrived: number; placed: number; ready: number; prefilled: number };
}

/** Tokens that a call computes before it samples: the worker that decodes computes a prompt's last token itself. */
export function toCompute({ prompt, prefillOnly }: Pick<Call, "prompt" | "prefillOnly">): readonly number[] {
  return prefillOnly ? prompt.slice(0, -1) : prompt;
}

export interface EngineTotals {
  calls: number;
  promptTokens: number;
  computedTokens: number;
  cachedDeviceTokens: number;
  cachedDiskTokens: number;
  outputTokens: number;
  /** Transferred states of other workers that calls continued from. */
  pulls: number;
  aborts: number;
}

export function newTotals(): EngineTotals {
  return {
    calls: 0,
    promptTokens: 0,
    computedTokens: 0,
    cachedDeviceTokens: 0,
    cachedDiskTokens: 0,
    outputTokens: 0,
    pulls: 0,
    aborts: 0,
  };
}

export function newActive(call: Call, hashes: string[], now: number): Active {
  return {
    call,
    hashes,
    order: 0,
    slot: undefined,
    generation: undefined,
    pending: [],
    output: [],
    sampled: 0,
    aborted: false,
    cached: { device: 0, disk: 0 },
    computed: 0,
    lease: undefined,
    at: { arrived: now, placed: now, ready: now, prefilled: Number.POSITIVE_INFINITY },
  };
}

/** The report of a call's end: tokens used and milliseconds passed. */
export function endOf(active: Active, reason: CallEnd["reason"], now: number, cause?: unknown): CallEnd {
  const { slot, at, cached, computed, sampled } = active;
  const placed = slot !== undefined;
  const prefilled = Math.min(at.prefilled, now);
  const report: WorkerReport = {
    sequence: slot?.id ?? -1,
    cachedByTier: { ...cached },
    computedTokens: computed,
    queueMs: (placed ? at.placed : now) - at.arrived,
    restoreMs: placed ? at.ready - at.placed : 0,
    prefillMs: placed ? prefilled - at.ready : 0,
    decodeMs: sampled > 0 ? now - prefilled : 0,
  };
  const known = cause instanceof Error && "status" in cause ? cause : internal(cause);
  return {
    reason,
    ...(reason === "error" && { error: known }),
    promptTokens: cached.device + cached.disk + computed,
    outputTokens: sampled,
    report,
    ...(active.lease !== undefined && { lease: active.lease }),
    saveMs: active.call.prefillOnly ? now - prefilled : 0,
  };
}

export function addTo(totals: EngineTotals, { reason, promptTokens, outputTokens, report }: CallEnd): void {
  totals.promptTokens += promptTokens;
  totals.computedTokens += report.computedTokens;
  totals.cachedDeviceTokens += report.cachedByTier.device;
  totals.cachedDiskTokens += report.cachedByTier.disk;
  totals.outputTokens += outputTokens;
  if (reason === "abort") totals.aborts++;
}
