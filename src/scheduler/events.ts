// What the scheduler is told: the events that `Scheduler.apply` takes in, as plain data.
import type { LoadMessage } from "./news.ts";
import type { EndpointHealth, EndpointOutcome, EndpointSpec, Tier } from "./types.ts";

/** Blocks stored and removed at an endpoint, in order. Structurally the engines' `KvEvent`, so that it needs no copy. */
export interface KvEvent {
  type: "stored" | "removed" | "cleared";
  /** From 0, per epoch, no gaps. */
  sequence: number;
  epoch: string;
  tier?: Tier;
  /** The engine's own 64-bit hashes in hex (or as numbers), in the order of the prompt. Opaque: they are only kept for removal. */
  blocks?: readonly (string | bigint)[];
  /** Engine hash of the block before the first; null at the start of a prompt. */
  parent?: string | bigint | null;
  /** Token ids of the blocks, so that they can be hashed our way. Absent: the blocks must be known already. */
  tokens?: ArrayLike<number>;
  /** The prefix salt of the blocks (the project, or a key of it); absent: the unsalted space. */
  salt?: string;
}

/** What an attempt really used. */
export interface CallUsage {
  promptTokens: number;
  /** Absent: the engine does not report it, which is not the same as 0. */
  cachedTokens?: number;
  outputTokens: number;
}

/** Where an attempt's time went, as far as the engine reports it. Structurally the engines' timings, with the tier of a reload. */
export interface CallTimings {
  /** From its placement to its first token, less what was read back: what waited before it was computed in that time too. */
  prefillMs?: number;
  decodeMs?: number;
  restoreMs?: number;
  /** Tokens that were read back, `cachedTokens` when not given, and from where. */
  restoredTokens?: number;
  restoredFrom?: Tier;
}

/** How a placed call ended: answered, given up by its client, or failed at its endpoint. */
export type EndReason = "done" | "cancelled" | "failed";

/** What the runtime knows and no router could see. Structurally the engines' `RuntimeFact`. */
export type RuntimeFact =
  | { type: "tool_started"; program: string; tool: string; kind?: "quick" | "slow" | "approval" }
  | { type: "tool_ended"; program: string; tool: string }
  | { type: "run_ended"; program: string };

/** A call served in two places, from the reservation of its KV to the release of it. See `pd/states.ts` for the table. */
export type PdState = "reserved" | "prefilled" | "leased" | "pulled" | "released" | "aborted";

/** What moves a PD call on (`pd/states.ts` has the table). */
export type PdEvent =
  | { type: "prefill_done"; cachedTokens: number; computedTokens: number; leaseUntilMs?: number }
  | { type: "prefill_failed"; retryable: boolean }
  | { type: "decode_accepted" }
  /** The decoder has the KV; `tokens` is what it really got. */
  | { type: "pulled"; tokens: number }
  | { type: "decode_failed"; retryable: boolean }
  | { type: "decode_done" }
  | { type: "client_gone" }
  | { type: "tick"; now: number };

/** What `Scheduler.apply` takes in. `at`: when it happened, ms on the caller's clock. */
export type SchedulerEvent = { at: number } & (
  | { type: "endpoint_joined"; spec: EndpointSpec; health?: EndpointHealth }
  | { type: "endpoint_health"; endpoint: string; rank?: number; health: EndpointHealth }
  | { type: "endpoint_left"; endpoint: string }
  /** How a placed call went at an endpoint (one of its two, when it is split), before `call_ended`. */
  | { type: "endpoint_outcome"; endpoint: string; call: string; outcome: EndpointOutcome }
  | { type: "kv"; endpoint: string; rank: number; event: KvEvent }
  /** The first token has come, so the prompt is prefilled. `cachedTokens`: when the engine has reported them already. */
  | { type: "call_prefilled"; call: string; cachedTokens?: number }
  | { type: "call_ended"; call: string; reason: EndReason; usage?: CallUsage; timings?: CallTimings }
  /** The client of a call that waits in the queue has gone. */
  | { type: "call_withdrawn"; call: string }
  | { type: "fact"; fact: RuntimeFact }
  | { type: "peer_load"; message: LoadMessage }
  | { type: "pd"; call: string; event: PdEvent }
);
