// What the scheduler answers: the actions that its caller must carry out, as plain data.
import type { LoadMessage } from "./news.ts";
import type { Decision, EndpointFault, EndpointStanding, Tier } from "./types.ts";

/** What to do with a program's KV while it does not compute. */
export type KvVerb = "keep" | "demote" | "prefetch" | "drop";

/**
 * Why a call is refused. `no_endpoint`: none may answer it; `too_long`: its prompt fits nowhere; `program_limit`: too many programs are
 * alive, or its program had no turn within its tenant's part of the KV for as long as a program may wait.
 */
export type RefusalCode = "queue_full" | "deadline" | "no_endpoint" | "too_long" | "program_limit";

/** What must be done for a PD call: give a leg its prompt, let the decoder pull, compute at the decoder after all, end a leg, release KV. */
export type PdAction =
  | { type: "pd_prefill"; call: string; endpoint: string }
  | { type: "pd_decode"; call: string; endpoint: string }
  | { type: "pd_recompute"; call: string; endpoint: string; reason: string }
  | { type: "pd_abort"; call: string; endpoint: string; leg: "prefill" | "decode"; reason: string }
  | { type: "pd_fail"; call: string; reason: string; retryable: boolean }
  | { type: "pd_release"; call: string; endpoint: string };

/** What the scheduler's caller must do. `place` and `refuse` answer a call; `queued` says that it waits for its turn. */
export type SchedulerAction =
  | { type: "place"; call: string; decision: Decision }
  | { type: "queued"; call: string; position: number; expectedMs: number }
  | { type: "refuse"; call: string; code: RefusalCode; message: string; retryAfterMs: number }
  /** `call`: its new state supersedes this KV, which must be kept until that call has a first token. */
  | {
      type: "kv";
      verb: KvVerb;
      program: string;
      endpoint: string;
      tokens: number;
      tier?: Tier;
      reason: string;
      call?: string;
    }
  | { type: "pause_program"; program: string; reason: string }
  | { type: "resume_program"; program: string; reason: string }
  | { type: "share_load"; message: LoadMessage }
  /** An endpoint's standing has changed; `forMs`: how long it is ejected. */
  | { type: "endpoint_standing"; endpoint: string; standing: EndpointStanding; fault?: EndpointFault; forMs?: number }
  | { type: "replay_kv"; endpoint: string; rank: number; reason: "gap" | "epoch" }
  | PdAction;
