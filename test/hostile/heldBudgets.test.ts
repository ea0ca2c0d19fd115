// A budget that is only held by calls under way is not used up: a call waits for it, and is refused only when the money is gone.
// Before, it was `insufficient_quota` with `x-should-retry: false`, which ends a client's work although the money is there.
import { expect, test } from "vitest";
import { hello, rows, testGateway } from "../../src/api/testing.ts";
import type { TestGateway } from "../../src/api/testing.ts";

// A call's worst case: 546 prompt tokens at 3, 10 output tokens at 7. It uses 10 * 3 + 4 * 7 = 58.
const needed = 1_708n;

async function setBudget(at: TestGateway, kind: "project" | "key", limitNano: bigint): Promise<void> {
  const id = kind === "key" ? at.principal.key : at.principal.project;
  const { organisation } = at.principal;
  await at.ledger.setBudget({ organisation, currency: "USD", scope: { kind, id }, limitNano, period: "total" });
}

const asked = { ...hello, max_tokens: 10 };

/** Resolves when every process works by the newest limits. */
const acknowledged = (at: TestGateway) =>
  expect
    .poll(async () => (await at.ledger.listBudgets(at.principal.organisation)).some(({ pending }) => pending))
    .toBe(false);

test("a call whose money others hold waits for it; the spent budget refuses for good", async () => {
  const open = Promise.withResolvers<void>();
  await using at = await testGateway();
  await setBudget(at, "project", needed + 100n);
  await acknowledged(at);
  at.engine.next({ wait: open.promise });
  const first = at.client().chat.completions.create(asked);
  await expect.poll(() => at.engine.seen.length, { timeout: 60_000 }).toBe(1);
  const second = at.client().chat.completions.create(asked);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(at.engine.seen).toHaveLength(1);
  open.resolve();
  // Settled at 58 of the hold's 1,708: the call that waited fits now.
  await Promise.all([first, second]);

  // 116 are spent. A call that the spent money alone rules out is refused for good.
  await setBudget(at, "project", needed + 115n);
  await acknowledged(at);
  const over = await at.request("/v1/chat/completions", { method: "POST", body: JSON.stringify(asked) });
  expect(over.body.error).toMatchObject({ code: "budget_exceeded", type: "insufficient_quota" });
  expect(over.headers.get("x-should-retry")).toBe("false");
  const { calls } = await rows(at);
  expect(calls.map((call) => [call["status"], call["error_code"]])).toEqual([
    ["completed", null],
    ["completed", null],
    ["refused", "budget_exceeded"],
  ]);
});

test("where one budget is held and another is used up, the answer is the final one", async () => {
  const open = Promise.withResolvers<void>();
  await using at = await testGateway();
  await setBudget(at, "project", needed);
  await acknowledged(at);
  at.engine.next({ wait: open.promise });
  const first = at.client().chat.completions.create(asked);
  await expect.poll(() => at.engine.seen.length, { timeout: 60_000 }).toBe(1);
  await setBudget(at, "key", 0n);
  await acknowledged(at);
  const refused = await at.request("/v1/chat/completions", { method: "POST", body: JSON.stringify(asked) });
  expect(refused.body.error).toMatchObject({ code: "budget_exceeded", type: "insufficient_quota" });
  expect(refused.body.error.message).toContain("key");
  open.resolve();
  await first;
});
