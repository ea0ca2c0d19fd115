// The money of attempts in memory, for tests of the gateway alone: one budget, or none. What it promises is what `AttemptLedger` says.
import { billable, unanswered, worstCase } from "../../ledger/index.ts";
import type {
  AttemptLedger,
  AttemptSettlement,
  BudgetLeft,
  Extended,
  HoldRequest,
  HoldResult,
  Settlement,
} from "../../ledger/index.ts";

const windowTokens = 256;

interface Held {
  hold: HoldRequest;
  covered: number;
  sentTo?: string;
}

export class MemoryLedger implements AttemptLedger {
  limitNano: bigint | undefined;
  spentNano = 0n;
  readonly held = new Map<string, Held>();
  readonly settlements: (Settlement & { row: unknown })[] = [];
  readonly calls: any[] = [];
  readonly extensions: { attempt: string; outputTokens: number; seen: number }[] = [];
  #waiting: (() => void)[] = [];

  get heldNano(): bigint {
    return [...this.held.values()].reduce((sum, { hold, covered }) => sum + amountOf(hold, covered), 0n);
  }

  /** Everything waits a turn. */
  holdNow(): undefined {
    return undefined;
  }

  async hold(request: HoldRequest): Promise<HoldResult> {
    for (;;) {
      if (request.signal.aborted) throw request.signal.reason;
      const wanted = request.whole ? request.outputTokens : Math.min(windowTokens, request.outputTokens);
      for (const outputTokens of descending(wanted, request.leastOutputTokens)) {
        const amountNano = amountOf(request, outputTokens);
        if (amountNano > this.#left) continue;
        this.held.set(request.attempt, { hold: request, covered: outputTokens });
        const outputLimit = request.whole ? outputTokens : request.outputTokens;
        return { admitted: true, outputTokens, outputLimit, amountNano, tightest: this.#budget };
      }
      if (this.held.size === 0 || amountOf(request, request.leastOutputTokens) > this.limitNano! - this.spentNano)
        return { admitted: false, why: "spent", refusedBy: this.#budget!, heldNano: this.heldNano };
      await this.#released(request.signal);
    }
  }

  async sent(attempt: string, engine: string): Promise<void> {
    this.held.get(attempt)!.sentTo = engine;
  }

  async extend(attempt: string, outputTokens: number, seen: number, stands: boolean): Promise<Extended> {
    this.extensions.push({ attempt, outputTokens, seen });
    const held = this.held.get(attempt)!;
    for (;;) {
      const { covered, hold } = held;
      // Of two asks under way the later one may ask for less than the first was given.
      if (outputTokens <= covered) return { outputTokens: covered, cutBy: undefined };
      const cost = amountOf(hold, outputTokens) - amountOf(hold, covered);
      if (cost <= this.#left) {
        held.covered = outputTokens;
        return { outputTokens, cutBy: undefined };
      }
      if (this.held.size === 1 && stands) break;
      await this.#released(hold.signal);
      if (hold.signal.aborted) break;
    }
    while (
      amountOf(held.hold, held.covered + 1) - amountOf(held.hold, held.covered) <= this.#left &&
      held.covered < outputTokens
    )
      held.covered++;
    const by = this.#budget;
    return { outputTokens: held.covered, cutBy: by && { ...by, why: "spent" } };
  }

  recount(attempt: string, promptTokens: number): number {
    const held = this.held.get(attempt)!;
    const heldNano = amountOf(held.hold, held.covered);
    held.hold = { ...held.hold, promptTokens };
    if (held.hold.whole)
      while (held.covered < held.hold.outputTokens && amountOf(held.hold, held.covered + 1) <= heldNano) held.covered++;
    for (const wake of this.#waiting.splice(0)) wake();
    return held.covered;
  }

  settle({ attempt, tokens, usageSource, unanswered: silent, row }: AttemptSettlement): Settlement {
    const { hold, covered } = this.held.get(attempt)!;
    const { promptTokens, units } = hold;
    const most = { promptTokens, outputTokens: covered, ...(units && { units }) };
    const billed = silent
      ? unanswered(tokens, hold.rateCard)
      : billable(tokens, most, amountOf(hold, covered), hold.rateCard);
    const { currency } = hold.rateCard;
    const settled: Settlement = { attempt, ...billed, usageSource, currency, repeated: false };
    this.held.delete(attempt);
    this.spentNano += settled.amountNano;
    this.settlements.push({ ...settled, row: row(settled) });
    for (const wake of this.#waiting.splice(0)) wake();
    return settled;
  }

  async recordCall(_call: string, row: unknown): Promise<void> {
    this.calls.push(row);
  }

  position() {
    return { spool: "memory", number: this.calls.length };
  }

  async posted(): Promise<void> {}

  get #left(): bigint {
    return this.limitNano === undefined ? 10n ** 30n : this.limitNano - this.spentNano - this.heldNano;
  }

  get #budget(): BudgetLeft | undefined {
    if (this.limitNano === undefined) return undefined;
    const scope = { kind: "project" as const, id: "prj" };
    return { budget: "bud_1", scope, currency: "USD", limitNano: this.limitNano, leftNano: this.#left };
  }

  #released(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }
}

const amountOf = ({ promptTokens, units, rateCard }: HoldRequest, outputTokens: number) =>
  worstCase({ promptTokens, maxOutputTokens: outputTokens, ...(units && { units }) }, rateCard);

function* descending(from: number, to: number): Generator<number> {
  for (let tokens = from; tokens >= to; tokens--) yield tokens;
}
