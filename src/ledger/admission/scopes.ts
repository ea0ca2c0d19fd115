// Which budgets a scope has, as one process knows it. That a scope has none is remembered too: a budget that is set later is `pending`
// until every process has heard of it. A scope that work under way belongs to is never forgotten.
interface Known {
  budgets: readonly string[];
  /** Attempts under way that belong to it. */
  users: number;
}

export class Scopes {
  readonly #most: number;
  /** In the order of use, the oldest first. */
  readonly #known = new Map<string, Known>();

  /** `most`: scopes without work under way that are remembered. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Scopes whose budgets must be asked for. */
  unknown(scopes: readonly string[]): string[] {
    return scopes.filter((scope) => !this.#known.has(scope));
  }

  isKnown(scope: string): boolean {
    return this.#known.has(scope);
  }

  /** The budgets of known scopes; a budget counts once. */
  budgetsOf(scopes: readonly string[]): string[] {
    return scopes.flatMap((scope) => this.#known.get(scope)?.budgets ?? []);
  }

  /** The scope that has a budget; none where the budget was removed. */
  of(budget: string): string[] {
    const scope = [...this.#known].find(([, { budgets }]) => budgets.includes(budget));
    return scope ? [scope[0]] : [];
  }

  set(scope: string, budgets: readonly string[]): void {
    const known = this.#known.get(scope);
    if (known) {
      known.budgets = budgets;
      return;
    }
    this.#known.set(scope, { budgets, users: 0 });
    if (this.#known.size > this.#most) this.#forgetOldest();
  }

  /** Work begins that belongs to these scopes. */
  use(scopes: readonly string[]): void {
    for (const scope of scopes) {
      const known = this.#known.get(scope);
      if (known) known.users++;
    }
  }

  release(scopes: readonly string[]): void {
    for (const scope of scopes) {
      const known = this.#known.get(scope);
      if (known) known.users--;
    }
  }

  /** A budget was removed: its scope goes on without it. */
  removed(budget: string): void {
    for (const known of this.#known.values())
      if (known.budgets.includes(budget)) known.budgets = known.budgets.filter((one) => one !== budget);
  }

  /** Forgets the scopes whose budgets are all among these, which nothing uses. */
  forget(budgets: ReadonlySet<string>): void {
    for (const [scope, known] of this.#known)
      if (known.users === 0 && known.budgets.length > 0 && known.budgets.every((budget) => budgets.has(budget)))
        this.#known.delete(scope);
  }

  #forgetOldest(): void {
    for (const [scope, { users, budgets }] of this.#known) {
      // One with a budget goes when its purse does (`forget`).
      if (users > 0 || budgets.length > 0) continue;
      this.#known.delete(scope);
      return;
    }
  }
}
