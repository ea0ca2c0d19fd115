// Busy periods of an endpoint's prefill, from which its speed is learned. A busy period begins when a call comes to an endpoint that
// computes no prompt, and ends when all prompts that came meanwhile have been computed. What was computed, over how long it took, is the
// speed of prefill: waiting for other prompts is inside, and needs no guess of what had been computed of them already.
//
// A period teaches only where all of its time was spent on prompts that are known. It teaches nothing if a call may have waited for a
// slot or for KV, if another gateway's call prefilled there, if a call failed or told no time, or if KV was read from a lower tier
// beside another prompt. Where prompts never cease, a period is cut after `periodCallsMost` first tokens.
import { periodCallsMost } from "../limits.ts";

interface Period {
  startMs: number;
  /** From when until when its calls, as far as they have ended, waited for their first tokens. */
  spans: { fromMs: number; untilMs: number }[];
  /** Calls in it, those that still prefill, and those whose usage is not known yet. */
  calls: number;
  computing: Set<PeriodShare>;
  unknown: number;
  tokens: number;
  attentionMs: number;
  clean: boolean;
}

/** One call's part in a busy period. */
export interface PeriodShare {
  period: Period;
  readonly placedMs: number;
  /** Whether nothing but known prompts can have kept it waiting. */
  readonly clean: boolean;
}

/** What a call has shown, when it has ended. */
export interface Shown {
  /** Prompt tokens that were computed, and the milliseconds of attention to what came before them beyond a usual prompt's. */
  tokens: number;
  attentionMs: number;
  /** From its placement to its first token, less what was read back. */
  prefillMs: number;
  readBack: boolean;
}

export class BusyPeriods {
  private readonly observe: (tokens: number, ms: number) => void;
  private open: Period | undefined;

  /** `observe` is called for every period that teaches. */
  constructor(observe: (tokens: number, ms: number) => void) {
    this.observe = observe;
  }

  /** Prompts of known calls that are being computed or wait. */
  get computing(): number {
    return this.open?.computing.size ?? 0;
  }

  /** A call was placed. `clean`: nothing but known prompts can keep it waiting. */
  placed(clean: boolean, now: number): PeriodShare {
    this.open ??= periodFrom(now);
    const share: PeriodShare = { period: this.open, placedMs: now, clean };
    this.open.calls++;
    this.open.unknown++;
    this.open.computing.add(share);
    this.open.clean &&= clean;
    return share;
  }

  /** The call's first token has come, or its prompt is not computed any more. Further reports of a call are ignored. */
  prefilled(share: PeriodShare, now: number): void {
    const { period } = share;
    if (!period.computing.delete(share)) return;
    if (period.computing.size === 0) {
      if (this.open === period) this.open = undefined;
    } else if (period.calls - period.computing.size >= periodCallsMost) this.cut(period, now);
  }

  /** The call has ended. Undefined: it has shown nothing, so its period teaches nothing. */
  ended(share: PeriodShare, shown: Shown | undefined, now: number): void {
    this.prefilled(share, now);
    const { period } = share;
    period.unknown--;
    if (shown === undefined || (shown.readBack && period.calls > 1)) period.clean = false;
    else {
      period.tokens += shown.tokens;
      period.attentionMs += shown.attentionMs;
      const fromMs = Math.max(period.startMs, share.placedMs);
      period.spans.push({ fromMs, untilMs: share.placedMs + shown.prefillMs });
    }
    if (period.unknown > 0 || period === this.open || !period.clean) return;
    this.observe(period.tokens, covered(period.spans) - period.attentionMs);
  }

  /** Prompts that are not computed yet go on in a period of their own, which begins now. */
  private cut(period: Period, now: number): void {
    const next = periodFrom(now);
    for (const share of period.computing) {
      share.period = next;
      next.clean &&= share.clean;
      next.computing.add(share);
    }
    next.calls = next.unknown = period.computing.size;
    period.calls -= next.calls;
    period.unknown -= next.calls;
    period.computing.clear();
    if (this.open === period) this.open = next;
  }
}

function periodFrom(now: number): Period {
  return {
    startMs: now,
    spans: [],
    calls: 0,
    computing: new Set(),
    unknown: 0,
    tokens: 0,
    attentionMs: 0,
    clean: true,
  };
}

/**
 * Milliseconds that the spans cover together. That is the whole period where first tokens are seen as they come. Where a whole answer told
 * the time only afterwards, the period may have seemed longer, and the idle time in it is left out.
 */
function covered(spans: readonly { fromMs: number; untilMs: number }[]): number {
  let sum = 0;
  let until = Number.NEGATIVE_INFINITY;
  for (const { fromMs, untilMs } of spans.toSorted((a, b) => a.fromMs - b.fromMs)) {
    sum += Math.max(0, untilMs - Math.max(fromMs, until));
    until = Math.max(until, untilMs);
  }
  return sum;
}
