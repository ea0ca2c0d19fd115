// Whose turn it is among the calls that wait: the call with the longest cached prefix among the first few in credit, and where none of
// these fits anywhere now, the first call that does.
import { headsScanned } from "../limits.ts";
import type { Call } from "../types.ts";
import type { CreditRing } from "./credit.ts";
import type { Program, Tenant, Waiting } from "./waiting.ts";

/** Tokens cached at the best endpoint that has room for the call; negative: no endpoint has. */
type Matched = (call: Call) => number;

/** A call that may be taken now, and where its program competes. */
interface Turn {
  waiting: Waiting;
  program: Program;
  ring: CreditRing<Program>;
  matchedTokens: number;
}

/** How many tenants and programs in credit are looked at for locality. */
interface Locality {
  tenantsSeen: number;
  programsSeen: number;
}

/** Among the first few in credit, the call with the longest cached prefix; undefined when none of them fits anywhere now. */
export function longestInCredit(
  tenants: CreditRing<Tenant>,
  { tenantsSeen, programsSeen }: Locality,
  matched: Matched,
): Turn | undefined {
  let best: Turn | undefined;
  for (const tenant of tenants.candidates(tenantsSeen)) {
    const level = tenant.levels[0];
    if (level === undefined) continue;
    for (const program of level.ring.candidates(programsSeen)) {
      const waiting = headOf(program);
      if (waiting === undefined) continue;
      const matchedTokens = matched(waiting.call);
      if (matchedTokens <= (best?.matchedTokens ?? -1)) continue;
      best = { waiting, program, ring: level.ring, matchedTokens };
    }
  }
  return best;
}

/**
 * The first call that fits somewhere, in credit or not. Calls in credit that fit nowhere now wait for large endpoints that are full, and
 * small ones must not idle meanwhile. What does not fit goes behind the others, so that the next look goes on where this one ends.
 */
export function firstThatFits(tenants: CreditRing<Tenant>, matched: Matched): Turn | undefined {
  let left = headsScanned;
  for (const tenant of leading(tenants.values(), left)) {
    for (const { ring } of tenant.levels) {
      for (const program of leading(ring.values(), left)) {
        const waiting = headOf(program);
        if (waiting === undefined) continue;
        left--;
        const matchedTokens = matched(waiting.call);
        if (matchedTokens >= 0) return { waiting, program, ring, matchedTokens };
        ring.defer(program.key);
      }
    }
    tenants.defer(tenant.name);
    if (left <= 0) return undefined;
  }
  return undefined;
}

function headOf(program: Program): Waiting | undefined {
  while (program.calls.peek()?.gone === true) program.calls.pop();
  return program.calls.peek();
}

/** At most `count` values, as they are now: what is looked at is moved meanwhile. */
function leading<T>(values: Iterable<T>, count: number): T[] {
  const taken: T[] = [];
  for (const value of values) {
    if (taken.length >= count) break;
    taken.push(value);
  }
  return taken;
}
