// The phases of an attempt for its timeline, in milliseconds from the call's start: what the gateway saw with its own clock,
// divided inside by what the engine reported.
import type { Timings } from "../../engines/index.ts";
import type { Phase } from "./record.ts";

/** When things happened to an attempt, on the call's clock; 0 where they did not. */
export interface Moments {
  begun: number;
  admitted: number;
  /** Its turn has come and an endpoint was chosen. */
  placed: number;
  /** Its prompt was computed elsewhere. */
  prefilled: number;
  /** The engine accepted it (a stream began) or had answered it whole. */
  opened: number;
  first: number;
  ended: number;
  settled: number;
}

const shownWaitMs = 1;

export function phasesOf(moments: Moments, timings: Timings): Phase[] {
  const phases: Phase[] = [{ name: "admit", startMs: moments.begun, endMs: moments.admitted }];
  let place = moments.admitted;
  const until = (name: Phase["name"], end: number) => {
    const bounded = Math.min(Math.max(end, place), moments.ended);
    if (bounded > place) phases.push({ name, startMs: place, endMs: bounded });
    place = Math.max(place, bounded);
  };
  // A decision takes microseconds, so a wait is shown only where the call really waited.
  if (moments.placed - moments.admitted >= shownWaitMs) until("queue", moments.placed);
  if (moments.prefilled > 0) {
    until("prefill", moments.prefilled);
    until("transfer", moments.opened > 0 ? moments.ended - (timings.decodeMs ?? 0) : moments.ended);
    until("decode", moments.ended);
  } else if (timings.prefillMs !== undefined || timings.decodeMs !== undefined) {
    // The engine's own times are counted back from the end, because its clock stops when its answer does.
    const inside =
      (timings.queueMs ?? 0) + (timings.restoreMs ?? 0) + (timings.prefillMs ?? 0) + (timings.decodeMs ?? 0);
    until("connect", moments.ended - inside);
    until("wait", place + (timings.queueMs ?? 0));
    until("restore", place + (timings.restoreMs ?? 0));
    until("prefill", place + (timings.prefillMs ?? 0));
    until("decode", moments.ended);
  } else if (moments.opened === 0) {
    until("connect", moments.ended);
  } else if (moments.first < moments.ended) {
    // Seen from outside: until the first chunk it was reading the prompt, after it, writing.
    until("prefill", moments.first);
    until("decode", moments.ended);
  } else {
    until("decode", moments.ended);
  }
  phases.push({ name: "settle", startMs: moments.ended, endMs: Math.max(moments.ended, moments.settled) });
  return phases;
}
