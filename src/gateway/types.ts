// What a caller inside the process (the HTTP routes, the agent interpreter) gives to the pipeline and gets back from it.
import type { LineshaftError } from "../errors/index.ts";
import type { AnswerDelta, EngineRegistry, RuntimeFact, Usage, WireObject } from "../engines/index.ts";
import type { Identity, Limiter } from "../governance/index.ts";
import type { Principal } from "../governance/types.ts";
import type { AttemptLedger, Ledger } from "../ledger/index.ts";
import type { Carrier, SchedulerSnapshot } from "../scheduler/index.ts";
import type { Alarms, Logger, Metrics } from "../telemetry/index.ts";
import type { CallEvent, CallRecord } from "./calls/record.ts";
import type { MediaOptions } from "./media.ts";
import type { ModelCall } from "./modelCall.ts";
import type { ModelRoutes } from "./modelRoutes.ts";
import type { KeptAnswers } from "./sharing/keptAnswers.ts";

/** A logical model request: what is asked (`asked`), its principal, and what is known of the work that it belongs to. */
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
  /**
   * It is a line of the batch of this id, which does not stream: it pays the prices of batch jobs, and its answer is kept before it is paid
   * for. Where that throws, the answer is given to no client and nothing is billed. Where the process ends before it is paid for, nothing
   * is billed either, and the line is served again if its answer was not kept.
   */
  line?: { batch: string; keep(answer: AnswerChunk): Promise<void> };
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
  /** The same of a stream that has ended: what is known only then. Empty where the answer came whole, whose headers have it all. */
  lastHeaders: () => Record<string, string>;
}

/** The disk that this installation's database writes to. */
export interface Storage {
  /** Nothing new is taken while it is full: calls and changes are refused with 507 `storage_full`. */
  readonly full: boolean;
}

/** What the gateway needs of the ledger: prices, and the money of its attempts. */
export type GatewayLedger = Pick<Ledger, "currentRateCard"> & AttemptLedger;

export interface GatewayDependencies {
  ledger: GatewayLedger;
  /** Where calls under way learn that their key was revoked. */
  keys: Pick<Identity, "watch">;
  engines: EngineRegistry;
  /** Limits on use. Absent: there are none. */
  limiter?: Pick<Limiter, "begin"> | undefined;
  /** What is said of models' names. Absent: every name is a model's own, and nothing follows a failed attempt but other endpoints. */
  routes?: Pick<ModelRoutes, "of" | "aliases"> | undefined;
  /** Answers that are kept for identical calls. Absent: none are. */
  kept?: KeptAnswers | undefined;
  /** Told of every call that has ended. */
  events: { publish(of: { organisation: string; project: string }, event: CallEvent): void };
  metrics: Metrics;
  alarms: Alarms;
  log: Logger;
  /** How gateways that share endpoints tell each other their load. Absent: this gateway is alone. */
  carrier?: (Carrier & { gateway: string }) | undefined;
  /** Absent: the database is on another machine, and says itself when its disk is full. */
  storage?: Storage | undefined;
  /** How media that calls name are fetched. */
  media?: MediaOptions | undefined;
  /** Placement policy of deployments that name none. */
  policy?: string | undefined;
}

/** The one way to a model, for clients over HTTP and for agents inside the process. */
export interface Gateway {
  /**
   * Serves a call. Resolves when an engine's answer has begun (stream) or is complete (whole). Throws LineshaftError, whose status and code
   * say why the call was not served; a stream that fails later throws it from `chunks`.
   */
  call(request: CallRequest): Promise<CallAnswer>;
  /** Whole names that an organisation's models are served under beside their own. */
  aliases(organisation: string): { alias: string; model: string }[];
  /**
   * Passes on what the agent runtime knows of a program whose model this is: a tool runs, a run has ended. Returns at once, never fails.
   */
  tell(fact: RuntimeFact, model: string, organisation: string): void;
  /** Forgets what is kept of a project's prompts between two turns, and erases its kept answers. */
  forget(project: string): Promise<void>;
  /** The scheduler's own view: waiting calls, placed calls, and the load of endpoints. */
  scheduler(): SchedulerSnapshot;
  /** Resolves when the record of every call of this process that has ended is in the database. A reader of records awaits it first. */
  flushed(): Promise<void>;
  /**
   * Resolves when the database has all that an answer's `x-lineshaft-after` names, of this process or of another. Throws LineshaftError
   * `not_yet_posted` where that takes too long or cannot be known, and `invalid_value` for a text that is no such place. `signal`: its
   * reader has gone.
   */
  posted(after: string, signal?: AbortSignal): Promise<void>;
  /** Aborts when `close` begins, so that endless answers (live events) end then. */
  readonly closing: AbortSignal;
  /** Stops the calls under way that match: their clients are told the reason, and their records have its code. */
  stopCalls(which: (request: CallRequest) => boolean, reason: LineshaftError): void;
  /** Refuses new calls, lets those under way go on for `graceMs`, then cancels and settles them. */
  close(options?: { graceMs?: number }): Promise<void>;
}
