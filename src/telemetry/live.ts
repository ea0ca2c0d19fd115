// Live events: what the console and `--follow` watch instead of polling.
//
// One ring of the newest events per organisation, and one per project, shared by their subscribers: an owner reads the organisation's,
// a member its project's, so that neither events nor their ids tell one project of another. A subscriber keeps only its place. A slow
// reader therefore costs nothing and delays no publisher; when the ring has passed it, it goes on at the oldest event still there
// and sees from the gap in the ids that it missed some.
//
// Ids are `EPOCH.SEQUENCE.TIME`. A reader that comes back to the same process goes on exactly after its last event. One that comes back to
// another process, whose ring has its own order, goes on a moment before the time of its last event: it may see an event twice and misses
// none. Events of other processes are added by liveRelay.ts.
import { limits } from "./limits.ts";

interface LiveEventLike {
  type: string;
}

interface PublishedEvent<Event extends LiveEventLike> {
  id: string;
  event: Event;
}

interface Kept<Event extends LiveEventLike> {
  event: Event;
  /** When it was published, by the clock of the process that published it. */
  atMs: number;
}

interface Ring<Event extends LiveEventLike> {
  /** Event of sequence n lies at n modulo the ring's size. */
  kept: Kept<Event>[];
  /** Sequence of the next event. */
  next: number;
  waiting: Set<() => void>;
}

/** Whose event it is: one project's, every project's (the machine's state), or the organisation's owners' alone. */
export interface Audience {
  organisation: string;
  project: string | typeof everyProject | typeof ownersOnly;
}
/** Audience of an event: every key of the organisation. */
export const everyProject = Symbol("every project");
/** Audience of an event: owners' keys of the organisation. */
export const ownersOnly = Symbol("owners only");

/** Events to live listeners. `publish` never waits; a listener that falls behind loses the oldest events and is told so. */
export class LiveEvents<Event extends LiveEventLike = LiveEventLike> {
  readonly #rings = new Map<string, Ring<Event>>();
  /** Rings of projects, by organisation. */
  readonly #projects = new Map<string, Map<string, Ring<Event>>>();
  readonly #size: number;
  readonly #epoch: string;
  readonly #now: () => number;
  #readers = 0;
  #onPublish: ((audience: Audience, event: Event, atMs: number) => void) | undefined;
  #onReader: (() => void) | undefined;

  constructor(options: { size?: number; epoch?: string; now?: () => number } = {}) {
    this.#size = options.size ?? limits.liveEventsKept;
    this.#epoch = options.epoch ?? Date.now().toString(36);
    this.#now = options.now ?? Date.now;
  }

  /** Readers of this moment. */
  get readers(): number {
    return this.#readers;
  }

  publish(audience: Audience, event: Event): void {
    const atMs = this.#now();
    this.receive(audience, event, atMs);
    this.#onPublish?.(audience, event, atMs);
  }

  /** Adds an event that another process has published. */
  receive({ organisation, project }: Audience, event: Event, atMs: number): void {
    const kept = { event, atMs };
    this.#add(this.#ring(organisation), kept);
    if (typeof project === "string") this.#add(this.#ring(organisation, project), kept);
    else if (project === everyProject)
      for (const ring of this.#projects.get(organisation)?.values() ?? []) this.#add(ring, kept);
  }

  /** Told of every event that this process publishes, and of every reader that comes. There is one listener: the relay. */
  relayBy(relay: { published(audience: Audience, event: Event, atMs: number): void; readerCame(): void }): void {
    this.#onPublish = (audience, event, atMs) => relay.published(audience, event, atMs);
    this.#onReader = () => relay.readerCame();
  }

  #add(ring: Ring<Event>, kept: Kept<Event>): void {
    ring.kept[ring.next % this.#size] = kept;
    ring.next++;
    for (const wake of ring.waiting) wake();
    ring.waiting.clear();
  }

  /**
   * Events from now on; with `lastEventId`, those after it that are still kept first. An id that was passed over, or that no process made,
   * starts at the oldest event kept. Ends when the signal aborts or the reader stops.
   */
  async *subscribe(
    reader: { organisation: string; project?: string },
    lastEventId?: string,
    signal?: AbortSignal,
  ): AsyncGenerator<PublishedEvent<Event>, void, void> {
    const ring = this.#ring(reader.organisation, reader.project);
    let place = this.#startOf(ring, lastEventId);
    let wake = () => {};
    const onAbort = () => wake();
    signal?.addEventListener("abort", onAbort);
    this.#readers++;
    this.#onReader?.();
    try {
      for (;;) {
        if (signal?.aborted) return;
        place = Math.max(place, ring.next - this.#size);
        if (place < ring.next) {
          const { event, atMs } = ring.kept[place % this.#size]!;
          yield { id: `${this.#epoch}.${place}.${atMs.toString(36)}`, event };
          place++;
        } else {
          await new Promise<void>((resolve) => ring.waiting.add((wake = resolve)));
        }
      }
    } finally {
      this.#readers--;
      signal?.removeEventListener("abort", onAbort);
      ring.waiting.delete(wake);
    }
  }

  #startOf(ring: Ring<Event>, lastEventId: string | undefined): number {
    if (lastEventId === undefined || lastEventId === "") return ring.next;
    const [epoch, sequence, time = ""] = lastEventId.split(".");
    const number = Number(sequence);
    if (epoch === this.#epoch && Number.isSafeInteger(number) && number >= 0) return Math.min(number + 1, ring.next);
    const fromMs = parseInt(time, 36) - limits.liveOverlapMs;
    // False for a time that cannot be read.
    if (!(fromMs > 0)) return 0;
    for (let place = Math.max(0, ring.next - this.#size); place < ring.next; place++)
      if (ring.kept[place % this.#size]!.atMs >= fromMs) return place;
    return ring.next;
  }

  #ring(organisation: string, project?: string): Ring<Event> {
    let rings = this.#rings;
    if (project !== undefined) {
      const of = this.#projects.get(organisation) ?? new Map<string, Ring<Event>>();
      this.#projects.set(organisation, (rings = of));
    }
    const name = project ?? organisation;
    let ring = rings.get(name);
    if (!ring) rings.set(name, (ring = { kept: [], next: 0, waiting: new Set() }));
    return ring;
  }
}
