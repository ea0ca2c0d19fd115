// Working-set admission: when the programs that are alive need more KV than all tiers hold, some of them wait as a whole,
// so that the others run warm, instead of all of them evicting each other.
//
//   pause    from `pauseAt` of the capacity on, at step boundaries only, newest program first, until `stopAt` is reached
//   resume   oldest first, when it fits below `resumeAt`; and after `maxPauseMs` in any case: waiting is bounded
//
// The oldest programs go on, so work in progress is finished rather than shared out (first come, first served by program).
// Between stopAt and resumeAt programs are neither paused nor resumed; that gap is the hysteresis.
import { programPauseMs } from "../limits.ts";

export interface WorkingSetOptions {
  pauseAt?: number;
  stopAt?: number;
  resumeAt?: number;
  maxPauseMs?: number;
}

/** A live program, as admission sees it. */
export interface Member {
  id: string;
  startedMs: number;
  contextTokens: number;
  /** No call is computing: it can be paused now without losing anything. */
  atBoundary: boolean;
  pausedMs: number | undefined;
  /** Not paused again before this time: it was let go on by force. */
  immuneUntilMs: number;
}

interface WorkingSetPlan {
  pause: string[];
  resume: { id: string; forced: boolean }[];
  /** Share of the capacity that unpaused programs need after it. */
  load: number;
}

/** Which programs to pause and to resume. `capacityTokens`: all tiers of all endpoints that serve these programs. */
export function planWorkingSet(
  members: readonly Member[],
  capacityTokens: number,
  now: number,
  options: WorkingSetOptions = {},
): WorkingSetPlan {
  const { pauseAt = 0.95, stopAt = 0.8, resumeAt = 0.85, maxPauseMs = programPauseMs } = options;
  const plan: WorkingSetPlan = { pause: [], resume: [], load: 0 };
  const capacity = Math.max(1, capacityTokens);
  let needed = 0;
  for (const member of members) if (member.pausedMs === undefined) needed += member.contextTokens;

  const paused = members.filter((member) => member.pausedMs !== undefined).toSorted(byAge);
  for (const member of paused) {
    if (now - member.pausedMs! < maxPauseMs) continue;
    plan.resume.push({ id: member.id, forced: true });
    needed += member.contextTokens;
  }
  if (needed / capacity >= pauseAt) {
    const candidates = members
      .filter((member) => member.pausedMs === undefined && member.atBoundary && member.immuneUntilMs <= now)
      .toSorted((a, b) => byAge(b, a));
    let running = members.reduce(
      (count, member) => count + (member.pausedMs === undefined ? 1 : 0),
      plan.resume.length,
    );
    for (const member of candidates) {
      // The last running program goes on, however large it is.
      if (needed / capacity <= stopAt || running === 1) break;
      running--;
      plan.pause.push(member.id);
      needed -= member.contextTokens;
    }
  } else {
    const running = members.some((member) => member.pausedMs === undefined);
    for (const member of paused) {
      if (now - member.pausedMs! >= maxPauseMs) continue;
      const after = (needed + member.contextTokens) / capacity;
      // A program that is too large by itself still runs when no other does.
      const alone = !running && plan.resume.length === 0;
      if (after > resumeAt && !alone) break;
      plan.resume.push({ id: member.id, forced: false });
      needed += member.contextTokens;
    }
  }
  plan.load = needed / capacity;
  return plan;
}

function byAge(a: Member, b: Member): number {
  return a.startedMs - b.startedMs || (a.id < b.id ? -1 : 1);
}
