// What a process hears of its leases: budgets that changed, money that other processes ask back, money that they gave back, and that its
// own epoch was fenced. Notifications only say that there is news. What the news is, is read from the tables, every few seconds and when
// the session comes back too, so that a lost notification delays it and loses nothing.
import type { Database, Session } from "../../store/index.ts";
import type { GivenBack } from "../book/types.ts";
import { leaseReadMs } from "../limits.ts";
import type { BudgetChange, Epoch } from "./types.ts";

interface WatchOptions {
  db: Database;
  session: Pick<Session, "listen">;
  epoch: Epoch;
  /** Changes of budgets in the order of their numbers. The next ones come when this has resolved; after a rejection these come again. */
  onChanges(changes: BudgetChange[]): Promise<void>;
  /** Money that is asked back. It is said again until the epoch has answered by giving something of it back, or 0. */
  onRecalled(shares: GivenBack[]): void;
  /** Another process gave money back. */
  onReturned(): void;
  /** The epoch is not live any more, or a restore ended its incarnation. Nothing more is told afterwards. */
  onFenced(): void;
}

/** Begins to watch; resolves, with the function that ends it, when the server listens. */
export async function watchLeases(options: WatchOptions): Promise<() => void> {
  const watch = new Watch(options);
  const news = () => void watch.read();
  const heard = (payload: string) => watch.heard(payload);
  const listening = await Promise.allSettled([
    options.session.listen("lineshaft_budgets", news, { back: news }),
    options.session.listen("lineshaft_leases", heard, { back: news }),
  ]);
  const stops = listening.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const failed = listening.find((one) => one.status === "rejected");
  if (failed) {
    for (const stop of stops) stop();
    throw failed.reason;
  }
  const timer = setInterval(news, leaseReadMs).unref();
  news();
  return () => {
    clearInterval(timer);
    watch.stop();
    for (const stop of stops) stop();
  };
}

interface NewsRow {
  [column: string]: unknown;
  is_live: boolean;
  changes: { seq: number; budget: string; scope: string }[] | null;
  recalls: { budget: string; period_start: string; recall: string }[] | null;
}

class Watch {
  readonly #options: WatchOptions;
  #seen: number;
  #reading = false;
  #again = false;
  #stopped = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#seen = options.epoch.budgetsSeen;
  }

  stop(): void {
    this.#stopped = true;
  }

  heard(payload: string): void {
    const { what, epoch } = JSON.parse(payload) as { what: string; epoch?: number };
    if (this.#stopped || epoch === this.#options.epoch.id) return;
    if (what === "returned") this.#options.onReturned();
    else void this.read();
  }

  /** Reads what is new. News that comes meanwhile is read afterwards, so that none of it is missed. */
  async read(): Promise<void> {
    this.#again = true;
    if (this.#reading) return;
    this.#reading = true;
    while (this.#again && !this.#stopped) {
      this.#again = false;
      // What cannot be read or dealt with now is read again by the timer.
      await this.#once().catch(() => {});
    }
    this.#reading = false;
  }

  async #once(): Promise<void> {
    const { db, epoch, onChanges, onRecalled, onFenced } = this.#options;
    const { rows } = await db.query<NewsRow>(
      `select
         exists (select from epochs where id = $1 and state = 'live') and $2 = (select incarnation from instance_incarnation) as is_live,
         (select jsonb_agg(jsonb_build_object('seq', seq, 'budget', budget, 'scope', scope) order by seq)
          from budget_changes where seq > $3) as changes,
         (select jsonb_agg(jsonb_build_object('budget', budget, 'period_start', period_start, 'recall', recall_nano::text) order by budget)
          from leases where epoch = $1 and recall_nano > 0) as recalls`,
      [epoch.id, epoch.incarnation, this.#seen],
    );
    if (this.#stopped) return;
    const { is_live: isLive, changes, recalls } = rows[0]!;
    if (!isLive) {
      this.stop();
      return onFenced();
    }
    if (recalls) onRecalled(recalls.map(shareOf));
    if (!changes) return;
    await onChanges(changes);
    this.#seen = changes.at(-1)!.seq;
  }
}

const shareOf = (recall: { budget: string; period_start: string; recall: string }): GivenBack => ({
  budget: recall.budget,
  period: new Date(recall.period_start).toISOString(),
  amountNano: BigInt(recall.recall),
});
