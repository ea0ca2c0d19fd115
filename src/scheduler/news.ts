// What gateways before the same endpoints tell each other: load, queues and programs. Plain data, which a carrier (`load/carrier.ts`) takes
// from one gateway to all others.

/** One gateway's change of one endpoint's load, sent to its peers. Sums, not states: order does not matter. */
export interface LoadDelta {
  endpoint: string;
  rank: number;
  prefillTokens: number;
  kvTokens: number;
  inFlight: number;
  prefilling: number;
  /** Calls placed there since the gateway's last message, also those that have ended since, and their prefill; absent: none. */
  placed?: number;
  placedTokens?: number;
}

/** What one gateway tells of a tenant: what it was served there since the last message, in charged tokens, and whether its calls wait there. */
export interface TenantNews {
  tenant: string;
  served: number;
  waits: boolean;
}

/** What one gateway tells of one of its queues. */
export interface QueueNews {
  /** Of its deployment: another gateway's queue is for the same one when they have one in common. A carrier may leave out some. */
  endpoints: string[];
  batch: boolean;
  /** Calls with a deadline wait in it; absent: none. */
  timed?: boolean;
  /** Calls taken from the queue since the last message, as far as another gateway needs to know. */
  calls: number;
  /** Those that wait come first. A carrier may leave out the last ones. */
  tenants: TenantNews[];
}

/** What one gateway tells of a program whose calls come to it. Ages are ms before the message was sent. */
export interface ProgramNews {
  /** Names the program among gateways: a hash of its name. */
  program: string;
  tenant: string;
  /** KV that it needs; 0: none any more. */
  tokens: number;
  state: "computes" | "rests" | "paused" | "ended";
  /** Age of the program, and of its last change: a call that began or ended, a pause or the end of one. */
  ageMs: number;
  changedMs: number;
  /** How long it counts without another message. */
  leftMs: number;
  /** How long a call of a paused program has waited for the end of the pause. */
  waitedMs?: number;
  /** How long it is not paused again. */
  immuneMs?: number;
}

/** What one gateway tells of programs in one deployment, which `endpoints` name as in `QueueNews`. */
export interface WorkingSetNews {
  endpoints: string[];
  /** A carrier may leave out the last ones. */
  programs: ProgramNews[];
}

/** Load deltas of one gateway. `sequence` counts its messages, so that a lost one is seen; `total` messages replace. */
export interface LoadMessage {
  gateway: string;
  sequence: number;
  kind: "delta" | "total";
  atMs: number;
  deltas: LoadDelta[];
  /** Every queue in which calls wait there, and queues for whose endpoints calls wait elsewhere. Absent: it is not told. */
  queues?: QueueNews[];
  /** Programs that have changed since the last message, as many as it holds. */
  programs?: WorkingSetNews[];
}
