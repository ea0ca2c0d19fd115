// What a caller inside the process (the HTTP routes, the agent interpreter) gives to the pipeline and gets back from it.
import type { AnswerDelta, Timings, Usage, WireObject } from "../engines/index.ts";
import type { Principal } from "../governance/types.ts";
import type { ModelCall } from "./modelCall.ts";

/** A logical model request: what is asked (`asked`), who asks it, and what is known of the work that it belongs to. */
export interface CallRequest {
  principal: Principal;
  /** As a protocol has decoded it, or as it was composed inside the process. */
  asked: ModelCall;
  /** The agent and the run that it is work of, resolved by the caller of the pipeline from what it knows, never from the body. */
  agent?: string;
  run?: string;
  program?: string;
  /** Which calls share its prompt's cached prefixes: those of the project, or those of its key alone. The project where absent. */
  cacheScope?: "project" | "key";
  /** Milliseconds from the call's arrival after which its first token is of no use. */
  deadlineMs?: number;
  /** Order among the calls of its tenant: higher goes first, 0 by default. */
  priority?: number;
  /** No person waits for it: it goes after the calls that people wait for. */
  batch?: boolean;
  /** Given where the caller must find the call again (a step of a run); made by the pipeline where absent. */
  id?: string;
  /** Aborts when the client has gone or the run was stopped. Its reason, where it has a code, is what the call's record says. */
  signal?: AbortSignal;
}

/** A chunk of a stream, or a whole answer, as the call's reader is given it. */
export interface AnswerChunk {
  deltas: readonly AnswerDelta[];
  /** The usage that is billed, where the reader is told it and the wire does not say the same. */
  usage?: Usage;
  /** What the engine sent. */
  wire: WireObject;
  /** The deltas are not those of the wire: of the wire only the answer's id, model and time hold. */
  altered?: boolean;
}

/** A call that an engine has accepted. Read `chunks` where the call streams and `whole` where it does not; then `finished`. */
export interface CallAnswer {
  id: string;
  /** In order; the chunk of usage only where the call asked for it. */
  chunks: AsyncIterable<AnswerChunk>;
  whole(): Promise<AnswerChunk>;
  /** Resolves when the call is settled and recorded; never rejects. */
  finished: Promise<CallRecord>;
  /** `x-lineshaft-…`, as far as known when the answer begins. */
  headers: Record<string, string>;
}

export interface CallRecord {
  id: string;
  status: "completed" | "refused" | "failed" | "cancelled";
  errorCode?: string;
  finishReason?: string;
  usage: Usage;
  timings: Timings;
  priceNano: bigint;
  currency: string;
}

/** The disk that this installation's database writes to. */
export interface Storage {
  /** Nothing new is taken while it is full: calls and changes are refused with 507 `storage_full`. */
  readonly full: boolean;
}
