// Whatever an engine claims, and whatever was held: what is billed never passes the hold, is the price of whole tokens, and fits.
import fc from "fast-check";
import { expect, test } from "vitest";
import { billable } from "./claims.ts";
import { priceOf, worstCase } from "./pricing.ts";
import { anyCard } from "./testing.ts";
import { runs } from "../../test/setup/runs.ts";

const anyNumber = fc.oneof(
  fc.double({ noNaN: false }),
  fc.integer(),
  fc.integer({ min: 0, max: 2000 }),
  fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -0, 1e300, 2 ** 53, 2 ** 53 + 2, 1.5),
);
const claims = fc.record(
  {
    promptTokens: anyNumber,
    cachedTokens: anyNumber,
    outputTokens: anyNumber,
    cacheWriteTokens: anyNumber,
    cacheWriteLongTokens: anyNumber,
    reasoningTokens: anyNumber,
    units: fc.dictionary(fc.constantFrom("image", "second", "unheard-of"), anyNumber),
  },
  { requiredKeys: ["promptTokens", "cachedTokens", "outputTokens"] },
);
const mosts = fc.record(
  {
    promptTokens: fc.nat(1_000_000),
    outputTokens: fc.nat(1_000_000),
    units: fc.dictionary(fc.constantFrom("image", "second"), fc.nat(100)),
  },
  { requiredKeys: ["promptTokens", "outputTokens"] },
);

test("what is billed is at most what was held, and the price of its tokens", () => {
  fc.assert(
    fc.property(claims, mosts, anyCard, (claim, most, card) => {
      const held = worstCase({ ...most, maxOutputTokens: most.outputTokens }, card);
      const { tokens, amountNano, suspenseNano, claimed } = billable(claim, most, held, card);
      expect(amountNano).toBe(priceOf(tokens, card));
      expect(amountNano <= held).toBe(true);
      expect(tokens.outputTokens).toBeLessThanOrEqual(most.outputTokens);
      expect(tokens.cachedTokens).toBeLessThanOrEqual(tokens.promptTokens);
      expect(suspenseNano >= 0n && suspenseNano <= 10n ** 14n).toBe(true);
      if (suspenseNano > 0n) expect(claimed).toBeDefined();
      const { units: billed = {}, ...counts } = tokens;
      const { units: asked = {}, ...claims } = claimed ?? {};
      for (const count of [counts, billed, claims, asked].flatMap((of) => Object.values(of) as number[]))
        expect(Number.isSafeInteger(count) && count >= 0).toBe(true);
    }),
    { numRuns: runs(600) },
  );
});

test("what was claimed within the hold is billed as it was claimed", () => {
  fc.assert(
    fc.property(mosts, anyCard, fc.double({ min: 0, max: 1, noNaN: true }), (most, card, share) => {
      const held = worstCase({ ...most, maxOutputTokens: most.outputTokens }, card);
      const promptTokens = Math.floor(most.promptTokens * share);
      const claim = {
        promptTokens,
        cachedTokens: Math.floor((promptTokens * share) / 2),
        cacheWriteTokens: Math.floor((promptTokens * share) / 4),
        cacheWriteLongTokens: Math.floor((promptTokens * share) / 4),
        outputTokens: Math.floor(most.outputTokens * share),
        reasoningTokens: Math.floor((most.outputTokens * share) / 3),
      };
      expect(billable(claim, most, held, card)).toEqual({
        tokens: claim,
        amountNano: priceOf(claim, card),
        suspenseNano: 0n,
        claimed: undefined,
      });
    }),
  );
});
