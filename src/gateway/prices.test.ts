// Prices of engines by their kind.
import { expect, test } from "vitest";
import { pricesOfKind } from "./prices.ts";

const prices = {
  currency: "USD",
  inputNanoPerMillion: 4_000_000_000n,
  cachedNanoPerMillion: 200_000_000n,
  outputNanoPerMillion: 20_000_000_000n,
};

test("a card for Anthropic has prices of writing to its cache, those of its owner before the usual ones", () => {
  expect(pricesOfKind("anthropic", prices)).toEqual({
    ...prices,
    cacheWriteNanoPerMillion: 5_000_000_000n,
    cacheWriteLongNanoPerMillion: 8_000_000_000n,
  });
  const own = { ...prices, cacheWriteNanoPerMillion: 1n };
  expect(pricesOfKind("anthropic", own)).toBe(own);
  expect(pricesOfKind("openai", prices)).toBe(prices);
});
