// What agents do and what it costs: seeded calls of varied length, their real cost by a rate card, and what the rule of before (a hold of
// the whole worst case) would have made of the same work, computed in virtual time.
import { priceOf, worstCase, type RateCard } from "../../src/ledger/index.ts";
import { seededRng } from "../../src/scheduler/index.ts";

export interface Shape {
  agents: number;
  /** Calls of an agent, one after the other. */
  calls: number;
  /** Median tokens of prompts and of answers; both are log-normal. */
  promptTokens: number;
  answerTokens: number;
  maxTokens: number;
}

export interface PlannedCall {
  promptTokens: number;
  outputTokens: number;
}

/** The calls of every agent, by a seed. */
export function planned(
  { agents, calls, promptTokens, answerTokens, maxTokens }: Shape,
  seed: number,
): PlannedCall[][] {
  const rng = seededRng(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - rng())) * Math.cos(2 * Math.PI * rng());
  const logNormal = (median: number, sigma: number) => Math.max(8, Math.round(median * Math.exp(sigma * normal())));
  return Array.from({ length: agents }, () =>
    Array.from({ length: calls }, () => ({
      promptTokens: logNormal(promptTokens, 0.6),
      outputTokens: Math.min(maxTokens, logNormal(answerTokens, 0.9)),
    })),
  );
}

/** The message of a call: it tells the scripted engine how long to answer, and is as long as its prompt. */
export function messageOf({ promptTokens, outputTokens }: PlannedCall): string {
  return `tokens=${outputTokens};`.padEnd(promptTokens * 4, "word ");
}

export function costOf(calls: readonly PlannedCall[], card: RateCard): bigint {
  return calls.reduce((sum, call) => sum + priceOf({ ...call, cachedTokens: 0 }, card), 0n);
}

export interface OldRule {
  /** Calls that were answered, and first tries that were refused. */
  served: number;
  refused: number;
  spentNano: bigint;
}

/**
 * The rule of before: a call holds its worst case until it ends, and is refused where that does not fit beside what is spent and held.
 * While only holds stand against it its client tries again every second; once what is spent alone refuses it the agent gives up.
 */
export function oldRule(
  agents: readonly PlannedCall[][],
  card: RateCard,
  limitNano: bigint,
  { maxTokens, tokensPerSecond }: { maxTokens: number; tokensPerSecond: number },
): OldRule {
  const result: OldRule = { served: 0, refused: 0, spentNano: 0n };
  let heldNano = 0n;
  interface Turn {
    atMs: number;
    agent: number;
    call: number;
    /** What the call holds until now; undefined where it has yet to be admitted. */
    held: bigint | undefined;
    isFirstTry: boolean;
  }
  const queue: Turn[] = agents.map((_, agent) => ({ atMs: 0, agent, call: 0, held: undefined, isFirstTry: true }));
  while (queue.length > 0) {
    const index = queue.reduce((best, turn, at) => (turn.atMs < queue[best]!.atMs ? at : best), 0);
    const turn = queue.splice(index, 1)[0]!;
    const call = agents[turn.agent]![turn.call];
    if (!call) continue;
    if (turn.held !== undefined) {
      heldNano -= turn.held;
      result.spentNano += priceOf({ ...call, cachedTokens: 0 }, card);
      result.served++;
      queue.push({ ...turn, call: turn.call + 1, held: undefined, isFirstTry: true });
      continue;
    }
    const worst = worstCase({ promptTokens: call.promptTokens, maxOutputTokens: maxTokens }, card);
    if (result.spentNano + heldNano + worst <= limitNano) {
      heldNano += worst;
      queue.push({ ...turn, atMs: turn.atMs + (call.outputTokens / tokensPerSecond) * 1000, held: worst });
      continue;
    }
    if (turn.isFirstTry) result.refused++;
    if (result.spentNano + worst <= limitNano) queue.push({ ...turn, atMs: turn.atMs + 1_000, isFirstTry: false });
  }
  return result;
}
