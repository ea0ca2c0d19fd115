// The simulator's only source of chance: the scheduler's seeded sfc32 with the distributions that traces name, so that one
// seed reproduces a whole run on any machine (Math.random cannot be seeded). Exponential gives Poisson arrivals, Gamma and
// Weibull are ServeGen's inter-arrival laws, and quantile tables are how its lengths were published.
import { seededRng, type Rng } from "../scheduler/index.ts";

/** A seeded stream of random numbers with the laws that workloads are described by. */
export class Random {
  /** Uniform in [0, 1); also what placement policies take as their `rng`. */
  readonly next: Rng;

  constructor(seed: number) {
    this.next = seededRng(seed);
  }

  /** Uniform integer in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  /** Exponential with the given mean (same unit as the mean). */
  exponential(mean: number): number {
    return -Math.log(1 - this.next()) * mean;
  }

  /** Poisson with the given mean: arrivals of a unit of time. Made for means of tens. */
  poisson(mean: number): number {
    let count = 0;
    for (let at = this.exponential(1); at < mean; at += this.exponential(1)) count++;
    return count;
  }

  /** Standard normal, by Box and Muller (one of the pair is thrown away: a stream must not depend on call parity). */
  normal(): number {
    const u = 1 - this.next();
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * this.next());
  }

  /** Gamma(shape, scale), by Marsaglia and Tsang; shapes under 1 by the usual power of a uniform. */
  gamma(shape: number, scale: number): number {
    if (shape < 1) return this.gamma(shape + 1, scale) * Math.pow(1 - this.next(), 1 / shape);
    const d = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const v = Math.pow(1 + c * x, 3);
      if (v <= 0) continue;
      if (Math.log(1 - this.next()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v * scale;
    }
  }

  /** Weibull(shape, scale), by inversion. */
  weibull(shape: number, scale: number): number {
    return scale * Math.pow(-Math.log(1 - this.next()), 1 / shape);
  }

  /** Lognormal with the given mean; `spread` is the standard deviation of the logarithm. */
  lognormal(mean: number, spread: number): number {
    return mean * Math.exp(spread * this.normal() - (spread * spread) / 2);
  }

  /** A gap between arrivals with the given mean and coefficient of variation, by a Gamma law; 1 gives exponential gaps. */
  gap(mean: number, variation: number): number {
    const square = variation * variation;
    return this.gamma(1 / square, mean * square);
  }

  /** A function that draws positions below `count` by Zipf's law: position i has a weight of (i + 1) ^ -exponent. */
  zipf(count: number, exponent: number): () => number {
    const sums: number[] = [];
    let sum = 0;
    for (let i = 0; i < count; i++) sums.push((sum += (i + 1) ** -exponent));
    return () => {
      const at = this.next() * sum;
      const found = sums.findIndex((upTo) => at < upTo);
      return found < 0 ? count - 1 : found;
    };
  }

  /** A value from an empirical law given by quantiles: `values[i]` at cumulative share `shares[i]` (0 to 1, rising). */
  quantile(shares: readonly number[], values: readonly number[]): number {
    const u = this.next();
    let i = 1;
    while (i < shares.length - 1 && shares[i]! < u) i++;
    const low = shares[i - 1]!;
    const high = shares[i]!;
    const part = high > low ? (u - low) / (high - low) : 0;
    return values[i - 1]! + part * (values[i]! - values[i - 1]!);
  }

  /** Shuffles in place (Fisher and Yates). */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const held = items[i]!;
      items[i] = items[j]!;
      items[j] = held;
    }
    return items;
  }

  /** A stream of its own for one purpose: the same label gives the same stream however much was drawn from others. */
  static stream(seed: number, label: string): Random {
    let hash = seed >>> 0;
    for (let i = 0; i < label.length; i++) hash = Math.imul(hash ^ label.charCodeAt(i), 0x01000193) >>> 0;
    return new Random(hash + 0x1_0000_0000 * ((seed >>> 0) & 0xfffff));
  }
}
