// One call's share of an endpoint's load. A placed call opens a handle; the handle is the only way to change a count, and closing it takes
// back exactly what it added. It is Disposable, so that `using` closes it on every path.
import type { EndpointLoad } from "../types.ts";

export class MutableLoad implements EndpointLoad {
  prefillTokens = 0;
  kvTokens = 0;
  inFlight = 0;
  prefilling = 0;
}

/** What policies see: own and peers' sums, and the head of the prefill line by this gateway's own calls. */
export class SeenLoad extends MutableLoad {
  headTokens: number | undefined;
  headSinceMs: number | undefined;
  peersPlaced = 0;
  peersPlacedTokens = 0;
  peersInFlight = 0;
  peersPrefill = 0;
  guessedCalls = 0;
  guessedPrefill = 0;
  guessedKv = 0;
  newCalls = 0;
  newPrefill = 0;
  newKv = 0;
}

export interface Entry {
  endpoint: string;
  rank: number;
  /** Load that this gateway alone has placed. */
  own: MutableLoad;
  /** Own and peers together: what policies see. */
  seen: SeenLoad;
  /** Own calls with something to prefill, first come first. */
  line: LoadHandle[];
  /** Own changes not yet told to peers. */
  untold: MutableLoad;
  /** Own placements of which peers were not told yet, and their prefill. */
  untoldPlaced: number;
  untoldPlacedTokens: number;
  dirty: boolean;
}

/** What a handle needs of the view that made it. */
export interface Counts {
  change(entry: Entry, prefill: number, kv: number, inFlight: number, prefilling: number): void;
  /** The handle's prefill has changed: 0 tokens when it is done or given up. */
  stand(entry: Entry, handle: LoadHandle, tokens: number, now?: number): void;
  closed(handle: LoadHandle): void;
}

/** One call's share of an endpoint's load. Made by `LoadView.open` alone. */
export class LoadHandle implements Disposable {
  readonly endpoint: string;
  private readonly counts: Counts;
  private readonly entry: Entry;
  private prefill: number;
  private readonly kv: number;
  private prefilling = 1;
  private open = true;
  /** Last sign of life, ms. */
  touchedAtMs: number;

  constructor(counts: Counts, entry: Entry, prefillTokens: number, kvTokens: number, now: number) {
    this.endpoint = entry.endpoint;
    this.counts = counts;
    this.entry = entry;
    this.prefill = prefillTokens;
    this.kv = kvTokens;
    this.touchedAtMs = now;
    counts.change(entry, prefillTokens, kvTokens, 1, 1);
  }

  /** Uncached prompt tokens that it still counts. */
  get prefillTokens(): number {
    return this.prefill;
  }

  get isOpen(): boolean {
    return this.open;
  }

  /** The prompt is computed: its prefill no longer waits. */
  prefilled(now: number): void {
    this.touchedAtMs = now;
    if (!this.open || this.prefilling === 0) return;
    this.counts.change(this.entry, -this.prefill, 0, 0, -1);
    this.prefill = 0;
    this.prefilling = 0;
    this.counts.stand(this.entry, this, 0, now);
  }

  /** The prompt is computed here after all (again): `tokens` of prefill wait. */
  prefillsHere(tokens: number, now: number): void {
    this.touchedAtMs = now;
    if (!this.open) return;
    this.counts.change(this.entry, tokens - this.prefill, 0, 0, 1 - this.prefilling);
    this.prefill = tokens;
    this.prefilling = 1;
    this.counts.stand(this.entry, this, tokens, now);
  }

  /** The call has ended, however it did. Closing twice is harmless. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    this.counts.change(this.entry, -this.prefill, -this.kv, -1, -this.prefilling);
    this.prefill = 0;
    this.counts.stand(this.entry, this, 0);
    this.counts.closed(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
