import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatMoney, parseMoney, priceOf, worstCase } from "./money.ts";
import type { RateCard } from "./types.ts";

const card = (input: bigint, cached: bigint, output: bigint): RateCard => ({
  id: "c",
  model: "m",
  version: 1,
  currency: "USD",
  inputNanoPerMillion: input,
  cachedNanoPerMillion: cached,
  outputNanoPerMillion: output,
});

describe("priceOf", () => {
  // 0.15, 0.075 and 0.60 USD per million tokens
  const prices = card(150_000_000n, 75_000_000n, 600_000_000n);
  test.each([
    ["nothing", 0, 0, 0, 0n],
    ["prompt only", 1000, 0, 0, 150_000n],
    ["half cached", 1000, 500, 0, 112_500n],
    ["all cached", 1000, 1000, 0, 75_000n],
    ["with output", 1000, 500, 200, 232_500n],
    ["a million of each", 1_000_000, 0, 1_000_000, 750_000_000n],
  ])("%s", (_name, promptTokens, cachedTokens, outputTokens, expected) => {
    expect(priceOf({ promptTokens, cachedTokens, outputTokens }, prices)).toBe(expected);
  });

  test("rounds half up, once, at the end", () => {
    const half = card(500_000n, 0n, 500_000n);
    expect(priceOf({ promptTokens: 1, cachedTokens: 0, outputTokens: 0 }, half)).toBe(1n);
    expect(priceOf({ promptTokens: 1, cachedTokens: 0, outputTokens: 1 }, half)).toBe(1n);
    expect(priceOf({ promptTokens: 1, cachedTokens: 1, outputTokens: 0 }, card(500_000n, 499_999n, 0n))).toBe(0n);
  });

  test.each([[-1], [1.5], [Number.NaN], [2 ** 53]])("refuses %d tokens", (promptTokens) => {
    expect(() => priceOf({ promptTokens, cachedTokens: 0, outputTokens: 0 }, prices)).toThrow(RangeError);
  });

  test("refuses more cached than prompt tokens", () => {
    expect(() => priceOf({ promptTokens: 1, cachedTokens: 2, outputTokens: 0 }, prices)).toThrow(/cannot exceed/);
  });

  test("is never above the worst case", () => {
    const price = fc.bigInt({ min: 0n, max: 10n ** 12n });
    const count = fc.nat(200_000);
    fc.assert(
      fc.property(
        price,
        price,
        price,
        count,
        count,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (a, b, c, prompt, output, share) => {
          const rates = card(a, b, c);
          const used = {
            promptTokens: prompt,
            cachedTokens: Math.floor(prompt * share),
            outputTokens: Math.floor(output * share),
          };
          expect(priceOf(used, rates) <= worstCase({ promptTokens: prompt, maxOutputTokens: output }, rates)).toBe(
            true,
          );
        },
      ),
    );
  });
});

describe("amounts as text", () => {
  test.each([
    ["5", 5_000_000_000n],
    ["5.00", 5_000_000_000n],
    ["0.000000001", 1n],
    [" 12.5 ", 12_500_000_000n],
  ])("%s is read", (text, nano) => expect(parseMoney(text)).toBe(nano));

  test.each(["", "-1", "1,5", "1e3", "0.0000000001", "five"])("%j is refused with what to write", (text) => {
    expect(() => parseMoney(text)).toThrow(/Write units with a dot/);
  });

  test.each([
    [0n, "0.00 USD"],
    [5_000_000_000n, "5.00 USD"],
    [-1_234_567_890n, "-1.23 USD"],
    [99_000_000n, "0.0990 USD"],
    [3_550_000n, "3.55 mUSD"],
    [123_456n, "123 µUSD"],
    [-4_706n, "-4.71 µUSD"],
    [999_900n, "1.00 mUSD"],
    [999_905_900n, "1.00 USD"],
    [7n, "7 nUSD"],
    [4_999_999_999n, "5.00 USD"],
  ])("%d nano is shown as %s", (nano, text) => expect(formatMoney(nano, "USD")).toBe(text));

  test.each([
    [4_999_999_999n, "4.99 USD"],
    [999_905_900n, "0.999 USD"],
    [4_706n, "4.70 µUSD"],
    [0n, "0.00 USD"],
  ])("%d nano that are left are shown as %s, never as more", (nano, text) =>
    expect(formatMoney(nano, "USD", "down")).toBe(text),
  );
});
