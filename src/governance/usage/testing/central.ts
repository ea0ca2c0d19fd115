// The database's side of shares as a model in memory: what sync_limit_shares and reclaim_limit_shares of the migrations do, for one limit.
// The simulation runs against it. suite.test.ts holds the two against each other, statement by statement.
import type { ShareAnswer, ShareItem } from "../types.ts";

interface Row {
  turn: number;
  units: number;
  used: number;
  recalledAt: number;
  waitsAt: number;
  /** Since when it has waited without a pause of a second. */
  waitsSince: number;
}

export class Central {
  amount: number;
  readonly rows = new Map<number, Row>();
  readonly counted = new Map<string, { amount: number; until: number }>();
  readonly #recalled: (process: number) => void;

  constructor(amount: number, recalled: (process: number) => void) {
    this.amount = amount;
    this.#recalled = recalled;
  }

  sync(process: number, turn: number, item: ShareItem, now: number): ShareAnswer | undefined {
    const mine = this.rows.get(process);
    if (mine && mine.turn >= turn) return undefined;
    for (const [key, { until }] of this.counted) if (until <= now) this.counted.delete(key);
    for (const { slot, amount, forMs } of item.moved) {
      const key = `${process}/${slot}`;
      if (!this.counted.has(key)) this.counted.set(key, { amount, until: now + forMs });
    }
    const gone = item.moved.reduce((sum, { amount }) => sum + amount, 0);
    const kept = Math.max(item.used - gone, Math.min(item.kept, mine?.units ?? 0) - gone, 0);
    const elsewhere = [...this.rows].filter(([id]) => id !== process);
    const rest = elsewhere.map(([, row]) => row);
    const waiting = (row: Row) => row.waitsAt > now - 1_000;
    const shares = rest.reduce((sum, { units }) => sum + units, 0);
    const unused = rest.reduce((sum, { units, used }) => sum + Math.max(0, units - used), 0);
    const claimants = 1 + rest.filter((row) => row.units > 0 || waiting(row)).length;
    const others = shares + [...this.counted.values()].reduce((sum, { amount }) => sum + amount, 0);
    const free = this.amount - others - kept;
    const fair = Math.trunc(this.amount / claimants);
    const since = mine && waiting(mine) ? mine.waitsSince : now;
    const isBefore = ({ waitsSince }: Row, id: number) => waitsSince < since || (waitsSince === since && id < process);
    const keptBack =
      kept + item.least > fair && elsewhere.some(([id, row]) => row.units < fair && waiting(row) && isBefore(row, id));
    let granted = 0;
    if (free >= item.least && !(item.least > 0 && keptBack)) {
      granted = item.least;
      const share = Math.trunc((free - item.least) / (2 * claimants));
      if (!keptBack) granted += Math.max(0, Math.min(item.want - item.least, share));
    }
    const refused = granted < item.least;
    const held = kept + granted;
    const units = Math.min(held, Math.max(0, this.amount - others));
    const recalled = (mine?.recalledAt ?? -Infinity) > now - 1_000;
    const used = Math.max(item.used - gone, 0);
    const waitsAt = refused ? now : -Infinity;
    this.rows.set(process, {
      turn,
      units: held,
      used,
      waitsAt,
      waitsSince: since,
      recalledAt: mine?.recalledAt ?? -Infinity,
    });
    if (held === 0 && item.least === 0) this.rows.delete(process);
    if (refused)
      for (const [id, row] of this.rows) {
        if (id === process || row.units === 0 || row.recalledAt >= now - 50) continue;
        row.recalledAt = now;
        this.#recalled(id);
      }
    return { number: item.number, amount: this.amount, units, others, unused, recalled, refused };
  }

  /** The process's lock was free for five seconds. */
  reclaim(process: number, windowMs: number, now: number): void {
    const row = this.rows.get(process);
    if (!row) return;
    this.rows.delete(process);
    if (row.units > 0 && windowMs > 0)
      this.counted.set(`${process}/${-1 - row.turn}`, { amount: row.units, until: now + windowMs });
  }
}
