// Turns recorded calls with start and end times into dependencies: what each call waited for, and how long after. Replayed
// against a slower or faster fleet, the session then stretches or shrinks as it would have in life.
//
// Rules, for the calls of one program: a call follows the one before it in its thread; the first call of a child thread
// follows the parent thread's latest call that had started; a parent's call also follows every child that ended between
// its previous call's end and its own start (it was waited for).

/** A recorded call; times on any one clock, in ms. */
export interface RecordedCall {
  program: string;
  thread: string;
  /** Thread that started this one; absent for a program's main thread. */
  parentThread?: string;
  startMs: number;
  endMs: number;
}

interface Dependency {
  /** Positions in the recorded list that must have ended first. */
  after: number[];
  /** Delay after the last of them ended; without any, time since the earliest start of the list. */
  delayMs: number;
  /** Nothing follows in its thread. */
  last: boolean;
}

/** Dependencies of recorded calls, which must be in order of their start. */
export function dependencies(calls: readonly RecordedCall[]): Dependency[] {
  const zeroMs = calls[0]?.startMs ?? 0;
  const found: Dependency[] = [];
  const latest = new Map<string, number>();
  const children = new Map<string, string[]>();
  const keyOf = (call: RecordedCall, thread: string) => `${call.program}\u0000${thread}`;
  calls.forEach((call, position) => {
    const key = keyOf(call, call.thread);
    const own = latest.get(key);
    const after: number[] = [];
    if (own !== undefined) {
      after.push(own);
      found[own]!.last = false;
    } else if (call.parentThread !== undefined) {
      const parentKey = keyOf(call, call.parentThread);
      const parent = latest.get(parentKey);
      if (parent !== undefined) after.push(parent);
      children.set(parentKey, [...(children.get(parentKey) ?? []), key]);
    }
    const sinceMs = own === undefined ? -Infinity : calls[own]!.endMs;
    for (const child of children.get(key) ?? []) {
      const end = latest.get(child);
      if (end !== undefined && calls[end]!.endMs <= call.startMs && calls[end]!.endMs > sinceMs) after.push(end);
    }
    const endedMs = after.reduce((latestMs, index) => Math.max(latestMs, calls[index]!.endMs), -Infinity);
    const delayMs = after.length === 0 ? call.startMs - zeroMs : Math.max(0, call.startMs - endedMs);
    found.push({ after, delayMs, last: true });
    latest.set(key, position);
  });
  return found;
}
