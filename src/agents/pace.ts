// How many steps of runs are under way at once in this process, and which run is next. Runs are admitted at the pace at which they
// are served: as many steps as the engines have room for, and no more. The others wait here as a name in a list: without a claim in
// Postgres, without a connection, a hold or a call of their own, so that two thousand of them cost the house nothing.
//
// Projects take turns. Within a project a run that has begun goes before one that has not, so that what was begun ends; else it is
// first come, first served.
//
// No project can starve another by holding seats, however long its steps take (an engine that hangs, a tool that is slow). Every
// project has a share: the seats, divided by the number of projects that hold one or wait for one. A project below its share goes
// before one that has it, and the seats that a project holds beyond its share do not count against the others: they were taken while
// no other project wanted them, and cannot be taken back, so others are let in beside them. The project that holds them gets no
// more until it is below its share again. With `most` seats, n projects that never leave hold at most most * (1 + 1/2 + ... + 1/n).
import { limits } from "./limits.ts";

export interface PaceEntry {
  run: string;
  project: string;
  begun: boolean;
}

/** Where a step under way is counted. */
export interface Seat {
  /** The step is over. */
  leave(): void;
}

interface Waiting {
  run: string;
  /** Undefined until it has been looked up. */
  entry: PaceEntry | undefined;
  sinceMs: number;
  enter: (entered: boolean) => void;
}

interface Project {
  /** Seats that it has. */
  held: number;
  /** Each in the order in which they came. */
  begun: Waiting[];
  fresh: Waiting[];
}

interface PaceOptions {
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
  /** Projects that hold seats or wait, in the order of their turns. */
  readonly #projects = new Map<string, Project>();
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
    return [...this.#projects.values()].reduce((sum, project) => sum + waitingOf(project), this.#unknown.size);
  }

  /**
   * Waits for a step's turn. Undefined when it did not come within `patienceMs`, or the process stops: then the run is to come back,
   * and has its place.
   */
  enter(run: string, known: PaceEntry | undefined, patienceMs: number): Promise<Seat | undefined> {
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const sinceMs = this.#since.get(run) ?? this.#now();
      const timer = setTimeout(() => {
        this.#remove(waiting);
        this.#since.set(run, sinceMs);
        for (const oldest of this.#since.keys()) {
          if (this.#since.size <= limits.paceRemembered) break;
          this.#since.delete(oldest);
        }
        resolve(undefined);
      }, patienceMs).unref();
      const enter = (entered: boolean) => {
        clearTimeout(timer);
        this.#since.delete(run);
        resolve(entered ? this.#seatOf(waiting.entry!.project) : undefined);
      };
      const waiting: Waiting = { run, entry: known, sinceMs, enter };
      if (known) this.#queue(waiting);
      else this.#unknown.add(waiting);
      this.#next();
    });
  }

  /** Nothing is admitted any more; what waits is told to come back. */
  close(): void {
    this.#closed = true;
    const all = [...this.#unknown, ...[...this.#projects.values()].flatMap(({ begun, fresh }) => [...begun, ...fresh])];
    this.#unknown.clear();
    for (const project of this.#projects.values()) project.begun = project.fresh = [];
    for (const { enter } of all) enter(false);
  }

  #seatOf(project: string): Seat {
    let left = false;
    const leave = () => {
      if (left) return;
      left = true;
      const of = this.#projects.get(project)!;
      of.held--;
      this.#under--;
      this.#tidy(project, of);
      this.#next();
    };
    return { leave };
  }

  #next(): void {
    if (this.#unknown.size > 0) void this.#find();
    for (let turn = this.#turn(); turn; turn = this.#turn()) {
      const [name, project] = turn;
      const next = (project.begun.shift() ?? project.fresh.shift())!;
      project.held++;
      this.#under++;
      // The project goes to the end of the line.
      this.#projects.delete(name);
      this.#projects.set(name, project);
      next.enter(true);
    }
  }

  /** The project whose turn it is: the first in line that has less than its share, else, while there is room, the first in line. */
  #turn(): [string, Project] | undefined {
    const most = this.#most();
    const share = Math.max(1, Math.floor(most / Math.max(1, this.#projects.size)));
    let counted = 0;
    let below: [string, Project] | undefined;
    let first: [string, Project] | undefined;
    for (const each of this.#projects) {
      const project = each[1];
      counted += Math.min(project.held, share);
      if (waitingOf(project) === 0) continue;
      first ??= each;
      if (project.held < share) below ??= each;
    }
    if (below && counted < most) return below;
    return this.#under < most ? first : undefined;
  }

  #queue(waiting: Waiting): void {
    const { project: name, begun } = waiting.entry!;
    const project = this.#projects.get(name) ?? { held: 0, begun: [], fresh: [] };
    this.#projects.set(name, project);
    const line = begun ? project.begun : project.fresh;
    // Most come at the end; one that comes back belongs to the front.
    let place = line.length;
    if (this.#since.has(waiting.run)) place = line.findIndex(({ sinceMs }) => sinceMs > waiting.sinceMs);
    line.splice(place < 0 ? line.length : place, 0, waiting);
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
    const name = waiting.entry?.project;
    const project = name === undefined ? undefined : this.#projects.get(name);
    if (!project) return;
    for (const line of [project.begun, project.fresh]) {
      const place = line.indexOf(waiting);
      if (place >= 0) line.splice(place, 1);
    }
    this.#tidy(name!, project);
  }

  #tidy(name: string, project: Project): void {
    if (project.held === 0 && waitingOf(project) === 0) this.#projects.delete(name);
  }
}

const waitingOf = ({ begun, fresh }: Project): number => begun.length + fresh.length;
