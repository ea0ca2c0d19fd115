// Least-recently-used residency of dense block ids, as an intrusive doubly linked list in typed arrays: touch, insert and
// evict are a few array writes, so that whole-trace studies run at tens of millions of blocks a second.

/** LRU set of block ids below `blockCount`. Position 0 of the list is a sentinel; block b is node b + 1. */
export class LruBlocks {
  readonly capacity: number;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  #size = 0;

  constructor(blockCount: number, capacity: number) {
    this.capacity = capacity;
    this.#next = new Int32Array(blockCount + 1).fill(-1);
    this.#previous = new Int32Array(blockCount + 1).fill(-1);
    this.#next[0] = 0;
    this.#previous[0] = 0;
  }

  get size(): number {
    return this.#size;
  }

  has(block: number): boolean {
    return this.#next[block + 1]! >= 0;
  }

  /** Makes the block the most recent, inserting it when absent. Does not evict; see `trim`. */
  touch(block: number): void {
    const node = block + 1;
    if (this.#next[node]! >= 0) this.#unlink(node);
    else this.#size++;
    const next = this.#next;
    const previous = this.#previous;
    const newest = previous[0]!;
    previous[node] = newest;
    next[node] = 0;
    next[newest] = node;
    previous[0] = node;
  }

  remove(block: number): void {
    const node = block + 1;
    if (this.#next[node]! < 0) return;
    this.#unlink(node);
    this.#next[node] = -1;
    this.#size--;
  }

  /** Evicts the least recent until `size` is within the capacity. Returns how many went. */
  trim(): number {
    let evicted = 0;
    while (this.#size > this.capacity) {
      this.remove(this.#next[0]! - 1);
      evicted++;
    }
    return evicted;
  }

  #unlink(node: number): void {
    const next = this.#next[node]!;
    const previous = this.#previous[node]!;
    this.#next[previous] = next;
    this.#previous[next] = previous;
  }
}
