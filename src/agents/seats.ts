// Where steps of runs sit while they are under way: every step on a seat of the engines at first; one that turns out to use no engine
// gives it to another, because a tool, a lookup or a verifier that takes long must not keep the engines idle.
import type { EngineRegistry } from "../engines/index.ts";
import { limits } from "./limits.ts";
import { Pace, type Seat } from "./pace.ts";
import type { Backlog } from "./backlog.ts";
import type { Action } from "./types.ts";

/** The seat of a step under way; undefined after it has left one and got no other. */
export interface Place {
  seat: Seat | undefined;
}

type Elsewhere = "tool" | "lookup" | "verify";

export class Seats {
  readonly #engines: Pace;
  readonly #elsewhere: Record<Elsewhere, Pace>;

  constructor(engines: Pick<EngineRegistry, "list">, backlog: Pick<Backlog, "places">) {
    this.#engines = new Pace({ most: () => stepsAtOnce(engines), lookUp: (ids) => backlog.places(ids) });
    const nothing = () => Promise.resolve([]);
    const tools = new Pace({ most: () => limits.toolStepsMost, lookUp: nothing });
    const verify = new Pace({ most: () => limits.verdictStepsMost, lookUp: nothing });
    this.#elsewhere = { tool: tools, lookup: tools, verify };
  }

  /** Waits for a seat of the engines. `project` where it is known, because the run has begun in this process. Undefined: come back. */
  async take(run: string, project: string | undefined): Promise<Place | undefined> {
    const known = project === undefined ? undefined : { run, project, begun: true };
    const seat = await this.#engines.enter(run, known, limits.paceWaitMs);
    return seat && { seat };
  }

  /** Changes to a seat of the kind of action where it uses no engine; answers how long it waited. Undefined: come back. */
  async change(place: Place, run: { id: string; project: string }, { type }: Action): Promise<number | undefined> {
    if (type !== "tool" && type !== "lookup" && type !== "verify") return 0;
    place.seat?.leave();
    const began = performance.now();
    const entry = { run: run.id, project: run.project, begun: true };
    place.seat = await this.#elsewhere[type].enter(run.id, entry, limits.paceElsewhereWaitMs);
    return place.seat && Math.floor(performance.now() - began);
  }

  /** Nothing is admitted any more. */
  close(): void {
    for (const pace of [this.#engines, ...Object.values(this.#elsewhere)]) pace.close();
  }
}

/** Twice what the engines run at once: while one step's call is served, another's is stored, and neither waits for the other. */
function stepsAtOnce(engines: Pick<EngineRegistry, "list">): number {
  const slots = engines
    .list()
    .filter(({ role, up }) => role !== "prefill" && up !== false)
    .reduce((sum, { facts }) => sum + (facts?.slots ?? limits.paceUnknownSlots), 0);
  return Math.min(limits.paceMost, Math.max(limits.paceLeast, 2 * slots));
}
