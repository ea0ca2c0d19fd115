// How a tenure says that it works by a change, and what work under way uses of the budgets that it began without: that becomes leased, once
// and exactly, however often the database must be told (book/purse.ts: until then the book serves nothing of such a budget).
import type { Book } from "../book/book.ts";
import type { ShareName } from "../book/types.ts";
import type { Leases } from "../leases/leases.ts";
import type { SpoolPosition } from "../types.ts";
import type { Scopes } from "./scopes.ts";

interface AcknowledgingOptions {
  leases: Pick<Leases, "acknowledge" | "budgetsOf">;
  book: Book;
  scopes: Scopes;
  /** The number of the last posted record of each spool that is not posted to its end and removed. */
  numbers(): Record<string, number>;
  clock: () => number;
}

export class Acknowledging {
  readonly #options: AcknowledgingOptions;
  /** Settlements of work that began without a budget which is not acknowledged: at most as many as were under way then. */
  #settled: { place: SpoolPosition; shares: readonly ShareName[]; amountNano: bigint }[] = [];

  constructor(options: AcknowledgingOptions) {
    this.#options = options;
  }

  /** An attempt was settled, by the record at that place. */
  settled(place: SpoolPosition, shares: readonly ShareName[], amountNano: bigint): void {
    const { book } = this.#options;
    if (book.hasUnacknowledged && shares.some(({ budget }) => book.isUnacknowledged(budget)))
      this.#settled.push({ place, shares, amountNano });
  }

  /** Acknowledges every change up to `seq`. To be called while no batch of the spool is being posted. */
  async acknowledge(seq: number): Promise<void> {
    const { leases, book, scopes, numbers, clock } = this.#options;
    const posted = numbers();
    this.#settled = this.#settled.filter(({ place }) => place.number > (posted[place.spool] ?? Infinity));
    const held = book.unacknowledged().map(({ budget, period, amountNano }) => {
      return { budget, period, amountNano: amountNano + this.#unposted(budget) };
    });
    const leased = await leases.acknowledge(seq, held, posted);
    if (held.length === 0) return;
    const { budgets } = await leases.budgetsOf(held.flatMap(({ budget }) => scopes.of(budget)));
    for (const { budget } of held) {
      const facts = budgets.find((one) => one.budget === budget);
      const leasedNano = leased.find((one) => one.budget === budget)?.amountNano ?? 0n;
      if (facts) book.acknowledged(leasedNano, this.#unposted(budget), facts, clock());
    }
    if (!book.hasUnacknowledged) this.#settled = [];
  }

  /** What was settled of a budget and is not posted. */
  #unposted(budget: string): bigint {
    let settledNano = 0n;
    for (const { shares, amountNano } of this.#settled)
      if (shares.some((share) => share.budget === budget)) settledNano += amountNano;
    return settledNano;
  }
}
