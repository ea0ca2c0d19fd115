// What a relay asks of the call that it serves: the end of its attempts, and another attempt where its stream broke off.
import type { Usage } from "../engines/index.ts";
import type { Attempts } from "./attempt.ts";
import type { AttemptRecord } from "./calls/record.ts";
import type { Continuations } from "./continuations.ts";
import type { ModelRoute } from "./modelRoutes.ts";
import type { Served } from "./relay.ts";
import { stoppable } from "./stoppable.ts";
import type { BegunStream, CallState, EndedAttempt, Outcome } from "./state.ts";

/** `finish`: the call has ended, and so has its last attempt; resolves when its record is written. */
export function servedBy(
  { attempts, continuations }: { attempts: Attempts; continuations: Continuations },
  call: CallState,
  begun: BegunStream,
  route: ModelRoute,
  finish: (outcome: Outcome, ended: EndedAttempt) => Promise<void>,
): Served {
  /** Attempts that broke off, and what each was settled for. */
  const broken = new Map<BegunStream, EndedAttempt>();
  /** What attempts that were to go on with the answer have used, and gave nothing of it. */
  const used: Usage[] = [];
  const goOn: Served["goOn"] = async (stream, text, failure, stop) => {
    const { attempt, answer } = stream;
    const ended = await attempts.end(call, attempt, { outcome: "failed", answer, failure });
    await call.losing;
    broken.set(stream, ended);
    if (call.isUnsettled) return undefined;
    const outputTokens = [...broken.values()].reduce((sum, one) => sum + one.usage.outputTokens, 0);
    if (outputTokens >= attempt.outputLimit + (attempt.beginning?.outputTokens ?? 0)) return undefined;
    const from = call.attempts.length;
    try {
      return await continuations.next(stoppable(call, stop), attempt, { text: text.trimEnd(), outputTokens });
    } finally {
      for (const one of call.attempts.slice(from)) used.push(usageOf(one));
    }
  };
  return {
    async end(stream, { outcome, failure, finishReason, cut }) {
      const { attempt, answer } = stream;
      const known = broken.get(stream);
      const ended = known
        ? { ...known, failure }
        : await attempts.end(call, attempt, { outcome, answer, failure, finishReason, cut });
      // The sums of the call have those of an attempt that lost.
      if (call.losing) await call.losing;
      await finish(outcome, ended);
      return ended;
    },
    goOn: continuations.isPossible(call, begun, route) ? goOn : undefined,
    before: (): Usage[] => [...[...broken.values()].map(({ usage }) => usage), ...used],
  };
}

const usageOf = ({ promptTokens, cachedTokens, outputTokens }: AttemptRecord): Usage => ({
  promptTokens,
  cachedTokens,
  outputTokens,
  reasoningTokens: 0,
  source: "engine",
});
