// The endpoints that may take a call now, and the view of them that placement rules look at.
import type { Call, PlacementView } from "../../scheduler/index.ts";
import type { Engine } from "../engine/engine.ts";
import type { Fleet } from "../fleet.ts";
import type { SimCall } from "../types.ts";
import type { Homes } from "./bringing.ts";
import { viewTiers, type CacheView } from "./knowledge.ts";
import { scrape, type SimulatedEndpoint } from "./scraped.ts";
import type { World } from "./world.ts";

export class Candidates {
  /** Who may take a call (decode it), and who may prefill for others; rebuilt by `refresh` when health changes. */
  takers: SimulatedEndpoint[] = [];
  prefillers: SimulatedEndpoint[] = [];
  readonly #fleet: Fleet;
  /** Department of each tenant that has one, and the takers of each department. */
  readonly #departmentOf = new Map<number, string>();
  readonly #takersOf = new Map<string, SimulatedEndpoint[]>();
  readonly view: { -readonly [K in keyof PlacementView]: PlacementView[K] };
  readonly #all: readonly SimulatedEndpoint[];
  readonly #engines: readonly Engine[];
  readonly #cacheView: CacheView;
  readonly #resident: Float64Array;
  /** Of each candidate, the tokens of its match that its conversation's last turn left in another's own memory. */
  readonly broughtTokens: Float64Array;
  /** Where newest states lie; absent where no store takes what one replica has for another. */
  readonly #homes: Homes | undefined;
  readonly #scratch = new Float64Array(viewTiers);

  constructor({ endpoints: all, engines, cacheView }: World, fleet: Fleet, homes?: Homes) {
    this.#homes = homes;
    this.broughtTokens = new Float64Array(all.length);
    this.#all = all;
    this.#engines = engines;
    this.#cacheView = cacheView;
    this.#fleet = fleet;
    for (const { name, tenants } of fleet.departments)
      for (const tenant of tenants) this.#departmentOf.set(tenant, name);
    this.#resident = new Float64Array(all.length);
    this.view = {
      call: undefined as never,
      now: 0,
      count: 0,
      endpoints: all,
      matched: new Float64Array(all.length * viewTiers),
      matchedTokens: new Float64Array(all.length),
      expectedTokens: new Float64Array(all.length),
      residentTokens: this.#resident,
    };
    this.refresh();
  }

  refresh(): void {
    const ready = this.#all.filter((endpoint) => endpoint.health === "ready");
    this.prefillers = ready.filter((endpoint) => endpoint.spec.role === "prefill");
    this.takers = ready.filter((endpoint) => endpoint.spec.role !== "prefill");
    const departmentAt = ({ slot }: SimulatedEndpoint) => this.#fleet.replicas[slot]!.department;
    for (const { name } of this.#fleet.departments)
      this.#takersOf.set(
        name,
        this.takers.filter((endpoint) => departmentAt(endpoint) === name),
      );
  }

  /** Who may take this call: where there are departments, only its own; of tenants without one, anybody. */
  takersOf(call: SimCall): SimulatedEndpoint[] {
    if (this.#departmentOf.size === 0) return this.takers;
    const department = this.#departmentOf.get(call.tenant);
    return department === undefined ? this.takers : this.#takersOf.get(department)!;
  }

  /** Does anybody have room for another call? Without a bound on calls in flight, whoever is there. */
  get haveRoom(): boolean {
    const limit = this.#fleet.maxInFlightPerEndpoint;
    if (limit === undefined) return this.takers.length > 0;
    return this.takers.some((endpoint) => endpoint.load.inFlight < limit);
  }

  /** Who may take this call now. */
  withRoom(call: SimCall): SimulatedEndpoint[] {
    const limit = this.#fleet.maxInFlightPerEndpoint;
    const takers = this.takersOf(call);
    return limit === undefined ? takers : takers.filter((endpoint) => endpoint.load.inFlight < limit);
  }

  /** Fills the view with what is known of `candidates` at `nowMs`; `reaches`: with what can be brought to them. */
  look(call: SimCall, request: Call, candidates: SimulatedEndpoint[], nowMs: number, reaches = false): void {
    const { view } = this;
    const { scrapeMs } = this.#fleet;
    view.call = request;
    view.now = nowMs;
    view.count = candidates.length;
    view.endpoints = candidates;
    for (let i = 0; i < candidates.length; i++) {
      const { slot, scraped } = candidates[i]!;
      if (scrapeMs !== undefined) scrape(scraped, this.#engines[slot]!, nowMs, scrapeMs);
      view.matchedTokens[i] = this.#cacheView.match(slot, call, view.matched, i * viewTiers, nowMs);
      this.#resident[i] = this.#cacheView.residentTokens(slot);
    }
    if (reaches && this.#homes !== undefined) this.#reach(call, this.#homes.of(call), nowMs);
  }

  /** What the conversation's last replica holds of the prompt and another one that shares its store does not, is remote to that one. */
  #reach(call: SimCall, home: number, nowMs: number): void {
    const { view, broughtTokens } = this;
    broughtTokens.fill(0, 0, view.count);
    if (home < 0 || this.#all[home]!.health !== "ready") return;
    const pool = this.#all[home]!.spec.pool;
    if (pool === undefined) return;
    const held = this.#cacheView.match(home, call, this.#scratch, 0, nowMs);
    for (let i = 0; i < view.count; i++) {
      const more = held - view.matchedTokens[i]!;
      if (more <= 0 || view.endpoints[i]!.slot === home || view.endpoints[i]!.spec.pool !== pool) continue;
      view.matched[i * viewTiers + viewTiers - 1]! += more;
      view.matchedTokens[i]! += more;
      broughtTokens[i] = more;
    }
  }

  /** The longest match of a prompt at any taker, in tokens. */
  bestMatch(call: SimCall, nowMs: number): number {
    let best = 0;
    for (const { slot } of this.takersOf(call)) {
      best = Math.max(best, this.#cacheView.match(slot, call, this.view.matched, 0, nowMs));
    }
    return best;
  }
}
