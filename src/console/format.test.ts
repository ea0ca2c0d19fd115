// Numbers, money and times as the console writes them.
import { describe, expect, test } from "vitest";
import {
  ago,
  bytes,
  change,
  columnDecimals,
  compact,
  decimalsFor,
  duration,
  money,
  moneyFixed,
  moneyFull,
  nanoOf,
  percent,
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

  test.each([
    [null, "–"],
    [0, "0%"],
    [1, "100%"],
    [0.0891, "8.91%"],
    [0.831, "83.1%"],
  ])("a share of %s is %s", (share, text) => expect(percent(share)).toBe(text));

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
    ["0", "0.00"],
    ["12960", "0.0000130"],
    ["50000000", "0.0500"],
    ["1234567890", "1.23"],
    ["-1471900000", "−1.47"],
    ["90071992547409930000000", "90,071,992,547,409.93"],
  ])("%s is %s by itself", (nano, text) => expect(money(nano)).toBe(text));

  test("the full amount has every digit", () => {
    expect(moneyFull("12960")).toBe("0.00001296");
    expect(moneyFull("5000000000")).toBe("5.00");
    expect(moneyFull("-1")).toBe("−0.000000001");
  });

  test("half is rounded away from zero, and nothing becomes minus nothing", () => {
    expect(moneyFixed("5000000", 2)).toBe("0.01");
    expect(moneyFixed("-5000000", 2)).toBe("−0.01");
    expect(moneyFixed("-4999999", 2)).toBe("0.00");
  });

  test("a column shows its largest, or its middle amount with three digits", () => {
    expect(decimalsFor(["4370", "820000"])).toBe(6);
    expect(columnDecimals(["0", "4370", "20300", "820000"])).toBe(7);
    expect(columnDecimals([])).toBe(2);
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
