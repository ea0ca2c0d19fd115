// How a tenure learns which budgets a scope has, and takes over changes of them. Calls that need the same scopes share one statement.
import type { Book } from "../book/book.ts";
import type { BudgetFacts } from "../book/types.ts";
import type { Leases } from "../leases/leases.ts";
import type { Scopes } from "./scopes.ts";

export class Learning {
  readonly #leases: Pick<Leases, "budgetsOf">;
  readonly #book: Book;
  readonly #scopes: Scopes;
  /** By scope that is asked for: the newest change of it that was heard meanwhile. */
  readonly #heard = new Map<string, number>();
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(leases: Pick<Leases, "budgetsOf">, book: Book, scopes: Scopes) {
    this.#leases = leases;
    this.#book = book;
    this.#scopes = scopes;
  }

  /** Resolves when the scopes were asked for; a change that was heard meanwhile leaves its scope unknown. */
  async learn(scopes: readonly string[]): Promise<void> {
    const fresh = scopes.filter((scope) => !this.#underWay.has(scope));
    if (fresh.length > 0) {
      const learning = this.#ask(fresh).finally(() => {
        for (const scope of fresh) this.#underWay.delete(scope);
      });
      for (const scope of fresh) this.#underWay.set(scope, learning);
    }
    await Promise.all(scopes.map((scope) => this.#underWay.get(scope)));
  }

  /** A scope's budget has changed: an answer that is under way may be older. */
  heard(scope: string, seq: number): void {
    if (this.#heard.has(scope)) this.#heard.set(scope, seq);
  }

  /** Takes over the changed budgets of known scopes. Answers those that are gone. */
  async adopt(scopes: readonly string[], clock: () => number): Promise<string[]> {
    const gone: string[] = [];
    if (scopes.length === 0) return gone;
    const { budgets } = await this.#leases.budgetsOf(scopes);
    const nowMs = clock();
    for (const scope of scopes) {
      const own = ofScope(budgets, scope);
      const before = this.#scopes.budgetsOf([scope]);
      for (const facts of own) this.#book.budget(facts, nowMs);
      const now = own.map(({ budget }) => budget);
      gone.push(...before.filter((budget) => !now.includes(budget)));
      this.#scopes.set(scope, now);
    }
    return gone;
  }

  async #ask(scopes: readonly string[]): Promise<void> {
    for (const scope of scopes) if (!this.#heard.has(scope)) this.#heard.set(scope, 0);
    try {
      const { budgets, asOf } = await this.#leases.budgetsOf(scopes);
      for (const scope of scopes) {
        if (this.#scopes.isKnown(scope) || (this.#heard.get(scope) ?? 0) > asOf) continue;
        const own = ofScope(budgets, scope);
        for (const facts of own) this.#book.learn(facts);
        const ids = own.map(({ budget }) => budget);
        this.#scopes.set(scope, ids);
      }
    } finally {
      for (const scope of scopes) this.#heard.delete(scope);
    }
  }
}

const ofScope = (budgets: readonly BudgetFacts[], name: string): BudgetFacts[] =>
  budgets.filter(({ scope }) => `${scope.kind}:${scope.id}` === name);
