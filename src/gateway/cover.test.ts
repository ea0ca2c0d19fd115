// A ledger that grants an extension asked ahead only once the answer stands, as it does where all calls wait for each other's money.
import { expect, test } from "vitest";
import type { Extended } from "../ledger/index.ts";
import { Cover } from "./cover.ts";

test("an answer that stands says so, although its extension was asked for ahead", async () => {
  const asked: { tokens: number; seen: number }[] = [];
  const waiting: ((extended: Extended) => void)[] = [];
  const extend = (_attempt: string, tokens: number, seen: number): Promise<Extended> => {
    asked.push({ tokens, seen });
    return new Promise((resolve) => {
      waiting.push(resolve);
      if (seen >= 256) for (const one of waiting.splice(0)) one({ outputTokens: 300, cutBy: undefined });
    });
  };
  const cover = new Cover({ extend }, "att_1", 256, 1_000);
  expect(cover.reach(200)).toBeUndefined();
  await cover.reach(280);
  expect(asked.map(({ seen }) => seen)).toEqual([200, 280]);
  expect(cover.outputTokens).toBe(300);
});
