// What a time-to-live costs an agent session: the session's KV is dropped when its next request comes later than the TTL
// after the previous response ended. Main thread only, each session alone, no bound on memory: the question is what the
// rule itself loses. Expiry is strict: a gap equal to the TTL still hits.
import type { AgentSession } from "../../../src/simulator/traces/agentFiles.ts";
import { leadingEqual } from "../../../src/simulator/traces/agentSessions.ts";

export interface TtlCount {
  ttlS: number;
  hitBlocks: number;
  totalBlocks: number;
  /** Prompt tokens computed again: the prompt less block tokens times hit blocks. */
  recomputedTokens: number;
}

/** Counts for several TTLs in one pass over the sessions; `Infinity` is the ideal for a thread alone. */
export class TtlStudy {
  readonly counts: TtlCount[];

  constructor(ttlsS: readonly number[]) {
    this.counts = ttlsS.map((ttlS) => ({ ttlS, hitBlocks: 0, totalBlocks: 0, recomputedTokens: 0 }));
  }

  add(session: AgentSession): void {
    let previous: AgentSession["main"]["requests"][number] | undefined;
    for (const request of session.main.requests) {
      const shared = previous === undefined ? 0 : leadingEqual(previous.runs, request.runs);
      const gapS = previous === undefined ? Infinity : request.startS - (previous.startS + previous.apiS);
      for (const count of this.counts) {
        const hit = gapS > count.ttlS ? 0 : shared;
        count.hitBlocks += hit;
        count.totalBlocks += request.blocks;
        count.recomputedTokens += request.promptTokens - session.blockTokens * hit;
      }
      previous = request;
    }
  }
}
