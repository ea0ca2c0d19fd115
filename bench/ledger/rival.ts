// The path before leases, kept here as the rival: every hold and every settlement is an item of a statement that commits before the call
// goes on, and the records follow in statements of their own. Items that arrive while a statement commits are the next one's. It needs a
// database with the migrations up to 0018.
import { Database } from "../../src/store/index.ts";
import { card, insertRows, nextCall, organisation, outputTokens, promptTokens, rowsOf, type Call } from "./work.ts";

/** Items in one statement. */
const most = 256;

/** Groups items without a timer. */
class Group<Item> {
  readonly #commit: (items: Item[]) => Promise<void>;
  #waiting: { item: Item; done: PromiseWithResolvers<void> }[] = [];
  #running = false;

  constructor(commit: (items: Item[]) => Promise<void>) {
    this.#commit = commit;
  }

  add(item: Item): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ item, done });
    if (!this.#running) void this.#drain();
    return done.promise;
  }

  async drained(): Promise<void> {
    while (this.#running) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  async #drain(): Promise<void> {
    this.#running = true;
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, most);
      await this.#commit(group.map(({ item }) => item));
      for (const { done } of group) done.resolve();
    }
    this.#running = false;
  }
}

const amount = String(promptTokens + 256);
const price = BigInt(promptTokens + outputTokens);

export function openRival(url: string) {
  const db = new Database(url, { connections: 12 });
  const holds = new Group<Call>(async (calls) => {
    const items = calls.map(({ attempt, call, project, key }) => ({
      attempt,
      call,
      organisation,
      project,
      model: card.model,
      amount,
      currency: card.currency,
      scopes: [`organisation:${organisation}`, `project:${project}`, `key:${key}`],
      rate_card: card.id,
    }));
    const { rows } = await db.query<{ admitted: boolean }>("select * from hold_attempts($1, $2)", [
      1,
      JSON.stringify(items),
    ]);
    if (rows.some(({ admitted }) => !admitted)) throw new Error("A hold was refused.");
  });
  const settlements = new Group<Call>(async (calls) => {
    const items = calls.map(({ attempt }) => ({
      attempt,
      amount: price.toString(),
      prompt: promptTokens,
      cached: 0,
      output: outputTokens,
      source: "engine",
    }));
    await db.query("select * from settle_attempts($1)", [JSON.stringify(items)]);
  });
  const records = new Group<Call>(async (calls) => {
    const rows = calls.map((call) => rowsOf(call, price));
    await db.query(
      insertRows
        .replace("with recorded", "with unhurried as (select set_config('synchronous_commit', 'off', true)), recorded")
        .replace("select c.* from", "select c.* from unhurried,"),
      [
        JSON.stringify(rows.map(({ call: { cut_by: _, ...call } }: { call: Record<string, unknown> }) => call)),
        JSON.stringify(rows.map(({ attempt }) => attempt)),
      ],
    );
  });
  return {
    /** Holds a call; answers how to end it. */
    async hold(account: number): Promise<() => Promise<void>> {
      const call = nextCall(account);
      await holds.add(call);
      return async () => {
        await settlements.add(call);
        void records.add(call);
      };
    },
    drained: () => records.drained(),
    async close(): Promise<void> {
      await records.drained();
      await db.close();
    },
  };
}
