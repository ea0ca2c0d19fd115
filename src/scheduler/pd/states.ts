// One call served in two places, as a state machine without I/O. What goes wrong between two engines is on record
// (routing.md 2.7); each hazard is a row of `states.test.ts`.
//
//   reserved    both places are counted, the prefill leg has been sent
//   prefilled   its KV is whole and waits under a lease; the decode leg has been sent
//   leased      the decoder has accepted and pulls
//   pulled      the decoder has all of the KV; the prefill side has been told to release it
//   released    the answer is complete, and no KV is held for the call anywhere
//   aborted     the split is given up: the decoder computes the prompt, or the call has failed, or its client has gone
//
// Rules: every open leg is closed by some event; a decoder that has not received every token never answers; a lease that has run out
// means lost KV, whatever the decoder reports; KV that arrives after the end of a split is released at once.
import type { PdAction } from "../actions.ts";
import type { CallUsage, PdEvent, PdState } from "../events.ts";

export interface PdCall {
  readonly call: string;
  readonly prefill: string;
  readonly decode: string;
  readonly state: PdState;
  /** Tokens of KV that the decoder must get. */
  readonly tokens: number;
  /** What the prefill leg found cached: the bill's `cachedTokens`. */
  readonly cachedTokens: number;
  readonly leaseUntilMs: number | undefined;
  /** Milliseconds that the transfer is expected to take: a lease must outlive it. */
  readonly transferMs: number;
  /** Whether the prefill side holds KV (or will), and whether the decode side has been asked. */
  readonly prefillOpen: boolean;
  readonly decodeOpen: boolean;
}

interface PdStep {
  next: PdCall;
  actions: PdAction[];
}

/** Begins: both places are reserved, and the prefill leg is sent. `tokens` is what the decoder must get. */
export function reserve(call: string, prefill: string, decode: string, tokens: number, transferMs: number): PdStep {
  const next: PdCall = {
    call,
    prefill,
    decode,
    state: "reserved",
    tokens,
    cachedTokens: 0,
    leaseUntilMs: undefined,
    transferMs,
    prefillOpen: true,
    decodeOpen: false,
  };
  return { next, actions: [{ type: "pd_prefill", call, endpoint: prefill }] };
}

/** The next state and the actions of an event. Events without a meaning in a state change nothing. */
export function step(pd: PdCall, event: PdEvent, now: number): PdStep {
  if (pd.state === "aborted" || pd.state === "released") return late(pd, event);
  switch (event.type) {
    case "prefill_done":
      return pd.state === "reserved" ? prefillDone(pd, event, now) : stay(pd);
    case "prefill_failed":
      // A refusal to compute is no reason to refuse the call: the decoder can compute the prompt itself.
      return pd.state === "reserved" ? recompute({ ...pd, prefillOpen: false }, "prefill_failed") : stay(pd);
    case "decode_accepted":
      if (pd.state !== "prefilled") return stay(pd);
      return isExpired(pd, now) ? recompute(pd, "lease_expired") : { next: { ...pd, state: "leased" }, actions: [] };
    case "pulled":
      return pd.state === "leased" || pd.state === "prefilled" ? pulled(pd, event.tokens, now) : stay(pd);
    case "decode_failed":
      return fail(pd, "decode_failed", event.retryable);
    case "decode_done":
      // An answer without the KV having been pulled is an answer on lost KV.
      return pd.state === "pulled"
        ? { next: { ...pd, state: "released", decodeOpen: false }, actions: [] }
        : fail(pd, "answered_without_kv", true);
    case "client_gone":
      return abort(pd, "client_gone", []);
    case "tick":
      return isExpired(pd, event.now) && (pd.state === "prefilled" || pd.state === "leased")
        ? recompute(pd, "lease_expired")
        : stay(pd);
  }
}

/** Usage as it must be billed: the decode leg counts transferred KV as cached; only the prefill leg knows what was. */
export function billed(pd: PdCall, usage: CallUsage): CallUsage {
  return pd.state === "pulled" || pd.state === "released" ? { ...usage, cachedTokens: pd.cachedTokens } : usage;
}

function prefillDone(pd: PdCall, event: PdEvent & { type: "prefill_done" }, now: number): PdStep {
  const { call, decode } = pd;
  const next: PdCall = { ...pd, cachedTokens: event.cachedTokens, leaseUntilMs: event.leaseUntilMs };
  if (event.cachedTokens + event.computedTokens < pd.tokens) return recompute(next, "prefill_incomplete");
  // A lease that ends before the transfer can: sending the decode leg would only lose it.
  if (next.leaseUntilMs !== undefined && now + pd.transferMs > next.leaseUntilMs)
    return recompute(next, "lease_too_short");
  return {
    next: { ...next, state: "prefilled", decodeOpen: true },
    actions: [{ type: "pd_decode", call, endpoint: decode }],
  };
}

function pulled(pd: PdCall, tokens: number, now: number): PdStep {
  if (isExpired(pd, now)) return recompute(pd, "lease_expired");
  if (tokens < pd.tokens) return recompute(pd, "kv_incomplete");
  return {
    next: { ...pd, state: "pulled", prefillOpen: false },
    actions: [{ type: "pd_release", call: pd.call, endpoint: pd.prefill }],
  };
}

/** Gives the split up and lets the decode endpoint compute the prompt, as a new leg. */
function recompute(pd: PdCall, reason: string): PdStep {
  return abort(pd, reason, [{ type: "pd_recompute", call: pd.call, endpoint: pd.decode, reason }]);
}

function fail(pd: PdCall, reason: string, retryable: boolean): PdStep {
  return abort(pd, reason, [{ type: "pd_fail", call: pd.call, reason, retryable }]);
}

/** Ends the split and tells every leg that is open, then does `then`. */
function abort(pd: PdCall, reason: string, then: PdAction[]): PdStep {
  const { call } = pd;
  const actions: PdAction[] = [];
  if (pd.prefillOpen) actions.push({ type: "pd_abort", call, endpoint: pd.prefill, leg: "prefill", reason });
  if (pd.decodeOpen) actions.push({ type: "pd_abort", call, endpoint: pd.decode, leg: "decode", reason });
  return { next: { ...pd, state: "aborted", prefillOpen: false, decodeOpen: false }, actions: [...actions, ...then] };
}

/** After the end: a prefill that finishes all the same has left KV behind. */
function late(pd: PdCall, event: PdEvent): PdStep {
  if (event.type !== "prefill_done") return stay(pd);
  return { next: pd, actions: [{ type: "pd_release", call: pd.call, endpoint: pd.prefill }] };
}

function isExpired(pd: PdCall, now: number): boolean {
  return pd.leaseUntilMs !== undefined && now >= pd.leaseUntilMs;
}

function stay(pd: PdCall): PdStep {
  return { next: pd, actions: [] };
}
