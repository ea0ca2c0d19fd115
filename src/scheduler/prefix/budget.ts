// One byte count for all tables of an index. A table asks before it grows; refused, it evicts.

export class ByteBudget {
  readonly maxBytes: number;
  private taken = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get usedBytes(): number {
    return this.taken;
  }

  /** Takes `bytes` (negative: gives back) and answers true, or changes nothing and answers false. */
  take(bytes: number): boolean {
    if (bytes > 0 && this.taken + bytes > this.maxBytes) return false;
    this.taken += bytes;
    return true;
  }
}
