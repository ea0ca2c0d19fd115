// An engine's calls to its owner, and the sums that it keeps over its life.
import type { Task } from "./task.ts";

/** The owner of engines, called for what happens to their tasks. `engine` is the engine's number. */
export interface EngineHost {
  /** The task has been admitted; its cached tokens are known. */
  admitted(engine: number, task: Task, nowMs: number): void;
  /** The prompt is in KV and the first token exists. A prefill leg ends here, its blocks stay pinned until `endLease`. */
  prefilled(engine: number, task: Task, nowMs: number): void;
  finished(engine: number, task: Task, nowMs: number): void;
}

/** Sums over an engine's life, for reports. */
export interface EngineTotals {
  busyMs: number;
  /** Time of steps that held prompt chunks, less what the same step would have taken without them. */
  prefillMs: number;
  computedPromptTokens: number;
  outputTokens: number;
  steps: number;
  preemptions: number;
  loadedTokens: number;
  /** Sum over time of sequences running x ms, for mean batch size. */
  sequenceMs: number;
}

export function noTotals(): EngineTotals {
  return {
    busyMs: 0,
    prefillMs: 0,
    computedPromptTokens: 0,
    outputTokens: 0,
    steps: 0,
    preemptions: 0,
    loadedTokens: 0,
    sequenceMs: 0,
  };
}
