// A call from its placement to its end, however it ends: what its program, the health and the speed of its endpoints, and the state machine
// of a PD call take from each step.
import type { PdAction, SchedulerAction } from "./actions.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Endpoints } from "./endpoints.ts";
import type { CallTimings, CallUsage, PdEvent, SchedulerEvent } from "./events.ts";
import type { Outliers } from "./health/outliers.ts";
import { PdCalls } from "./pd/calls.ts";
import type { PdPlanner } from "./pd/plan.ts";
import type { Placed } from "./placedCalls.ts";
import type { Programs } from "./programs/programs.ts";

interface Told {
  endpoints: Endpoints;
  dispatch: Dispatch;
  programs: Programs;
  outliers: Outliers;
  planner: PdPlanner;
}

export class Lifecycle {
  readonly pd = new PdCalls();
  private readonly of: Told;

  constructor(of: Told) {
    this.of = of;
  }

  placed(placed: Placed, now: number, actions: SchedulerAction[]): void {
    const { endpoints, programs, outliers, planner } = this.of;
    const { call, endpoint, prefill, decision } = placed;
    const fresh = call.program === undefined || programs.get(call.program, call.deployment)?.at === undefined;
    programs.placed(call, endpoint, decision, now, actions);
    outliers.placed(endpoint, call.id);
    const at = prefill?.endpoint ?? endpoint;
    placed.prefilling = endpoints.prefills(at, call, decision.prefill ?? decision.chosen, fresh, now);
    if (prefill === undefined) return;
    outliers.placed(prefill.endpoint, call.id);
    // A decoder reports whole blocks; the rest of the prompt it computes itself.
    const whole = Math.floor((call.promptTokens - 1) / endpoint.spec.blockTokens) * endpoint.spec.blockTokens;
    const transferMs = planner.transferMs(prefill.endpoint, endpoint, call.promptTokens);
    actions.push(...this.pd.begin(call.id, prefill.endpoint.spec.id, endpoint.spec.id, whole, transferMs));
  }

  /** The first token has come. `cachedTokens`: when the engine has reported them already. */
  prefilled(call: string, cachedTokens: number | undefined, now: number): void {
    this.of.dispatch.placed.prefilled(call, cachedTokens, now);
    this.computed(call, now);
  }

  /** Advances a PD call's state machine, and the loads of its legs with it. */
  split(call: string, event: PdEvent, now: number, actions: SchedulerAction[]): void {
    const { placed } = this.of.dispatch;
    if (event.type === "prefill_done") {
      placed.prefillComputed(call, now);
      this.computed(call, now);
    }
    for (const action of this.pd.apply(call, event, now)) {
      actions.push(action);
      if (action.type === "pd_recompute") placed.recompute(call, now);
      if (endsPrefill(action)) placed.prefillReleased(call);
    }
  }

  ended(event: SchedulerEvent & { type: "call_ended" }, now: number, actions: SchedulerAction[]): void {
    const { dispatch, programs, outliers } = this.of;
    const { call, reason } = event;
    const how: PdEvent =
      reason === "done"
        ? { type: "decode_done" }
        : reason === "failed"
          ? { type: "decode_failed", retryable: true }
          : { type: "client_gone" };
    this.split(call, how, now, actions);
    const usage = event.usage === undefined ? undefined : this.pd.billed(call, event.usage);
    const known = dispatch.placed.get(call);
    if (known === undefined) {
      // It had not been placed yet: it leaves the queue.
      dispatch.withdraw(call);
    } else {
      outliers.ended(known.endpoint, call);
      if (known.prefill !== undefined) outliers.ended(known.prefill.endpoint, call);
      this.learn(known, usage, event.timings, now);
      const computed = reason !== "failed" || known.prefilled;
      programs.ended(known.call, usage?.outputTokens ?? 0, computed, now);
    }
    dispatch.ended(call, usage, now, actions);
  }

  /** An endpoint has left: its calls fail, and its legs of PD calls are lost. */
  endpointLeft(endpoint: string, now: number, actions: SchedulerAction[]): void {
    for (const placed of this.of.dispatch.placed.at(endpoint)) {
      const { id } = placed.call;
      if (placed.endpoint.spec.id === endpoint) {
        this.ended({ type: "call_ended", call: id, reason: "failed", at: now }, now, actions);
      } else if (this.pd.get(id)?.state === "reserved") {
        this.split(id, { type: "prefill_failed", retryable: true }, now, actions);
      } else {
        this.split(id, { type: "pulled", tokens: 0 }, now, actions);
      }
    }
  }

  /** Learns the speeds of the endpoints that served a call. In a PD call one endpoint shows its prefill rate, the other its decode rate. */
  learn(
    { call, endpoint, prefill, prefilling }: Placed,
    usage: CallUsage | undefined,
    timings: CallTimings | undefined,
    now: number,
  ): void {
    const { endpoints } = this.of;
    const whole = prefill === undefined || this.pd.get(call.id)?.state === "released";
    if (prefilling !== undefined) endpoints.showed(prefilling, whole ? usage : undefined, timings ?? {}, now);
    if (!whole || usage === undefined || timings === undefined) return;
    endpoints.served(endpoint, usage, prefill === undefined ? timings : { decodeMs: timings.decodeMs });
  }

  private computed(call: string, now: number): void {
    const prefilling = this.of.dispatch.placed.get(call)?.prefilling;
    if (prefilling !== undefined) this.of.endpoints.prefilled(prefilling, now);
  }
}

/** Whether nothing more is wanted of the prefill leg. */
function endsPrefill(action: PdAction): boolean {
  return action.type === "pd_release" || (action.type === "pd_abort" && action.leg === "prefill");
}
