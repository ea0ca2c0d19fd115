// Published prices with bills that were computed by hand, and what must hold for every card that can be set.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { batchCard, discounted, priceLines, priceOf, worstCase } from "./pricing.ts";
import { anyCard } from "./testing.ts";
import type { PriceTable, RateCard, TokenCounts, TokenPrices } from "./types.ts";
import { runs } from "../../test/setup/runs.ts";

/** USD per million tokens, as providers write them, exact to a thousandth of a millionth. */
const usd = (perMillion: number): bigint => BigInt(Math.round(perMillion * 1_000_000)) * 1_000n;

interface Published {
  input: number;
  cached?: number;
  output: number;
  write?: number;
  writeLong?: number;
  reasoning?: number;
}

const prices = ({ input, cached, output, write, writeLong, reasoning }: Published): TokenPrices => ({
  inputNanoPerMillion: usd(input),
  cachedNanoPerMillion: usd(cached ?? input),
  outputNanoPerMillion: usd(output),
  ...(write !== undefined && { cacheWriteNanoPerMillion: usd(write) }),
  ...(writeLong !== undefined && { cacheWriteLongNanoPerMillion: usd(writeLong) }),
  ...(reasoning !== undefined && { reasoningNanoPerMillion: usd(reasoning) }),
});

const table = (base: Published, tiers: [above: number, Published][] = []): PriceTable => ({
  ...prices(base),
  ...(tiers.length > 0 && { tiers: tiers.map(([abovePromptTokens, of]) => ({ abovePromptTokens, ...prices(of) })) }),
});

const card = (of: PriceTable, more: Partial<RateCard> = {}): RateCard => ({
  id: "c",
  model: "m",
  version: 1,
  currency: "USD",
  ...of,
  ...more,
});

/** Prices as their providers published them by November 2026, unless the name says another time. */
const published = {
  // developers.openai.com/api/docs/pricing
  "gpt-5.5": card(table({ input: 5, cached: 0.5, output: 30 }, [[272_000, { input: 10, cached: 1, output: 45 }]]), {
    batch: table({ input: 2.5, cached: 0.25, output: 15 }, [[272_000, { input: 5, cached: 0.5, output: 22.5 }]]),
  }),
  "gpt-5-mini": card(table({ input: 0.25, cached: 0.025, output: 2 })),
  // platform.claude.com/docs/en/about-claude/pricing: batch jobs at half of every price; a web search is 10 USD a thousand
  "claude-sonnet-4-5": card(table({ input: 3, cached: 0.3, write: 3.75, writeLong: 6, output: 15 }), {
    batch: discounted(table({ input: 3, cached: 0.3, write: 3.75, writeLong: 6, output: 15 }), 50),
    unitsNano: { search: 10_000_000n },
  }),
  "claude-sonnet-4-5 in 2025": card(
    table({ input: 3, cached: 0.3, write: 3.75, writeLong: 6, output: 15 }, [
      [200_000, { input: 6, cached: 0.6, write: 7.5, writeLong: 12, output: 22.5 }],
    ]),
  ),
  // ai.google.dev/gemini-api/docs/pricing: the cached price is the same in batch jobs
  "gemini-2.5-pro": card(
    table({ input: 1.25, cached: 0.125, output: 10 }, [[200_000, { input: 2.5, cached: 0.25, output: 15 }]]),
    {
      batch: table({ input: 0.625, cached: 0.125, output: 5 }, [[200_000, { input: 1.25, cached: 0.25, output: 7.5 }]]),
    },
  ),
  // api-docs.deepseek.com/quick_start/pricing
  "deepseek-v4-pro": card(table({ input: 1.32, cached: 0.044, output: 3.96 })),
  // alibabacloud.com/help/en/model-studio/models
  "qwen3-max": card(
    table({ input: 1.2, output: 6 }, [
      [32_000, { input: 2.4, output: 12 }],
      [128_000, { input: 3, output: 15 }],
    ]),
  ),
  // docs.perplexity.ai/getting-started/pricing: reasoning has a price of its own, searches and citations are units, and sonar-pro has a fee
  "sonar-deep-research": card(table({ input: 2, output: 8, reasoning: 3 }), {
    unitsNano: { search: 5_000_000n, citation_token: 2_000n },
  }),
  "sonar-pro": card(table({ input: 3, output: 15 }), { callNano: 6_000_000n }),
} satisfies Record<string, RateCard>;

const used = (promptTokens: number, outputTokens: number, more: Partial<TokenCounts> = {}): TokenCounts => ({
  promptTokens,
  cachedTokens: 0,
  outputTokens,
  ...more,
});

describe("published prices, to the nano", () => {
  test.each<[model: keyof typeof published, what: string, TokenCounts, nano: bigint]>([
    // 2,000 x 5 + 8,000 x 0.5 + 1,500 x 30 = 59,000 millionths of a dollar
    [
      "gpt-5.5",
      "cached, with reasoning in the output",
      used(10_000, 1_500, { cachedTokens: 8_000, reasoningTokens: 1_000 }),
      59_000_000n,
    ],
    // 272,000 x 5 + 1,000 x 30
    ["gpt-5.5", "the longest prompt at base prices", used(272_000, 1_000), 1_390_000_000n],
    // 272,001 x 10 + 1,000 x 45: one token more moves the whole call
    ["gpt-5.5", "one token above", used(272_001, 1_000), 2_765_010_000n],
    // 50,000 x 10 + 250,000 x 1 + 2,000 x 45: cached tokens count towards the size
    ["gpt-5.5", "long and mostly cached", used(300_000, 2_000, { cachedTokens: 250_000 }), 840_000_000n],
    // 210 x 0.25 + 1,024 x 0.025 + 567 x 2 = 52.5 + 25.6 + 1,134
    ["gpt-5-mini", "odd counts", used(1_234, 567, { cachedTokens: 1_024 }), 1_212_100n],
    ["gpt-5-mini", "one cached token", used(1, 0, { cachedTokens: 1 }), 25n],
    // 2,048 x 3 + 100,000 x 0.3 + 5,000 x 3.75 + 20,000 x 6 + 800 x 15 = 6,144 + 30,000 + 18,750 + 120,000 + 12,000
    [
      "claude-sonnet-4-5",
      "reads, and writes of both lifetimes",
      used(127_048, 800, { cachedTokens: 100_000, cacheWriteTokens: 5_000, cacheWriteLongTokens: 20_000 }),
      186_894_000n,
    ],
    // 1,000 x 3 + 500 x 15 + 3 x 10,000
    ["claude-sonnet-4-5", "three searches", used(1_000, 500, { units: { search: 3 } }), 40_500_000n],
    // 200,001 x 6 + 1,000 x 22.5
    ["claude-sonnet-4-5 in 2025", "above 200,000", used(200_001, 1_000), 1_222_506_000n],
    // 1 x 6 + 150,000 x 0.6 + 50,000 x 7.5 + 10 x 22.5: writes and reads make the prompt long, and are priced by it
    [
      "claude-sonnet-4-5 in 2025",
      "above 200,000 by cache alone",
      used(200_001, 10, { cachedTokens: 150_000, cacheWriteTokens: 50_000 }),
      465_231_000n,
    ],
    // 1,500 x 1.25 + 10,000 x 0.125 + 11,000 x 10: thoughts are output
    [
      "gemini-2.5-pro",
      "with thoughts",
      used(11_500, 11_000, { cachedTokens: 10_000, reasoningTokens: 10_000 }),
      113_125_000n,
    ],
    ["gemini-2.5-pro", "the longest prompt at base prices", used(200_000, 1), 250_010_000n],
    // 200,001 x 2.5 + 15 = 500,017.5
    ["gemini-2.5-pro", "one token above", used(200_001, 1), 500_017_500n],
    // 57 x 1.32 + 12,288 x 0.044 + 678 x 3.96 = 75.24 + 540.672 + 2,684.88
    ["deepseek-v4-pro", "a cache hit of 99.5 %", used(12_345, 678, { cachedTokens: 12_288 }), 3_300_792n],
    ["qwen3-max", "first of three tiers", used(32_000, 100), 39_000_000n],
    // 32,001 x 2.4 + 100 x 12
    ["qwen3-max", "second", used(32_001, 100), 78_002_400n],
    // 130,000 x 3 + 100 x 15
    ["qwen3-max", "third", used(130_000, 100), 391_500_000n],
    // 33 x 2 + 7,163 x 8 + 95,305 x 3 + 28 x 5,000 + 100 x 2: reasoning is not billed a second time as output
    [
      "sonar-deep-research",
      "reasoning at its own price, and units",
      used(33, 102_468, { reasoningTokens: 95_305, units: { search: 28, citation_token: 100 } }),
      483_485_000n,
    ],
    // 100 x 3 + 200 x 15 + 6,000
    ["sonar-pro", "with the fee of a call", used(100, 200), 9_300_000n],
    ["sonar-pro", "no fee where nothing was used", used(0, 0), 0n],
  ])("%s: %s", (model, _what, tokens, nano) => expect(priceOf(tokens, published[model])).toBe(nano));

  test.each<[keyof typeof published, TokenCounts, bigint]>([
    // 2,000 x 2.5 + 8,000 x 0.25 + 1,500 x 15
    ["gpt-5.5", used(10_000, 1_500, { cachedTokens: 8_000 }), 29_500_000n],
    // 272,001 x 5 + 22.5
    ["gpt-5.5", used(272_001, 1), 1_360_027_500n],
    // half of 186,894
    [
      "claude-sonnet-4-5",
      used(127_048, 800, { cachedTokens: 100_000, cacheWriteTokens: 5_000, cacheWriteLongTokens: 20_000 }),
      93_447_000n,
    ],
    // 1,500 x 0.625 + 10,000 x 0.125 + 11,000 x 5
    ["gemini-2.5-pro", used(11_500, 11_000, { cachedTokens: 10_000 }), 57_187_500n],
  ])("%s as a batch job", (model, tokens, nano) => expect(priceOf(tokens, batchCard(published[model])!)).toBe(nano));
});

describe("the arithmetic", () => {
  const simple = (input: bigint, cached: bigint, output: bigint, more: Partial<RateCard> = {}): RateCard =>
    card({ inputNanoPerMillion: input, cachedNanoPerMillion: cached, outputNanoPerMillion: output }, more);

  test("rounds half up, once, at the end", () => {
    const half = simple(500_000n, 0n, 500_000n);
    expect(priceOf(used(1, 0), half)).toBe(1n);
    expect(priceOf(used(1, 1), half)).toBe(1n);
    expect(priceOf(used(1, 0, { cachedTokens: 1 }), simple(500_000n, 499_999n, 0n))).toBe(0n);
  });

  test("a kind without a price of its own is priced as what it is part of", () => {
    const use = used(100, 10, { cacheWriteTokens: 20, cacheWriteLongTokens: 30, reasoningTokens: 5 });
    expect(priceOf(use, simple(1_000_000n, 0n, 2_000_000n))).toBe(120n);
    const written = simple(1_000_000n, 0n, 2_000_000n, { cacheWriteNanoPerMillion: 3_000_000n });
    expect(priceOf(use, written)).toBe(50n + 150n + 20n);
  });

  test("has a line for everything that it sums, and none for what was not used", () => {
    const fee = simple(1_000_000n, 1n, 2_000_000n, { callNano: 7n, unitsNano: { image: 5n } });
    expect(priceLines(used(3, 0, { units: { image: 2 } }), fee)).toEqual([
      { kind: "input", count: 3, nanoPerMillion: 1_000_000n },
      { kind: "unit:image", count: 2, nanoPerMillion: 5_000_000n },
      { kind: "call", count: 1, nanoPerMillion: 7_000_000n },
    ]);
  });

  test.each([[-1], [1.5], [Number.NaN], [2 ** 53]])("refuses %d tokens", (promptTokens) => {
    expect(() => priceOf(used(promptTokens, 0), simple(1n, 1n, 1n))).toThrow(RangeError);
    expect(() => worstCase({ promptTokens: 1, maxOutputTokens: promptTokens }, simple(1n, 1n, 1n))).toThrow(RangeError);
  });

  test("refuses parts that exceed their whole", () => {
    const prices = simple(1n, 1n, 1n);
    expect(() => priceOf(used(1, 0, { cachedTokens: 2 }), prices)).toThrow(/cannot exceed promptTokens/);
    expect(() => priceOf(used(3, 0, { cachedTokens: 2, cacheWriteTokens: 2 }), prices)).toThrow(/cannot exceed/);
    expect(() => priceOf(used(3, 1, { reasoningTokens: 2 }), prices)).toThrow(/cannot exceed outputTokens/);
  });

  test("an unknown price of a unit is never zero", () => {
    const prices = simple(1n, 1n, 1n, { unitsNano: { image: 1n } });
    expect(() => priceOf(used(1, 1, { units: { second: 1 } }), prices)).toThrow(/names no unit second/);
    expect(() => worstCase({ promptTokens: 1, maxOutputTokens: 1, units: { second: 1 } }, prices)).toThrow(/no unit/);
  });

  test("a card without batch prices prices no batch job", () => {
    expect(batchCard(simple(1n, 1n, 1n))).toBeUndefined();
  });
});

/** A use within a bound: every count is a share of what the bound leaves for it. */
const useWithin = fc
  .record({
    promptTokens: fc.nat(600_000),
    maxOutputTokens: fc.nat(200_000),
    units: fc.record({ image: fc.nat(20), second: fc.nat(600) }),
    shares: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 8, maxLength: 8 }),
  })
  .map(({ shares, ...bound }) => {
    const [prompt, cached, write, writeLong, output, reasoning, image, second] = shares as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const part = (whole: number, share: number) => Math.floor(whole * share);
    const promptTokens = part(bound.promptTokens, prompt);
    const cachedTokens = part(promptTokens, cached);
    const cacheWriteTokens = part(promptTokens - cachedTokens, write);
    const outputTokens = part(bound.maxOutputTokens, output);
    const use: TokenCounts = {
      promptTokens,
      cachedTokens,
      cacheWriteTokens,
      cacheWriteLongTokens: part(promptTokens - cachedTokens - cacheWriteTokens, writeLong),
      outputTokens,
      reasoningTokens: part(outputTokens, reasoning),
      units: { image: part(bound.units.image, image), second: part(bound.units.second, second) },
    };
    return { bound, use };
  });

describe("for every card", () => {
  test("a hold for a bound covers any use within it", () => {
    fc.assert(
      fc.property(anyCard, useWithin, (of, { bound, use }) => {
        expect(priceOf(use, of) <= worstCase(bound, of)).toBe(true);
        const batch = batchCard(of);
        if (batch) expect(priceOf(use, batch) <= worstCase(bound, batch)).toBe(true);
      }),
      { numRuns: runs(1_500) },
    );
  });

  test("the worst case never falls when a bound grows", () => {
    const more = fc.nat(300_000);
    fc.assert(
      fc.property(anyCard, useWithin, more, more, (of, { bound }, prompt, output) => {
        const { promptTokens, maxOutputTokens, units } = bound;
        const larger = { promptTokens: promptTokens + prompt, maxOutputTokens: maxOutputTokens + output, units };
        expect(worstCase(larger, of) >= worstCase(bound, of)).toBe(true);
      }),
      { numRuns: runs(600) },
    );
  });

  test("windows of output add up to the whole, and each covers what falls into it", () => {
    fc.assert(
      fc.property(anyCard, fc.nat(400_000), fc.array(fc.nat(10_000), { maxLength: 8 }), (of, promptTokens, windows) => {
        const worst = (maxOutputTokens: number) => worstCase({ promptTokens, maxOutputTokens }, of);
        let held = worst(0);
        let covered = 0;
        for (const window of windows) {
          held += worst(covered + window) - worst(covered);
          covered += window;
          expect(priceOf(used(promptTokens, covered), of) <= held).toBe(true);
        }
        expect(held).toBe(worst(covered));
      }),
    );
  });

  test("the price is the sum of its lines", () => {
    fc.assert(
      fc.property(anyCard, useWithin, (of, { use }) => {
        const sum = priceLines(use, of).reduce((total, line) => total + BigInt(line.count) * line.nanoPerMillion, 0n);
        expect(priceOf(use, of)).toBe((sum + 500_000n) / 1_000_000n);
      }),
    );
  });
});
