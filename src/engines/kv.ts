// What can be seen and steered of an engine's KV cache: the second, optional part of the seam (`Engine.kv`). The embedded worker has all of
// it, vLLM publishes events alone. An implementation has every verb, and says in its answer what it did not do: a receipt that is not
// honoured, a prefill that is refused, `false` for an erasure. So callers ask one question, whether there is a `kv`, and no other.
//
// suite.ts (`kvSuite`) holds what every implementation does.
import type { EngineRequest, Tier, Timings, Usage } from "./types.ts";

/** Facts of the agent runtime that no router could see (DESIGN section 5, agent-aware KV). */
export type RuntimeFact =
  | { type: "tool_started"; program: string; tool: string; kind?: "quick" | "slow" | "approval" }
  | { type: "tool_ended"; program: string; tool: string }
  | { type: "run_ended"; program: string };

/** What an engine did about a fact. */
export interface FactReceipt {
  fact: RuntimeFact["type"];
  program: string;
  honoured: boolean;
  action: "none" | "kept" | "parked" | "restored" | "dropped";
  /** Tokens concerned by the action. */
  tokens?: number;
  reason?: string;
}

/**
 * What should become of an idle program's KV. The vocabulary is the same for every engine; an adapter translates it, and the receipt says
 * what was done.
 *   keep      it is wanted soon: evicted last
 *   demote    it is not wanted for a while: saved to a lower tier, then evicted first
 *   prefetch  it is wanted now: brought back to the device
 *   drop      it is not wanted any more: its room on the device is given up
 *   share     saved to a lower tier so that endpoints of the same pool can load it; its place on the device stays as it was
 */
export interface KvHint {
  verb: "keep" | "demote" | "prefetch" | "drop" | "share";
  program: string;
}

export interface KvReceipt extends KvHint {
  honoured: boolean;
  /** Tokens concerned. */
  tokens: number;
  reason?: string;
}

/** A prompt whose KV an endpoint has computed and keeps for another to pull. */
export interface Prefilled {
  /** Name of the state; undefined when the endpoint stopped before it had all of it, or could not keep it. */
  state: string | undefined;
  /** Prompt tokens that the state holds. */
  tokens: number;
  /** What was cached and computed; no output. */
  usage: Usage;
  timings: Timings;
  /** The state is kept for at least this long. After it, or after `release`, the state may be evicted. */
  leaseMs: number;
}

/** Blocks stored and removed, in order. A consumer that sees a gap or a new epoch forgets what it knew of the endpoint. */
export interface KvEvent {
  type: "stored" | "removed" | "cleared";
  /** From 0, per epoch, without gaps. */
  sequence: number;
  epoch: string;
  tier?: Tier;
  /** Hex of 64-bit chained content hashes, in the order of the prompt. */
  blocks?: string[];
  /** Hash of the block before the first, null at the start of a prompt. */
  parent?: string | null;
  /** Token ids of the blocks, `blocks.length * blockTokens` of them, so that a router can hash them its own way. */
  tokens?: number[];
  /** Cache salt that the blocks carry: without it a router cannot tell whose prefix this is. */
  salt?: string;
}

/** Where a reader of events goes on: the epoch, and the first sequence that it has not seen. */
export interface KvPosition {
  epoch: string;
  sequence: number;
}

export interface KvEngine {
  /**
   * KV events from `since` on, or from the beginning, until the signal aborts; ends at once where the engine publishes none. It survives
   * broken connections. Throws EngineError where it can never succeed.
   */
  watch(since: KvPosition | undefined, signal: AbortSignal): AsyncIterable<KvEvent>;
  /** Tells facts. One receipt for each, in order. Throws EngineError when the engine does not answer. */
  tell(facts: readonly RuntimeFact[]): Promise<FactReceipt[]>;
  /** Says what should become of programs' KV. One receipt for each hint, in order. Throws EngineError when the engine does not answer. */
  hint(hints: readonly KvHint[]): Promise<KvReceipt[]>;
  /**
   * Computes a prompt and keeps its KV for another endpoint of the pool. An aborted signal stops it within a chunk; what was computed by
   * then is answered, without a state. Throws EngineError when it cannot begin, `kv_unsupported` where the engine cannot do this at all.
   */
  prefill(request: EngineRequest, signal?: AbortSignal): Promise<Prefilled>;
  /** Ends the lease of a state. Does nothing for an unknown one. Never throws. */
  release(state: string): Promise<void>;
  /**
   * Erases what the engine keeps of a project's prompts, in memory and on disk. False where it keeps nothing by project. Throws
   * EngineError when the engine does not answer: what is reported as erased is erased.
   */
  eraseProject(project: string): Promise<boolean>;
}
