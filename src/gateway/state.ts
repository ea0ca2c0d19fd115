// The state of a call and of its attempts while they are under way.
import type { Held } from "../bounded/index.ts";
import type { LineshaftError } from "../errors/index.ts";
import type { Counted } from "../governance/index.ts";
import type { EngineAnswer, EngineChunk, RegisteredEndpoint, Timings, Usage } from "../engines/index.ts";
import type { BudgetLeft, RateCard } from "../ledger/index.ts";
import type { AttemptRecord, DecisionRecord } from "./calls/record.ts";
import type { Candidates } from "./candidates.ts";
import type { Beginning } from "./continuing.ts";
import type { Cover } from "./cover.ts";
import type { OutputCheck } from "./output.ts";
import type { Moments } from "./calls/phases.ts";
import type { PromptFacts } from "./scheduling/prompts.ts";
import type { SplitCall } from "./scheduling/split.ts";
import type { ModelCall } from "./modelCall.ts";
import type { CallRequest } from "./types.ts";

export interface CallState {
  readonly id: string;
  /** As it came; once its media were fetched, with these inside. Endpoints are sent shapes of it (candidates.ts). */
  request: CallRequest;
  /** The model that serves it: at first what the asked name stands for, then the fallback that was taken. */
  model: string;
  /** Its prompt is marked for engines that read marks of their prompt cache, where its client has marked nothing. */
  marksPrompt: boolean;
  readonly startedAt: number;
  /** Clock of the call, milliseconds from its start. */
  readonly now: () => number;
  /** Aborts when the client has gone, the run was stopped, the key revoked, or the server stops; `whyAborted` says which. */
  readonly signal: AbortSignal;
  /** Takes the call off the list of those under way. */
  readonly release: () => void;
  /** What the answer has to be, when the request said so. */
  readonly check: OutputCheck | undefined;
  /** Records of the attempts that have ended. */
  readonly attempts: AttemptRecord[];
  /** The settlement of an attempt could not be written, so that the call's sums are not known. */
  isUnsettled: boolean;
  firstTokenMs: number | undefined;
  /** Tokens that it did not use, because it was given the answer of an identical call. */
  savedTokens: number | undefined;
  /** What is buffered for it beside its body, until it ends. */
  readonly buffered: Held;
  /** An attempt that lost against another of this call, until it has ended. It never rejects. */
  losing: Promise<unknown> | undefined;
  /** What it counts against the limits on use; undefined until it may begin. */
  counted: Counted | undefined;
}

/** Milliseconds until the call's deadline; undefined where it has none, or its client has a first token already. */
export const leftOf = ({ request, firstTokenMs, now }: CallState): number | undefined =>
  request.deadlineMs === undefined || firstTokenMs !== undefined ? undefined : request.deadlineMs - now();

/** An attempt that holds money, and may wait for its turn. */
export interface AdmittedAttempt {
  readonly id: string;
  readonly number: number;
  /** Output tokens of one answer, at most: the largest limit that any candidate could be given, and that the hold allows. */
  readonly outputTokens: number;
  /** Prompt tokens that the limit of output leaves room for in a context: counted, or the best guess. */
  readonly roomTokens: number;
  readonly card: RateCard;
  /** The most that it may use: prompt tokens that are held, and output tokens that it may be asked for, of all answers together. */
  readonly most: { promptTokens: number; outputTokens: number; units?: Readonly<Record<string, number>> };
  /** The price of that. */
  readonly mostNano: bigint;
  readonly tightest: BudgetLeft | undefined;
  /** The output that is paid for so far. */
  readonly cover: Cover;
  /** The budget for whose sake the limit of output was lowered before anything was sent. */
  loweredBy: BudgetLeft | undefined;
  readonly moments: Moments;
}

/** What the attempts at one model share. */
export interface Step {
  model: string;
  candidates: Candidates;
  prompt: PromptFacts;
  /** Endpoints that this call has tried. */
  tried: Set<string>;
  /** Why the next attempt is made. */
  why: NonNullable<AttemptRecord["why"]>;
  /** The attempt beside which its attempt is made: it has not ended (hedging.ts). */
  beside?: string;
  /** The answer that its attempts go on with, where one has begun. */
  beginning?: Beginning;
}

/** Where an attempt goes, and why. */
export interface Placement {
  readonly endpoint: RegisteredEndpoint;
  /** The request as this endpoint can take it, and as the endpoint that prefills can, when that is another one. */
  readonly shape: { answer: ModelCall; prefill: ModelCall | undefined };
  readonly decision: DecisionRecord;
  /** Brings KV that its program has at another endpoint to this one. Undefined where there is none to bring. */
  readonly bring: (() => Promise<void>) | undefined;
  /** Prompt tokens that were expected to be cached there; undefined where nothing was known of the prompt. */
  readonly predictedTokens: number | undefined;
  readonly expectedFirstTokenMs: number;
  /** After so long without a first token the endpoint is given up, where another may take the call; undefined: never. */
  readonly firstTokenMostMs: number | undefined;
  /** What the tokens of a whole answer may take beyond that. */
  readonly outputMostMs: number;
  /** The two legs of a call whose prompt is computed elsewhere. */
  readonly split: SplitCall | undefined;
}

export interface AttemptState extends AdmittedAttempt {
  /** The model that it is made at, which is the call's own or a fallback of it. */
  readonly model: string;
  readonly why: AttemptRecord["why"];
  readonly placement: Placement;
  /** The call as the chosen endpoint can take it. */
  readonly asked: ModelCall;
  /** The limit of output, in tokens of one answer, that the endpoint is sent. */
  readonly outputLimit: number;
  /** Output tokens of all answers together that the chosen endpoint was asked for at most. */
  readonly askedOutputTokens: number;
  /** The engine is asked to stream: its answer can be stopped where its money ends. A whole answer is put together from its chunks. */
  readonly streams: boolean;
  readonly prompt: PromptFacts;
  /** The answer that it goes on with, where another attempt has begun one. */
  readonly beginning: Beginning | undefined;
}

/** A stream from an engine whose first chunk has come. */
export interface BegunStream {
  attempt: AttemptState;
  answer: EngineAnswer;
  streams: true;
  /** Undefined where the stream ended without one. */
  first: EngineChunk | undefined;
}

/** An attempt whose answer has begun: with its first chunk when it streams, with all of it when it does not. */
export type Begun =
  | BegunStream
  /** `cut`: the answer was stopped, at its limit of output or where its money ended. */
  | { attempt: AttemptState; answer: EngineAnswer; streams: false; whole: EngineChunk; cut: Cut | undefined };

/** Why an answer was stopped by us. */
export type Cut = "limit" | "budget";

export type { Outcome } from "./calls/record.ts";

export interface EndedAttempt {
  usage: Usage;
  /** The engine's usage was cut to what is billed, so the client is shown the billed counts. */
  usageCut: boolean;
  timings: Timings;
  priceNano: bigint;
  currency: string;
  /** The budget that cut the answer short. */
  cutBy: string | undefined;
  failure: LineshaftError | undefined;
  finishReason: string | undefined;
}

/** What an attempt is settled for, and where the figures come from. */
export interface SettledUsage {
  usage: Usage;
  source: "engine" | "counted" | "estimated";
  /** Accepted and never answered: no budget pays, and the price of `usage` goes to suspense. */
  unanswered: boolean;
}
