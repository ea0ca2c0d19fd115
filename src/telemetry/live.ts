// Live events: what the console and `--follow` watch instead of polling.
//
// One ring of the newest events per organisation, and one per project, shared by their subscribers: an owner reads the organisation's,
// a member its project's, so that neither events nor their ids tell one project of another. A subscriber keeps only its place. A slow
// reader therefore costs nothing and delays no publisher; when the ring has passed it, it goes on at the oldest event still there
// and sees from the gap in the ids that it missed some. Ids are `EPOCH.SEQUENCE`: an id of an earlier process is not mistaken
// for one of this.
import { limits } from "./limits.ts";

interface LiveEventLike {
  type: string;
}

interface PublishedEvent<Event extends LiveEventLike> {
  id: string;
  event: Event;
}

interface Ring<Event extends LiveEventLike> {
  /** Event of sequence n lies at n modulo the ring's size. */
  events: Event[];
  /** Sequence of the next event. */
  next: number;
  waiting: Set<() => void>;
}

/** Whose event it is: one project's, every project's (the machine's state), or the organisation's owners' alone. */
interface Audience {
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

  constructor(options: { size?: number; epoch?: string } = {}) {
    this.#size = options.size ?? limits.liveEventsKept;
    this.#epoch = options.epoch ?? Date.now().toString(36);
  }

  publish({ organisation, project }: Audience, event: Event): void {
    this.#add(this.#ring(organisation), event);
    if (typeof project === "string") this.#add(this.#ring(organisation, project), event);
    else if (project === everyProject)
      for (const ring of this.#projects.get(organisation)?.values() ?? []) this.#add(ring, event);
  }

  #add(ring: Ring<Event>, event: Event): void {
    ring.events[ring.next % this.#size] = event;
    ring.next++;
    for (const wake of ring.waiting) wake();
    ring.waiting.clear();
  }

  /**
   * Events from now on; with `lastEventId`, those after it that are still kept first. An id that is not of this process, or
   * that was passed over, starts at the oldest event kept. Ends when the signal aborts or the reader stops.
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
    try {
      for (;;) {
        if (signal?.aborted) return;
        place = Math.max(place, ring.next - this.#size);
        if (place < ring.next) {
          yield { id: `${this.#epoch}.${place}`, event: ring.events[place % this.#size]! };
          place++;
        } else {
          await new Promise<void>((resolve) => ring.waiting.add((wake = resolve)));
        }
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
      ring.waiting.delete(wake);
    }
  }

  #startOf(ring: Ring<Event>, lastEventId: string | undefined): number {
    if (lastEventId === undefined || lastEventId === "") return ring.next;
    const [epoch, sequence] = lastEventId.split(".");
    const number = Number(sequence);
    return epoch === this.#epoch && Number.isSafeInteger(number) && number >= 0 ? Math.min(number + 1, ring.next) : 0;
  }

  #ring(organisation: string, project?: string): Ring<Event> {
    let rings = this.#rings;
    if (project !== undefined) {
      const of = this.#projects.get(organisation) ?? new Map<string, Ring<Event>>();
      this.#projects.set(organisation, (rings = of));
    }
    const name = project ?? organisation;
    let ring = rings.get(name);
    if (!ring) rings.set(name, (ring = { events: [], next: 0, waiting: new Set() }));
    return ring;
  }
}
