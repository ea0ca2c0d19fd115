// What is known of a call and its attempts while they are under way.
import type { EngineAnswer, EngineChunk, Timings, Usage } from "../engines/index.ts";
import type { BudgetLeft, RateCard } from "../ledger/index.ts";
import type { AttemptResource } from "./api/schemas.ts";
import type { GatewayError } from "./errors.ts";
import type { OutputCheck } from "./output.ts";
import type { Moments } from "./phases.ts";
import type { Placement } from "./place.ts";
import type { CallBody } from "./protocol/openai.ts";
import type { CallRequest } from "./types.ts";

export interface CallState {
  readonly id: string;
  readonly request: CallRequest;
  readonly startedAt: number;
  /** Clock of the call, milliseconds from its start. */
  readonly now: () => number;
  /** Aborts when the client has gone, the run was stopped, or the server stops. */
  readonly signal: AbortSignal;
  /** Takes the call off the list of those under way. */
  readonly release: () => void;
  /** What the answer has to be, when the request said so. */
  readonly check: OutputCheck | undefined;
  /** Rows of the attempts that have ended. */
  readonly attempts: AttemptResource[];
  firstTokenMs: number | undefined;
}

/** An attempt that holds money. */
export interface AttemptState {
  readonly id: string;
  readonly number: number;
  readonly placement: Placement;
  /** As the engine is given it: its own name of the model, and a limit of output. */
  readonly body: CallBody;
  readonly card: RateCard;
  /** What the hold was computed from: what is settled when nobody knows what was used. */
  readonly most: { promptTokens: number; outputTokens: number };
  readonly heldNano: bigint;
  readonly tightest: BudgetLeft | undefined;
  readonly moments: Moments;
}

/** An attempt whose answer has begun: with its first chunk when it streams, with all of it when it does not. */
export type Begun = { attempt: AttemptState; answer: EngineAnswer } & (
  | { streams: true; iterator: AsyncIterator<EngineChunk>; first: IteratorResult<EngineChunk> }
  | { streams: false; whole: Record<string, unknown> }
);

export type Outcome = "completed" | "failed" | "cancelled";

export interface EndedAttempt {
  usage: Usage;
  timings: Timings;
  priceNano: bigint;
  currency: string;
  failure: GatewayError | undefined;
  finishReason: string | undefined;
}
