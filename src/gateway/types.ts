// What a caller inside the process (the HTTP routes, the agent interpreter) gives to the pipeline and gets back from it.
import type { Endpoint, EngineChunk, Timings, Usage } from "../engines/types.ts";
import type { Principal } from "../governance/types.ts";

/** A logical model request. `body` is in OpenAI's shape and has passed the protocol's schema. */
export interface CallRequest {
  principal: Principal;
  endpoint: Endpoint;
  body: Record<string, unknown> & { model: string; stream?: boolean };
  /** The bytes and the JSON text as they came, and the object that was parsed from them: large prompts then leave as they came. */
  received?: { bytes: Uint8Array; text: string; object: Record<string, unknown> };
  /** Whose work it is, resolved by the caller of the pipeline from what it knows, never from the body. */
  agent?: string;
  run?: string;
  program?: string;
  /** How far its prompt's cached prefixes are shared: the project's calls, or the key's alone. The project where absent. */
  cacheScope?: "project" | "key";
  /** Its first token is of no use later than so long after the call has come, in milliseconds. */
  deadlineMs?: number;
  /** Among the calls of its tenant alone: higher goes first, 0 by default. */
  priority?: number;
  /** No person waits for it: it goes after the calls that people wait for. */
  batch?: boolean;
  /** Given where the caller must find the call again (a step of a run); made by the pipeline otherwise. */
  id?: string;
  /** Aborts when the client has gone or the run was stopped. Its reason, where it has a code, is what the call's record says. */
  signal?: AbortSignal;
}

/** A call that an engine has accepted. Read `chunks` (or `events`) when the body asked to stream, `body` otherwise; then `finished`. */
export interface CallAnswer {
  id: string;
  /** Objects of the stream in OpenAI's shape, in order; the usage chunk only when it was asked for. */
  chunks: AsyncIterable<Record<string, unknown>>;
  /** The same stream with the JSON text of each object where the engine's may be passed on as it is. */
  events: AsyncIterable<EngineChunk>;
  body(): Promise<Record<string, unknown>>;
  /** Resolves when the call is settled and recorded; rejects never. */
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
