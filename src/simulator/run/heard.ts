// What a router has heard, by events that arrive late, of the blocks of one holder: an endpoint, or a store that several endpoints share.

export class HeardBlocks {
  /** By block: 1 when it is held, by the events that have arrived. */
  readonly visible: Uint8Array;
  readonly #lagMs: number;
  #held = 0;
  #atMs = new Float64Array(1024);
  #block = new Int32Array(1024);
  #head = 0;
  #tail = 0;

  constructor(blockCount: number, lagMs: number) {
    this.visible = new Uint8Array(blockCount);
    this.#lagMs = lagMs;
  }

  /** Blocks that are held, by the events that have arrived. */
  get held(): number {
    return this.#held;
  }

  /** An event leaves now; it is seen later. Removals are stored as the block's complement. */
  hear(block: number, present: boolean, nowMs: number): void {
    if (this.#tail - this.#head === this.#block.length) this.#grow();
    const slot = this.#tail++ & (this.#block.length - 1);
    this.#atMs[slot] = nowMs + this.#lagMs;
    this.#block[slot] = present ? block : ~block;
  }

  /** Takes in the events that have arrived by now. */
  settle(nowMs: number): void {
    const { visible } = this;
    const mask = this.#block.length - 1;
    while (this.#head < this.#tail && this.#atMs[this.#head & mask]! <= nowMs) {
      const entry = this.#block[this.#head++ & mask]!;
      this.#held += entry >= 0 ? 1 - visible[entry]! : -visible[~entry]!;
      if (entry >= 0) visible[entry] = 1;
      else visible[~entry] = 0;
    }
  }

  clear(): void {
    this.#held = 0;
    this.visible.fill(0);
    this.#head = this.#tail;
  }

  #grow(): void {
    const size = this.#block.length;
    const atMs = new Float64Array(size * 2);
    const block = new Int32Array(size * 2);
    for (let i = 0; i < size; i++) {
      const from = (this.#head + i) & (size - 1);
      atMs[i] = this.#atMs[from]!;
      block[i] = this.#block[from]!;
    }
    this.#atMs = atMs;
    this.#block = block;
    this.#head = 0;
    this.#tail = size;
  }
}
