// The seeded generator that the scheduler's callers pass in: sfc32 (Chris Doty-Humphrey), 128 bits of state, passes
// PractRand. One seed reproduces every tie and every simulated run.
import type { Rng } from "./types.ts";

/** A generator whose stream depends on `seed` alone. */
export function seededRng(seed: number): Rng {
  let a = 0x9e3779b9;
  let b = seed >>> 0;
  let c = Math.floor(seed / 0x1_0000_0000) >>> 0;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  };
  for (let i = 0; i < 15; i++) next();
  return () => next() / 0x1_0000_0000;
}

/** Integer in [0, bound). */
export function below(bound: number, rng: Rng): number {
  return Math.min(bound - 1, Math.floor(rng() * bound));
}
