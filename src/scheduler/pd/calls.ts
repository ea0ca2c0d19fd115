// The split calls that are under way: state by call, bounded, and leases watched by the time that is passed in.
import { pdCallsMax } from "../limits.ts";
import type { PdAction } from "../actions.ts";
import type { CallUsage, PdEvent } from "../events.ts";
import { billed, type PdCall, reserve, step } from "./states.ts";

/** Ended splits remembered, so that what comes late is still released. */
const endedMax = 1_000;

export class PdCalls {
  private readonly calls = new Map<string, PdCall>();
  private readonly ended = new Map<string, PdCall>();

  get size(): number {
    return this.calls.size;
  }

  get full(): boolean {
    return this.calls.size >= pdCallsMax;
  }

  get(call: string): PdCall | undefined {
    return this.calls.get(call) ?? this.ended.get(call);
  }

  begin(call: string, prefill: string, decode: string, tokens: number, transferMs: number): PdAction[] {
    const { next, actions } = reserve(call, prefill, decode, tokens, transferMs);
    this.calls.set(call, next);
    return actions;
  }

  apply(call: string, event: PdEvent, now: number): PdAction[] {
    const known = this.get(call);
    if (known === undefined) return [];
    const { next, actions } = step(known, event, now);
    if (next.state !== "released" && next.state !== "aborted") {
      this.calls.set(call, next);
      return actions;
    }
    this.calls.delete(call);
    this.ended.set(call, next);
    if (this.ended.size > endedMax) this.ended.delete(this.ended.keys().next().value!);
    return actions;
  }

  /** Calls whose lease has run out, and which must get a `tick` event. */
  expired(now: number): string[] {
    const calls: string[] = [];
    for (const [call, pd] of this.calls) if (pd.leaseUntilMs !== undefined && now >= pd.leaseUntilMs) calls.push(call);
    return calls;
  }

  /** What a call's tenant pays for: the prefill leg's cached tokens where its KV was used. */
  billed(call: string, usage: CallUsage): CallUsage {
    const pd = this.get(call);
    return pd === undefined ? usage : billed(pd, usage);
  }
}
