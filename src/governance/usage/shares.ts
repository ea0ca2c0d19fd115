// A process's shares in the database. All that there is to say goes into one statement at a time (a turn): what calls wait for, what is
// to be returned, and use that passed its share. Between turns calls are admitted in memory.
import type { Database } from "../../store/index.ts";
import { limits } from "../limits.ts";
import { Share } from "./share.ts";
import { slotsPerWindow, windows, type ShareAnswer, type ShareItem, type UsageLimit } from "./types.ts";

/** A call that needs more than its share has left. */
interface Need {
  amount: number;
  resolve: (refusal: ShareAnswer | undefined) => void;
  reject: (error: unknown) => void;
}

interface Held {
  share: Share;
  needs: Need[];
}

/** Milliseconds of each dimension's window. */
const windowMs = JSON.stringify(
  Object.fromEntries(
    Object.entries(windows).map(([dimension, { slotMs }]) => [dimension, (slotMs ?? 0) * (slotsPerWindow + 1)]),
  ),
);

export class Shares {
  readonly #db: Database;
  readonly #process: number;
  readonly #now: () => number;
  readonly #removed: (number: number) => void;
  readonly #held = new Map<number, Held>();
  #turn = 0;
  #running: Promise<void> | undefined;
  #pulsedAt = 0;
  #reclaimedAt = 0;

  /**
   * `process`: the identity whose advisory lock is held. `now`: milliseconds of a clock that never goes back. `removed`: told of a limit
   * that the database has no more.
   */
  constructor(given: { db: Database; process: number; now: () => number; removed: (number: number) => void }) {
    this.#db = given.db;
    this.#process = given.process;
    this.#now = given.now;
    this.#removed = given.removed;
  }

  /** The process's share of a limit, at the present moment. It is dropped once it is empty, so it is looked up each time. */
  of(limit: UsageLimit): Share {
    let held = this.#held.get(limit.number);
    if (!held) {
      const share = new Share(limit.number, limit.amount, windows[limit.dimension]);
      this.#held.set(limit.number, (held = { share, needs: [] }));
    }
    held.share.advance(this.#now());
    return held.share;
  }

  /**
   * Asks for a share that covers `amount` more. Resolves with undefined once it may, and with the database's answer where the limit is
   * used up. Rejects with StoreUnavailableError where the database is away.
   */
  need(share: Share, amount: number): Promise<ShareAnswer | undefined> {
    const held = this.#held.get(share.number);
    if (held?.share !== share) throw new TypeError(`The share of limit ${share.number} is not the present one.`);
    return new Promise((resolve, reject) => {
      held.needs.push({ amount, resolve, reject });
      this.#run();
    });
  }

  /**
   * What counts now against each of these limits, by its number: this process's use as it is, that of others as they told it last (at most
   * `usageToldMs` ago), and what processes had used that have ended. Rejects with StoreUnavailableError where the database is away.
   */
  async usedOf(numbers: readonly number[]): Promise<Map<number, number>> {
    const { rows } = await this.#db.query<{ number: number; used: bigint }>(
      `select n as number,
         (select coalesce(sum(s.used), 0) from limit_shares s where s.usage_limit = n and s.process <> $2)::bigint
         + (select coalesce(sum(c.amount), 0) from limit_counted c where c.usage_limit = n and c.until > now())::bigint as used
       from unnest($1::int[]) n`,
      [numbers, this.#process],
    );
    return new Map(
      rows.map(({ number, used }) => {
        const share = this.#held.get(number)?.share;
        share?.advance(this.#now());
        return [number, Number(used) + (share?.used ?? 0)];
      }),
    );
  }

  /** Another process needs a part of a limit. */
  recall(number: number): void {
    const held = this.#held.get(number);
    if (!held) return;
    held.share.advance(this.#now());
    held.share.recall();
    this.#run();
  }

  /** Time has passed: returns what is not used, and says again what is held. */
  tick(): void {
    const now = this.#now();
    for (const { share, needs } of this.#held.values()) {
      share.advance(now);
      if (share.isEmpty && needs.length === 0) this.#held.delete(share.number);
    }
    this.#run();
  }

  /** Takes the shares of processes that have ended away, and moves what they had used to what counts. */
  async reclaim(): Promise<void> {
    const now = this.#now();
    if (now - this.#reclaimedAt < limits.usageReclaimMs) return;
    this.#reclaimedAt = now;
    await this.#db.query("select reclaim_limit_shares($1)", [windowMs]);
  }

  /** Returns every share; use that is in a window counts on in the database. */
  async close(): Promise<void> {
    await this.#running;
    const items = [...this.#held.values()].map(({ share }) => {
      share.advance(this.#now());
      return share.end();
    });
    this.#held.clear();
    for (let from = 0; from < items.length; from += limits.usageSharesPerTurn)
      await this.#ask(items.slice(from, from + limits.usageSharesPerTurn));
  }

  #run(): void {
    this.#running ??= this.#turns().finally(() => {
      this.#running = undefined;
      // A need may have come after the last look.
      if ([...this.#held.values()].some(({ needs }) => needs.length > 0)) this.#run();
    });
  }

  /** Turns until nothing is left to say. */
  async #turns(): Promise<void> {
    // Needs that come in one turn of the event loop go together.
    await new Promise((resolve) => setImmediate(resolve));
    for (;;) {
      const now = this.#now();
      const pulse = now - this.#pulsedAt >= limits.usagePulseMs;
      if (pulse) this.#pulsedAt = now;
      const due = [...this.#held.values()].filter(({ share, needs }) => {
        share.advance(now);
        if (needs[0] && share.fits(needs[0].amount)) settle(needs, share.units - share.used);
        return pulse || needs.length > 0 || share.needsTurn(limits.usageIdleMs, limits.usageToldMs);
      });
      if (due.length === 0) return;
      for (let from = 0; from < due.length; from += limits.usageSharesPerTurn)
        await this.#take(due.slice(from, from + limits.usageSharesPerTurn));
      // What remains (a share that still returns, use that still passes it) waits for the next tick.
      if (![...this.#held.values()].some(({ needs }) => needs.length > 0)) return;
    }
  }

  async #take(due: Held[]): Promise<void> {
    const items = due.map(({ share, needs }) =>
      share.ask(
        needs.map(({ amount }) => amount),
        limits.usageIdleMs,
      ),
    );
    try {
      const answers = new Map((await this.#ask(items)).map((answer) => [answer.number, answer]));
      due.forEach((held, place) => {
        held.share.advance(this.#now());
        this.#answered(held, items[place]!, answers.get(held.share.number));
      });
    } catch (error) {
      for (const { needs } of due) for (const { reject } of needs.splice(0)) reject(error);
    }
  }

  #answered({ share, needs }: Held, item: ShareItem, answer: ShareAnswer | undefined): void {
    if (!answer) return;
    if (answer.amount === undefined) {
      this.#removed(share.number);
      this.#held.delete(share.number);
      for (const { resolve } of needs.splice(0)) resolve(undefined);
      return;
    }
    share.answered(answer, item);
    const [first] = needs;
    // A need that came while the statement was under way was not asked for.
    if (!first || item.least === 0) return;
    if (!answer.refused) return settle(needs, share.units - share.used);
    const rest = needs.filter(({ amount }) => amount < first.amount);
    for (const { amount, resolve } of needs.splice(0)) if (amount >= first.amount) resolve(answer);
    needs.push(...rest);
  }

  async #ask(items: ShareItem[]): Promise<ShareAnswer[]> {
    if (items.length === 0) return [];
    const { rows } = await this.#db.query<Row>(
      "select number, amount, units, others, unused, recalled, refused from sync_limit_shares($1, $2, $3)",
      [this.#process, ++this.#turn, JSON.stringify(items)],
    );
    return rows.map(({ number, amount, units, others, unused, recalled, refused }) => ({
      number,
      amount: amount === null ? undefined : Number(amount),
      units: Number(units),
      others: Number(others),
      unused: Number(unused),
      recalled,
      refused,
    }));
  }
}

interface Row {
  [column: string]: unknown;
  number: number;
  amount: bigint | null;
  units: bigint;
  others: bigint;
  unused: bigint;
  recalled: boolean;
  refused: boolean;
}

/** Wakes the calls that the room is for, in the order in which they came. The first was asked for and is always woken. */
function settle(needs: Need[], room: number): void {
  let left = room;
  const rest: Need[] = [];
  needs.forEach((need, place) => {
    left -= need.amount;
    if (place === 0 || left >= 0) need.resolve(undefined);
    else {
      left += need.amount;
      rest.push(need);
    }
  });
  needs.length = 0;
  needs.push(...rest);
}
