// How gateways tell each other their changes of load: a seam of two verbs. The scheduler only makes and takes messages; a carrier moves
// them. It may delay, repeat and lose them, since messages carry sequence numbers and a total follows every few deltas. Every carrier
// passes the suite in testing.ts.
import type { LoadMessage } from "../news.ts";

/** Moves load messages between gateways. Implemented by the gateway's `PostgresCarrier`; every implementation passes `load/testing.ts`. */
export interface Carrier {
  /** Tells the other gateways. The message stays the caller's: it is not changed, and may be changed by the caller afterwards. */
  publish(message: LoadMessage): void;
  /** Calls `hear` with every message that arrives, own ones included or not. Answers how to stop. */
  subscribe(hear: (message: LoadMessage) => void): () => void;
}
