// What is asked of a ledger that grants little by little, or only once the answer stands, as it does where all calls wait for each other's
// money.
import { expect, test } from "vitest";
import type { AttemptLedger, Extended } from "../ledger/index.ts";
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
  const cover = new Cover({ extend }, "att_1", { covered: 256, most: 1_000 });
  expect(cover.reach(200)).toBeUndefined();
  await cover.reach(280);
  expect(asked.map(({ seen }) => seen)).toEqual([200, 280]);
  expect(cover.outputTokens).toBe(300);
});

const money = { currency: "USD", limitNano: 1_000n, leftNano: 0n, scope: { kind: "project", id: "prj" } } as const;
const cut = { ...money, budget: "bud_1", why: "spent" } as const;

test("what must be covered before it is sent is asked for until it is, as an answer that stands, although nothing of it has come", async () => {
  const asked: Parameters<AttemptLedger["extend"]>[] = [];
  const granted = [300, 700, 4_096];
  const extend: AttemptLedger["extend"] = async (...ask) => {
    asked.push(ask);
    return { outputTokens: granted.shift()!, cutBy: undefined };
  };
  const cover = new Cover({ extend }, "att_1", { covered: 256, most: 5_000 });
  await cover.coverAll(4_096);
  expect(cover.outputTokens).toBe(4_096);
  expect(asked).toEqual([300, 700, 4_096].map(() => ["att_1", 4_096, 0, true]));
});

test("it ends with the budget's name where no more is granted", async () => {
  const granted: Extended[] = [
    { outputTokens: 300, cutBy: undefined },
    { outputTokens: 450, cutBy: cut },
  ];
  const cover = new Cover({ extend: async () => granted.shift()! }, "att_1", { covered: 256, most: 5_000 });
  await cover.coverAll(4_096);
  expect([cover.outputTokens, cover.cutBy]).toEqual([450, cut]);
});

/** Grants 300 tokens while the prompt is held by a bound, and what is asked for once it was counted. */
function boundPrompt(count: () => Promise<void>) {
  const asked: [tokens: number, stands: boolean][] = [];
  let isCounted = false;
  const extend: AttemptLedger["extend"] = async (_attempt, tokens, _seen, stands) => {
    asked.push([tokens, stands]);
    if (isCounted) return { outputTokens: tokens, cutBy: undefined };
    return { outputTokens: 300, cutBy: stands ? cut : undefined };
  };
  const recount = async () => {
    asked.push([0, false]);
    await count();
    isCounted = true;
  };
  return { asked, cover: new Cover({ extend }, "att_1", { covered: 256, most: 5_000, recount }) };
}

test("an answer that must wait has its prompt counted before it stands, and once", async () => {
  const { asked, cover } = boundPrompt(async () => {});
  await cover.reach(310);
  expect(asked).toEqual([
    [768 + 54, false],
    [310, false],
    [0, false],
    [310, true],
  ]);
  await cover.reach(1_000);
  expect(asked.filter(([tokens]) => tokens === 0)).toHaveLength(1);
  expect(cover.cutBy).toBeUndefined();
});

test("what must be covered before it is sent has its prompt counted too", async () => {
  const { asked, cover } = boundPrompt(async () => {});
  await cover.coverAll(4_096);
  expect(asked).toEqual([
    [4_096, false],
    [0, false],
    [4_096, true],
  ]);
  expect(cover.outputTokens).toBe(4_096);
});

test("an engine that does not count leaves the answer to wait as it is held", async () => {
  const { cover } = boundPrompt(() => Promise.reject(new Error("The engine has gone.")));
  await cover.coverAll(4_096);
  expect([cover.outputTokens, cover.cutBy]).toEqual([300, cut]);
});
