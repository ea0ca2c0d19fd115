// What is kept of an answer so that it can be given again.
import type { AnswerDelta, Usage } from "../../engines/index.ts";

/** An answer as it is kept: its deltas, each all of one answer, and what was used for it. */
export interface KeptAnswer {
  deltas: AnswerDelta[];
  usage: Usage;
  /** Id, model and time, as its engine said them. */
  frame: Record<string, unknown>;
}
