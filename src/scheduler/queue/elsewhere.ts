// Fairness over the queues of several gateways. A place that a call leaves is seen first by the gateway whose call it was, so that gateways
// with calls under way would keep all places for themselves, and a tenant that waits at another gateway would wait for ever.
//
// So gateways tell each other which tenants wait, and what they were served. While tenants wait elsewhere, a ring of credit (credit.ts) is
// kept of them and of those that wait here, charged with service here and elsewhere. A tenant of this gateway that is out of credit by
// more than what may have been served since the last word from elsewhere, while one that waits elsewhere is in credit, yields: its calls
// leave half of the engines' own lines (calls in an engine beyond those that it runs) to the others. So no engine idles
// for the sake of fairness. While calls with a deadline wait at any gateway the lines stay empty, and what is left to the others is free slots:
// these idle until the others know of them. A gateway holds no lead against a tenant below what the gateway itself serves in `yieldSlackMs`, so that all
// gateways together allow what the fleet serves in it. Two tenants that wait, wherever they do, differ in service by at most that, a quantum, a
// call, and what the fleet serves in twice the time that a message takes: word that a tenant waits, and word of the places that are left to it.
import { peerSilentMs, toldTenantsMax } from "../limits.ts";
import type { TenantNews } from "../news.ts";
import { CreditRing } from "./credit.ts";

interface Peer {
  heardAtMs: number;
  /** Tenants with calls that wait there and may run. */
  waiting: ReadonlySet<string>;
  /** Whether calls with a deadline wait there. */
  timed: boolean;
}

export class Elsewhere {
  readonly #quantum: number;
  readonly #weightOf: (tenant: string) => number;
  readonly #peers = new Map<string, Peer>();
  /** Tokens served here that others have not been told of, by tenant. */
  readonly #untold = new Map<string, number>();
  /** Tenants that wait elsewhere, and those that wait here, while any waits elsewhere. */
  #ring: CreditRing<string>;
  #others = new Set<string>();
  #timed = false;

  constructor(quantum: number, weightOf: (tenant: string) => number) {
    this.#quantum = quantum;
    this.#weightOf = weightOf;
    this.#ring = new CreditRing(quantum);
  }

  /** Whether tenants wait at other gateways. */
  get waits(): boolean {
    return this.#others.size > 0;
  }

  /** Whether calls with a deadline wait at other gateways. */
  get timed(): boolean {
    return this.#timed;
  }

  /** A tenant was charged here (negative: given back). */
  served(tenant: string, tokens: number): void {
    if (this.#peers.size === 0) return;
    this.#untold.set(tenant, (this.#untold.get(tenant) ?? 0) + tokens);
    if (this.waits) this.#charge(tenant, tokens);
  }

  /**
   * What the other gateways are to be told: the tenants that wait `here`, and what they and others were served since the last time. Nothing
   * while no tenant waits anywhere, since service that keeps none waiting is not held against its tenant.
   */
  news(here: readonly string[], now: number): TenantNews[] {
    this.#compete(here, now);
    const told: TenantNews[] = [];
    for (const tenant of here) {
      if (told.length >= toldTenantsMax) break;
      told.push({ tenant, served: this.#untold.get(tenant) ?? 0, waits: true });
      this.#untold.delete(tenant);
    }
    if (told.length > 0 || this.waits) {
      const rest = [...this.#untold].toSorted((a, b) => b[1] - a[1]).slice(0, toldTenantsMax - told.length);
      for (const [tenant, served] of rest) told.push({ tenant, served, waits: false });
    }
    this.#untold.clear();
    return told;
  }

  /**
   * Another gateway's news replace what was known to wait there, and whether calls with a deadline are among it (`timed`). `here`: tenants that
   * wait at this gateway.
   */
  hear(gateway: string, news: readonly TenantNews[], timed: boolean, here: readonly string[], now: number): void {
    const waiting = new Set(news.flatMap(({ tenant, waits }) => (waits ? [tenant] : [])));
    this.#peers.set(gateway, { heardAtMs: now, waiting, timed });
    this.#compete(here, now);
    if (this.waits) for (const { tenant, served } of news) this.#charge(tenant, served);
  }

  /** Whether a tenant that waits here leaves half of the engines' lines to tenants that wait elsewhere. `slackTokens`: lead that is not held against it. */
  yields(tenant: string, slackTokens: number): boolean {
    if (!this.waits) return false;
    this.#enter(tenant);
    this.#ring.candidates(1);
    if (this.#ring.credit(tenant) >= -slackTokens) return false;
    for (const other of this.#others) if (this.#ring.credit(other) > 0) return true;
    return false;
  }

  /** Keeps in the ring the tenants that wait now, and forgets gateways that have fallen silent. */
  #compete(here: readonly string[], now: number): void {
    this.#others = new Set();
    this.#timed = false;
    for (const [gateway, { heardAtMs, waiting, timed }] of this.#peers) {
      if (now - heardAtMs > peerSilentMs) {
        this.#peers.delete(gateway);
        continue;
      }
      for (const tenant of waiting) this.#others.add(tenant);
      this.#timed ||= timed;
    }
    if (!this.waits) {
      if (this.#ring.size > 0) this.#ring = new CreditRing(this.#quantum);
      return;
    }
    const all = new Set([...this.#others, ...here]);
    for (const tenant of [...this.#ring.values()]) if (!all.has(tenant)) this.#ring.leave(tenant);
    for (const tenant of all) this.#enter(tenant);
  }

  #charge(tenant: string, tokens: number): void {
    this.#ring.charge(tenant, tokens);
    // A round begins as soon as none is in credit: what one was served alone is no debt when another begins to wait.
    this.#ring.candidates(1);
  }

  #enter(tenant: string): void {
    if (this.#ring.get(tenant) === undefined) this.#ring.enter(tenant, tenant, this.#weightOf(tenant));
  }
}
