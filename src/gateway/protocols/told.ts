// The call that an answer is told of.
import type { ModelCall } from "../modelCall.ts";

/** What an answer's encoder may need of the call that it answers. */
export interface Told {
  call: ModelCall;
  id: string;
  /** Milliseconds since 1970. */
  createdMs: number;
}
