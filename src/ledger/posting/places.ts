// How far each file of a spool is posted, and what that says of a place. What a failed file had not synced stands in the next one, so a place
// in the old file is understood as one in the next.
import type { SpoolPlace, TrailFile } from "../../store/index.ts";

/** A spool that is written, or was, as far as its places go. */
interface PlacedSpool {
  readonly trail: readonly TrailFile[];
  position(): SpoolPlace;
}

export class Places {
  readonly #spool: PlacedSpool;
  readonly #posted = new Map<string, number>();

  constructor(spool: PlacedSpool) {
    this.#spool = spool;
  }

  /** Everything up to this number of a file is posted. */
  posted(spool: string, number: number): void {
    this.#posted.set(spool, number);
  }

  /** The number of the last posted record of a file; 0 where it was not begun. */
  numberOf(spool: string): number {
    return this.#posted.get(spool) ?? 0;
  }

  /** The same of every file. */
  numbers(): Record<string, number> {
    return Object.fromEntries(this.#spool.trail.map(({ spool }) => [spool, this.numberOf(spool)]));
  }

  /** Whether a place is in a file of this spool. */
  isOwn({ spool }: SpoolPlace): boolean {
    return this.#spool.trail.some((file) => file.spool === spool) || this.#spool.position().spool === spool;
  }

  /** Whether a place of this spool is posted. */
  has({ spool, number }: SpoolPlace): boolean {
    // A file that was begun has none before it that is not posted: its place 0 says so.
    if (number <= (this.#posted.get(spool) ?? -1)) return true;
    const { trail } = this.#spool;
    const index = trail.findIndex((file) => file.spool === spool);
    const file = trail[index];
    const next = trail[index + 1];
    if (!file?.ended || !next || number <= file.upTo) return false;
    return this.has({ spool: next.spool, number: number - file.upTo });
  }

  /** Whether a place of this spool is behind its newest record, where nothing comes by itself. */
  isBeyond({ spool, number }: SpoolPlace): boolean {
    const newest = this.#spool.position();
    if (spool === newest.spool) return number > newest.number;
    const { trail } = this.#spool;
    const index = trail.findIndex((file) => file.spool === spool);
    const { upTo, ended } = trail[index]!;
    if (!ended || number <= upTo) return false;
    return this.isBeyond({ spool: trail[index + 1]?.spool ?? newest.spool, number: number - upTo });
  }
}
