// Numbers, money and times as the console writes them.
import { describe, expect, test } from "vitest";
import {
  ago,
  bytes,
  change,
  compact,
  duration,
  durationScale,
  money,
  moneyDigits,
  moneyFull,
  moneyParts,
  moneyScale,
  moneyUnit,
  nanoOf,
  percent,
  percentFixed,
  wholeOf,
} from "./format.ts";

describe("numbers", () => {
  test.each([
    [0, "0"],
    [999, "999"],
    [1_000, "1k"],
    [12_412, "12.4k"],
    [999_499, "999k"],
    [999_500, "1M"],
    [1_234_567, "1.23M"],
    [-4_200, "-4.2k"],
  ])("%d is %s", (value, text) => expect(compact(value)).toBe(text));

  test("a typed count is a whole number, with or without separators", () => {
    expect(["600", " 200,000 ", "200_000", "1 000 000", "0"].map(wholeOf)).toEqual([600, 200_000, 200_000, 1e6, 0]);
    for (const text of ["", "-1", "1.5", "1e3", "six", ",600", "4503599627370497", "99999999999999999"])
      expect(wholeOf(text), text).toBeUndefined();
  });

  test.each([
    [null, "–"],
    [0, "0%"],
    [1, "100%"],
    [0.0891, "8.91%"],
    [0.831, "83.1%"],
  ])("a share of %s is %s", (share, text) => expect(percent(share)).toBe(text));

  test("a column of shares has one number of digits", () => {
    expect([0, 0.0891, 0.906, 1, null].map(percentFixed)).toEqual(["0.0%", "8.9%", "90.6%", "100.0%", "–"]);
    expect([0.0001, 0.9999].map(percentFixed)).toEqual(["<0.1%", ">99.9%"]);
  });

  test("sizes are decimal, as disks are sold", () => {
    expect([bytes(999), bytes(1_500), bytes(98_304_000), bytes(1_130_307_584)]).toEqual([
      "999 B",
      "1.5 kB",
      "98.3 MB",
      "1.13 GB",
    ]);
  });

  test("a change against nothing is no number", () => {
    expect(change(5, 0)).toBeNull();
    expect(change(150, 100)).toEqual({ text: "50%", direction: "up" });
    expect(change(100, 100)).toEqual({ text: "0%", direction: "same" });
    expect(change(4_200, 100)).toEqual({ text: "×42", direction: "up" });
  });
});

describe("money, from nano-units and never through a float", () => {
  test.each([
    ["0", "0.00 USD"],
    ["7", "7 nUSD"],
    ["999", "999 nUSD"],
    ["4710", "4.71 µUSD"],
    ["94100", "94.1 µUSD"],
    ["999900", "1.00 mUSD"],
    ["3550000", "3.55 mUSD"],
    ["10000000", "0.0100 USD"],
    ["50000000", "0.0500 USD"],
    ["123456789", "0.123 USD"],
    ["999905900", "1.00 USD"],
    ["1234567890", "1.23 USD"],
    ["-1471900000", "−1.47 USD"],
    ["-4710", "−4.71 µUSD"],
    ["90071992547409930000000", "90,071,992,547,409.93 USD"],
  ])("%s is %s by itself", (nano, text) => expect(money(nano, "USD")).toBe(text));

  test("the full amount has every digit", () => {
    expect(moneyFull("12960")).toBe("0.00001296");
    expect(moneyFull("5000000000")).toBe("5.00");
    expect(moneyFull("-1")).toBe("−0.000000001");
  });

  test("half is rounded away from zero, and nothing becomes minus nothing", () => {
    const cents = { prefix: "", decimals: 2 } as const;
    expect(moneyDigits("5000000", cents)).toBe("0.01");
    expect(moneyDigits("-5000000", cents)).toBe("−0.01");
    expect(moneyDigits("-4999999", cents)).toBe("0.00");
  });

  test("what is left is cut, never rounded to more than there is", () => {
    const cents = { prefix: "", decimals: 2 } as const;
    expect(moneyDigits("4996450000", cents, true)).toBe("4.99");
    expect(moneyDigits("4996450000", cents)).toBe("5.00");
  });

  test("a column has one unit and one number of digits: those of its middle amount", () => {
    const nanos = ["0", "4370", "20300", "820000"];
    const scale = moneyScale(nanos);
    expect(nanos.map((nano) => moneyDigits(nano, scale))).toEqual(["0.0", "4.4", "20.3", "820.0"]);
    expect(moneyUnit(scale, "CNY")).toBe("µCNY");
    expect(moneyParts("7", "USD", { scale })).toEqual(["7", "nUSD"]);
    expect(moneyParts("-180000", "USD", { scale: { prefix: "", decimals: 2 } })).toEqual(["−180", "µUSD"]);
    expect(moneyScale([])).toEqual({ prefix: "", decimals: 2 });
    expect(moneyScale(["0"])).toEqual({ prefix: "", decimals: 2 });
  });

  test("what a person types becomes nano-units, or nothing", () => {
    expect([nanoOf("5"), nanoOf("5.00"), nanoOf(" 0.000001 ")]).toEqual(["5000000000", "5000000000", "1000"]);
    expect([nanoOf(""), nanoOf("-1"), nanoOf("1e3"), nanoOf("1.0000000001"), nanoOf("1,5")]).toEqual(
      Array(5).fill(undefined),
    );
  });
});

describe("time", () => {
  test.each([
    [null, "–"],
    [0.42, "0.4 ms"],
    [840, "840 ms"],
    [1_239, "1.24 s"],
    [32_400, "32.4 s"],
    [192_000, "3 min 12 s"],
    [7_500_000, "2 h 5 min"],
    [273_600_000, "3 d 4 h"],
  ])("%s ms is %s", (ms, text) => expect(duration(ms)).toBe(text));

  test("a column of durations has one unit and one number of digits", () => {
    const column = (values: (number | null)[]) => values.map(durationScale(values));
    expect(column([9_650, 12_400, 11_500, null])).toEqual(["9.7 s", "12.4 s", "11.5 s", "–"]);
    expect(column([840, 1_239, 3_100])).toEqual(["0.84 s", "1.24 s", "3.10 s"]);
    expect(column([8.7, 23, 413])).toEqual(["9 ms", "23 ms", "413 ms"]);
    expect(column([2.1, 5_000, 6_000])).toEqual(["2.1 ms", "5.00 s", "6.00 s"]);
    expect(column([5_000, 12_000, 192_000])).toEqual(["5.0 s", "12.0 s", "3 min 12 s"]);
  });

  test("relative to now", () => {
    const now = Date.parse("2026-11-22T08:00:00Z");
    const at = (seconds: number) => ago(new Date(now - seconds * 1000).toISOString(), now);
    expect([at(0), at(12), at(240), at(10_800), at(172_800)]).toEqual([
      "just now",
      "12 s ago",
      "4 min ago",
      "3 h ago",
      "2 d ago",
    ]);
  });
});
