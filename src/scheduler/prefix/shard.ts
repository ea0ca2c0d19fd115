// One shard of the block table's hash index: block numbers by hash, linear probing, with a byte of the hash beside each so
// that a search looks at a block only when it is nearly certainly the right one. Any length will do, not only powers of
// two, so that a shard grows by a third and not by double.

export const freeFingerprint = 0;
/** A slot whose block is gone; searches go on behind it. */
export const deadFingerprint = 1;

export interface Shard {
  numbers: Uint32Array;
  fingerprints: Uint8Array;
  live: number;
  dead: number;
}

/** Of length 0, shared: replaced before the first entry. */
export const emptyShard: Shard = { numbers: new Uint32Array(0), fingerprints: new Uint8Array(0), live: 0, dead: 0 };

/** The slot where a search for a hash begins. */
export function slotOf(low: number, size: number): number {
  return Math.floor((low / 0x1_0000_0000) * size);
}

/** One byte of the hash, 2 to 255. */
export function fingerprint(high: number): number {
  const byte = high & 0xff;
  return byte < 2 ? byte + 2 : byte;
}

/** Enters a block that is not there yet; a free slot must exist. */
export function put(shard: Shard, low: number, high: number, block: number): void {
  const size = shard.numbers.length;
  let at = slotOf(low, size);
  while (shard.fingerprints[at]! > deadFingerprint) if (++at === size) at = 0;
  if (shard.fingerprints[at] === deadFingerprint) shard.dead--;
  shard.fingerprints[at] = fingerprint(high);
  shard.numbers[at] = block;
  shard.live++;
}

/** Takes a block out that is there. */
export function take(shard: Shard, low: number, block: number): void {
  const size = shard.numbers.length;
  let at = slotOf(low, size);
  while (shard.numbers[at] !== block || shard.fingerprints[at]! <= deadFingerprint) if (++at === size) at = 0;
  const next = at + 1 === size ? 0 : at + 1;
  const ends = shard.fingerprints[next] === freeFingerprint;
  shard.fingerprints[at] = ends ? freeFingerprint : deadFingerprint;
  if (!ends) shard.dead++;
  shard.live--;
}
