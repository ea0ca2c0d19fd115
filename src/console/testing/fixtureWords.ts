// Shared by all parts of the fixture: its currency, its two models with their prices, and ids and times from a seed.
import { leastId, type IdPrefix } from "../../store/ids.ts";
import type { Random } from "./random.ts";

export const minute = 60_000;
export const hour = 60 * minute;
export const day = 24 * hour;
export const currency = "USD";
export const embedded = "smollm2-135m-instruct";
export const remote = "qwen3-32b";
/** Nano per million tokens: input, cached, output. */
export const cards: Record<string, [bigint, bigint, bigint]> = {
  [embedded]: [20_000_000n, 5_000_000n, 60_000_000n],
  [remote]: [180_000_000n, 45_000_000n, 700_000_000n],
};

export const priceOf = (model: string, prompt: number, cached: number, output: number): bigint => {
  const [input, hit, out] = cards[model] ?? [0n, 0n, 0n];
  return (BigInt(prompt - cached) * input + BigInt(cached) * hit + BigInt(output) * out) / 1_000_000n;
};

export const idOf = (random: Random, prefix: IdPrefix, at: number): string =>
  leastId(prefix, Math.floor(at)).replace(/0{11}$/, (zeros) =>
    Array.from(zeros, () => random.whole(0, 31).toString(32)).join(""),
  );
export const iso = (at: number) => new Date(at).toISOString();
export const tenth = (value: number) => Math.round(value * 10) / 10;
