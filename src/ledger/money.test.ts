import { describe, expect, test } from "vitest";
import { formatMoney, parseMoney } from "./money.ts";

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
