// Which endpoints are kept away from calls because their last ones failed (outlier ejection with half-open trials, as in Envoy's
// outlier detection and a circuit breaker).
//
//   serving --faults--> ejected --time--> trial --an answer--> serving
//                          ^                |
//                          +----a fault-----+   the time doubles, up to a bound
//
// On trial an endpoint gets one call at a time. A request that is itself at fault is not reported here. Where no
// endpoint of a deployment is left for a call, ejected endpoints are tried all the same (admission.ts), since ejections must not close a
// model.
//
// A timeout may be the fault of the call or of the endpoint: a sender can write calls that take long. So a first
// timeout keeps only its own sender's calls away, and a second one ejects the endpoint for all only when it comes from another sender
// and no call was answered between the two.
import { senderOf } from "../admission.ts";
import { ejectedMostMs, faultsSeen, outcomesRemembered } from "../limits.ts";
import type { SchedulerAction } from "../actions.ts";
import type { Call, EndpointFault, EndpointOutcome, EndpointState } from "../types.ts";

/** Faults in a row that eject, and for how long the first time. */
const rules: Record<EndpointFault, { streak: number; firstMs: number }> = {
  // No process listens there: the next call would fail too, but a restart takes seconds only.
  connect: { streak: 1, firstMs: 1_000 },
  // A call of a second sender has waited in vain for long.
  timeout: { streak: 1, firstMs: 10_000 },
  failure: { streak: 3, firstMs: 5_000 },
  garbage: { streak: 3, firstMs: 10_000 },
  // It refuses our key, or does not know the model: a person must act.
  refused: { streak: 3, firstMs: 20_000 },
};

interface Standing {
  mode: "serving" | "ejected" | "trial";
  /** Faults since the last call that was served. */
  streak: number;
  /** Newest outcome in bit 0; 1 is a fault. */
  recent: number;
  remembered: number;
  /** Ejections without an untroubled time between them: what doubles the next one. */
  ejections: number;
  ejectedMs: number;
  untilMs: number;
  servingMs: number;
  /** The call that tries it. */
  trial: string | undefined;
  /** The sender of the timeouts since the last answer, how often its calls were kept away for them, and when. */
  doubter: string | undefined;
  doubts: number;
  doubtedMs: number;
  doubtUntilMs: number;
}

/** A call that was placed at an endpoint. */
interface PlacedCall {
  call: Call;
  decision: { atMs: number };
}

export class Outliers {
  readonly #records = new Map<EndpointState, Standing>();

  /** How a placed call went there. The outcome of a call that was placed before the endpoint was ejected is ignored. */
  outcome(
    state: EndpointState,
    outcome: EndpointOutcome,
    { call, decision }: PlacedCall,
    now: number,
    actions: SchedulerAction[],
  ): void {
    if (outcome === "alive" || outcome === "served") this.#well(state, outcome, decision.atMs, now, actions);
    else if (outcome === "timeout" && this.#doubted(state, senderOf(call), decision.atMs, now)) return;
    else this.#fault(state, outcome, decision.atMs, now, actions);
  }

  /** Takes a timeout that one sender alone has met; false where it speaks against the endpoint for all. */
  #doubted(state: EndpointState, sender: string, placedMs: number, now: number): boolean {
    const record = this.#recordOf(state, now);
    if (record.mode !== "serving" || (record.doubter ?? sender) !== sender) return false;
    // Calls that were under way together are one sign.
    if (record.doubter === sender && placedMs < record.doubtedMs) return true;
    record.doubter = sender;
    record.doubts++;
    record.doubtedMs = now;
    record.doubtUntilMs = now + awayMs("timeout", record.doubts);
    state.doubtedBy = sender;
    return true;
  }

  #well(
    state: EndpointState,
    outcome: "alive" | "served",
    placedMs: number,
    now: number,
    actions: SchedulerAction[],
  ): void {
    const record = this.#records.get(state);
    if (record === undefined) return;
    if (record.mode !== "serving") {
      if (placedMs < record.ejectedMs) return;
      record.mode = "serving";
      record.servingMs = now;
      record.streak = 0;
      record.recent = 0;
      record.remembered = 0;
      actions.push({ type: "endpoint_standing", endpoint: state.spec.id, standing: "serving" });
    }
    if (placedMs >= record.doubtedMs) forgetDoubts(state, record);
    if (outcome === "served") {
      record.streak = 0;
      remember(record, 0);
      // As long untroubled as it was kept away: the next ejection is a first one again.
      if (now - record.servingMs >= record.untilMs - record.ejectedMs) record.ejections = 0;
    }
    this.#show(state, record);
  }

  #fault(state: EndpointState, fault: EndpointFault, placedMs: number, now: number, actions: SchedulerAction[]): void {
    const record = this.#recordOf(state, now);
    if (record.mode !== "serving" && placedMs < record.ejectedMs) return;
    record.streak++;
    remember(record, 1);
    const { streak } = rules[fault];
    const often = record.remembered >= faultsSeen && 2 * faultsIn(record) >= record.remembered;
    if (record.mode === "serving" && record.streak < streak && !often) return;
    // Where all endpoints are ejected calls still try them: such a failure does not lengthen the ejection.
    if (record.mode === "ejected") return;
    record.mode = "ejected";
    record.trial = undefined;
    record.ejections++;
    record.ejectedMs = now;
    record.untilMs = now + awayMs(fault, record.ejections);
    forgetDoubts(state, record);
    this.#show(state, record);
    actions.push({
      type: "endpoint_standing",
      endpoint: state.spec.id,
      standing: "ejected",
      fault,
      forMs: record.untilMs - now,
    });
  }

  /** A call has been placed there. */
  placed(state: EndpointState, call: string): void {
    const record = this.#records.get(state);
    if (record?.mode !== "trial" || record.trial !== undefined) return;
    record.trial = call;
    this.#show(state, record);
  }

  /** A call at the endpoint has ended. If it had no outcome, the next call is the trial. */
  ended(state: EndpointState, call: string): void {
    const record = this.#records.get(state);
    if (record?.trial !== call) return;
    record.trial = undefined;
    this.#show(state, record);
  }

  /** Endpoints whose time is over are tried again. */
  tick(now: number, actions: SchedulerAction[]): void {
    for (const [state, record] of this.#records) {
      if (record.doubtUntilMs <= now) state.doubtedBy = undefined;
      if (record.mode !== "ejected" || record.untilMs > now) continue;
      record.mode = "trial";
      record.trial = undefined;
      this.#show(state, record);
      actions.push({ type: "endpoint_standing", endpoint: state.spec.id, standing: "trial" });
    }
  }

  /** The endpoint has left, or another has taken its place, which starts without a record. */
  left(state: EndpointState, actions: SchedulerAction[]): void {
    const record = this.#records.get(state);
    this.#records.delete(state);
    if (record !== undefined && record.mode !== "serving")
      actions.push({ type: "endpoint_standing", endpoint: state.spec.id, standing: "serving" });
  }

  #recordOf(state: EndpointState, now: number): Standing {
    let record = this.#records.get(state);
    if (record === undefined) {
      record = {
        mode: "serving",
        streak: 0,
        recent: 0,
        remembered: 0,
        ejections: 0,
        ejectedMs: 0,
        untilMs: 0,
        servingMs: now,
        trial: undefined,
        doubter: undefined,
        doubts: 0,
        doubtedMs: 0,
        doubtUntilMs: 0,
      };
      this.#records.set(state, record);
    }
    return record;
  }

  #show(state: EndpointState, { mode, trial }: Standing): void {
    state.standing = mode;
    state.ejected = mode === "ejected" || (mode === "trial" && trial !== undefined);
  }
}

/** For how long calls go elsewhere, the `times`-th time in succession. */
const awayMs = (fault: EndpointFault, times: number): number =>
  Math.min(ejectedMostMs, rules[fault].firstMs * 2 ** (times - 1));

function forgetDoubts(state: EndpointState, record: Standing): void {
  state.doubtedBy = undefined;
  record.doubter = undefined;
  record.doubts = 0;
}

function remember(record: Standing, bit: 0 | 1): void {
  record.recent = ((record.recent << 1) | bit) & (2 ** outcomesRemembered - 1);
  record.remembered = Math.min(outcomesRemembered, record.remembered + 1);
}

function faultsIn({ recent }: Standing): number {
  let count = 0;
  for (let bits = recent; bits !== 0; bits >>>= 1) count += bits & 1;
  return count;
}
