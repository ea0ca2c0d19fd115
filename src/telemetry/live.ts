// Live events: what the console and `--follow` watch instead of polling.
//
// One ring of the newest events per organisation, shared by its subscribers: each keeps only its place in the ring. A slow
// reader therefore costs nothing and holds nobody up; when the ring has passed it, it goes on at the oldest event still there
// and sees from the gap in the ids that it missed some. Ids are `EPOCH.SEQUENCE`: an id of an earlier process is not mistaken
// for one of this.
import { limits } from "./limits.ts";

export interface LiveEventLike {
  type: string;
}

export interface PublishedEvent<Event extends LiveEventLike> {
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

export class LiveEvents<Event extends LiveEventLike = LiveEventLike> {
  readonly #rings = new Map<string, Ring<Event>>();
  readonly #size: number;
  readonly #epoch: string;

  constructor(options: { size?: number; epoch?: string } = {}) {
    this.#size = options.size ?? limits.liveEventsKept;
    this.#epoch = options.epoch ?? Date.now().toString(36);
  }

  publish(organisation: string, event: Event): void {
    const ring = this.#ring(organisation);
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
    organisation: string,
    lastEventId?: string,
    signal?: AbortSignal,
  ): AsyncGenerator<PublishedEvent<Event>, void, void> {
    const ring = this.#ring(organisation);
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

  #ring(organisation: string): Ring<Event> {
    let ring = this.#rings.get(organisation);
    if (!ring) this.#rings.set(organisation, (ring = { events: [], next: 0, waiting: new Set() }));
    return ring;
  }
}
