// What is kept of a call that has ended, and of each attempt at an engine: the core records, spelled once. rows.ts maps them to the
// tables `calls` and `attempts`; api/resources/call.ts maps them to what /api shows.
import type { Shape } from "../../engines/index.ts";

/** How a call or an attempt ended. `refused`: by its engine, for the request's own sake. */
export type Outcome = "completed" | "refused" | "failed" | "cancelled";

/** Prompt and output tokens as they were billed; `cachedTokens` is a part of `promptTokens`. */
export interface BilledTokens {
  promptTokens: number;
  cachedTokens: number;
  outputTokens: number;
}

export interface CallRecord extends BilledTokens {
  id: string;
  organisation: string;
  project: string;
  key: string | undefined;
  /** Id of the agent whose run made the call. */
  agent: string | undefined;
  run: string | undefined;
  /** Name of the program: a run, or a client's session. */
  program: string | undefined;
  /** Id of the batch whose line it is. */
  batch: string | undefined;
  /** The API that the caller spoke. */
  endpoint: Shape;
  /** The model that served it, or that was to serve it. */
  model: string;
  /** As the caller named it, where that is another name: an alias, or a model whose fallback served it. */
  askedModel: string | undefined;
  stream: boolean;
  status: Outcome;
  errorCode: string | undefined;
  finishReason: string | undefined;
  /** Id of the budget whose end cut the answer short. */
  cutBy: string | undefined;
  /** Prompt and output tokens that it did not use, because it was given the answer of an identical call; it has no attempt then. */
  savedTokens: number | undefined;
  /** Sums over its attempts, as the tokens are. */
  priceNano: bigint;
  currency: string;
  startedAt: Date;
  /** Milliseconds from its start. */
  firstTokenMs: number | undefined;
  durationMs: number;
}

export interface AttemptRecord extends BilledTokens {
  id: string;
  call: string;
  /** From 1, in the order of trying. */
  number: number;
  /** Name of the endpoint. */
  engine: string;
  /** The model and the id of the rate card that priced it. Undefined for attempts of versions that did not record them. */
  model: string | undefined;
  rateCard: string | undefined;
  /** What it follows from. Undefined for attempts of versions that did not record it. */
  why: "first" | "retry" | "fallback" | "hedge" | "continued" | undefined;
  status: Outcome;
  errorCode: string | undefined;
  /** Undefined for attempts of versions that did not record it. */
  decision: DecisionRecord | undefined;
  /** Cached tokens by where they lay; undefined where the engine does not say. */
  cachedByTier: Record<string, number> | undefined;
  phases: Phase[];
  priceNano: bigint;
  /** What the engine claimed, where that was more than was held. */
  claimed: { promptTokens: number; outputTokens: number } | undefined;
  /** Price of what was claimed beyond the hold: no budget pays it. */
  suspenseNano: bigint;
}

/** A part of an attempt's time, in milliseconds from the call's start. */
export interface Phase {
  name: "admit" | "queue" | "connect" | "wait" | "restore" | "prefill" | "transfer" | "decode" | "settle";
  startMs: number;
  endMs: number;
}

/** One candidate of a placement with the numbers that it was judged by. */
export interface CandidateRecord {
  endpoint: string;
  /** By the policy's own unit, less is better; undefined: ruled out. */
  score: number | undefined;
  numbers: Record<string, number>;
}

/** Why an attempt went where it went. */
export interface DecisionRecord {
  policy: string;
  chosen: CandidateRecord;
  runnerUp: CandidateRecord | undefined;
  /** Where the prompt was computed, when that was elsewhere. */
  prefill: CandidateRecord | undefined;
  /** Endpoints that could have taken it. */
  candidates: number;
  /** Endpoints that could not take the request, each with the reason. */
  excluded: { endpoint: string; reason: string }[];
  queuedMs: number;
  /** The policy's own numbers. */
  terms: Record<string, number>;
  /** One sentence for a person. */
  reason: string;
}

/** What live listeners are told. */
export interface CallEvent {
  type: "call";
  call: CallRecord;
}
