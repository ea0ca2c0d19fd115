// What tests of money draw at random: rate cards of every shape that can be set, cheaper tiers and missing prices included.
import fc from "fast-check";
import type { PriceTable, RateCard, TokenPrices } from "./types.ts";

const price = fc.oneof(fc.bigInt(0n, 10n ** 13n), fc.bigInt(0n, 1_000n), fc.constant(0n));

const prices: fc.Arbitrary<TokenPrices> = fc.record(
  {
    inputNanoPerMillion: price,
    cachedNanoPerMillion: price,
    outputNanoPerMillion: price,
    cacheWriteNanoPerMillion: price,
    cacheWriteLongNanoPerMillion: price,
    reasoningNanoPerMillion: price,
  },
  { requiredKeys: ["inputNanoPerMillion", "cachedNanoPerMillion", "outputNanoPerMillion"] },
);

const table: fc.Arbitrary<PriceTable> = fc
  .tuple(prices, fc.uniqueArray(fc.tuple(fc.nat(400_000), prices), { maxLength: 3, selector: ([above]) => above }))
  .map(([base, tiers]) => {
    if (tiers.length === 0) return base;
    const ascending = tiers.toSorted(([a], [b]) => a - b);
    return { ...base, tiers: ascending.map(([abovePromptTokens, of]) => ({ ...of, abovePromptTokens })) };
  });

/** Any card that can be set: up to three tiers, a fee, units `image` and `second`, batch prices. */
export const anyCard: fc.Arbitrary<RateCard> = fc
  .tuple(
    table,
    fc.record(
      {
        callNano: fc.bigInt(0n, 10n ** 9n),
        batch: table,
      },
      { requiredKeys: [] },
    ),
    fc.tuple(fc.bigInt(0n, 10n ** 9n), fc.bigInt(0n, 10n ** 9n)),
  )
  .map(([base, more, [image, second]]) => ({
    id: "c",
    model: "m",
    version: 1,
    currency: "USD",
    ...base,
    ...more,
    unitsNano: { image, second },
  }));
