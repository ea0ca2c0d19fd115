// How many steps of runs are under way at once in this process, and whose is next. Runs are admitted at the pace at which they are
// served: as many steps as the engines have room for, and no more. The others wait here as a name in a list: without a claim in
// Postgres, without a connection, a hold or a call of their own, so that two thousand of them cost the house nothing.
//
// A run that has begun goes before one that has not, so that what was begun ends; projects take turns, so that no project's queue is
// another's; within a project it is first come, first served.
import { limits } from "./limits.ts";

export interface PaceEntry {
  run: string;
  project: string;
  begun: boolean;
}

interface Waiting {
  run: string;
  /** Undefined until it has been looked up. */
  entry: PaceEntry | undefined;
  sinceMs: number;
  enter: (entered: boolean) => void;
}

export interface PaceOptions {
  /** Steps that may be under way at once, now. */
  most: () => number;
  /** Looks up projects of runs, and whether they have begun; what is not there is left out. */
  lookUp: (runs: string[]) => Promise<PaceEntry[]>;
  now?: () => number;
}

export class Pace {
  readonly #most: () => number;
  readonly #lookUp: PaceOptions["lookUp"];
  readonly #now: () => number;
  /** By project, those that have begun first, then in the order in which they came. */
  readonly #begun = new Map<string, Waiting[]>();
  readonly #fresh = new Map<string, Waiting[]>();
  readonly #unknown = new Set<Waiting>();
  /** When runs that gave up waiting for a while came first: they come back to their place. */
  readonly #since = new Map<string, number>();
  #looking = false;
  #under = 0;
  #closed = false;

  constructor({ most, lookUp, now = () => performance.now() }: PaceOptions) {
    this.#most = most;
    this.#lookUp = lookUp;
    this.#now = now;
  }

  get underWay(): number {
    return this.#under;
  }

  get waiting(): number {
    const count = (of: Map<string, Waiting[]>) => [...of.values()].reduce((sum, each) => sum + each.length, 0);
    return this.#unknown.size + count(this.#begun) + count(this.#fresh);
  }

  /**
   * Waits for a step's turn; `leave` must follow. False when it did not come within `patienceMs`, or the process stops: then the run
   * is to come back, and has its place.
   */
  enter(run: string, known: PaceEntry | undefined, patienceMs: number = limits.paceWaitMs): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false);
    if (this.#under < this.#most() && this.waiting === 0) {
      this.#under++;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const sinceMs = this.#since.get(run) ?? this.#now();
      const timer = setTimeout(() => {
        this.#remove(waiting);
        this.#since.set(run, sinceMs);
        for (const oldest of this.#since.keys()) {
          if (this.#since.size <= limits.paceRemembered) break;
          this.#since.delete(oldest);
        }
        resolve(false);
      }, patienceMs).unref();
      const enter = (entered: boolean) => {
        clearTimeout(timer);
        this.#since.delete(run);
        resolve(entered);
      };
      const waiting: Waiting = { run, entry: known, sinceMs, enter };
      if (known) this.#queue(waiting);
      else this.#unknown.add(waiting);
      this.#next();
    });
  }

  /** A step is over. */
  leave(): void {
    this.#under--;
    this.#next();
  }

  /** Nothing is admitted any more; what waits is told to come back. */
  close(): void {
    this.#closed = true;
    const all = [...this.#unknown, ...[...this.#begun.values(), ...this.#fresh.values()].flat()];
    this.#unknown.clear();
    this.#begun.clear();
    this.#fresh.clear();
    for (const { enter } of all) enter(false);
  }

  #next(): void {
    if (this.#unknown.size > 0) void this.#find();
    while (this.#under < this.#most()) {
      const next = this.#takeFrom(this.#begun) ?? this.#takeFrom(this.#fresh);
      if (!next) return;
      this.#under++;
      next.enter(true);
    }
  }

  /** The first of the project whose turn it is; the project goes to the end of the line. */
  #takeFrom(lines: Map<string, Waiting[]>): Waiting | undefined {
    for (const [project, line] of lines) {
      const next = line.shift();
      lines.delete(project);
      if (line.length > 0) lines.set(project, line);
      if (next) return next;
    }
    return undefined;
  }

  #queue(waiting: Waiting): void {
    const { project, begun } = waiting.entry!;
    const lines = begun ? this.#begun : this.#fresh;
    const line = lines.get(project) ?? [];
    // Most come at the end; one that comes back belongs to the front.
    let place = line.length;
    if (this.#since.has(waiting.run)) place = line.findIndex(({ sinceMs }) => sinceMs > waiting.sinceMs);
    line.splice(place < 0 ? line.length : place, 0, waiting);
    if (line.length === 1) lines.set(project, line);
  }

  /** One question for all that came while the last was asked. */
  async #find(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      while (this.#unknown.size > 0) {
        const asked = [...this.#unknown].slice(0, limits.paceLookUp);
        const found = await this.#lookUp(asked.map(({ run }) => run)).catch(() => []);
        const entries = new Map(found.map((entry) => [entry.run, entry]));
        for (const waiting of asked) {
          if (!this.#unknown.delete(waiting)) continue;
          // A run that is not there finds out by itself, when its turn has come.
          waiting.entry = entries.get(waiting.run) ?? { run: waiting.run, project: "", begun: false };
          this.#queue(waiting);
        }
      }
    } finally {
      this.#looking = false;
    }
    this.#next();
  }

  #remove(waiting: Waiting): void {
    this.#unknown.delete(waiting);
    if (!waiting.entry) return;
    for (const lines of [this.#begun, this.#fresh]) {
      const line = lines.get(waiting.entry.project);
      const place = line?.indexOf(waiting) ?? -1;
      if (place < 0) continue;
      line!.splice(place, 1);
      if (line!.length === 0) lines.delete(waiting.entry.project);
    }
  }
}
