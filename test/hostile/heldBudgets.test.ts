// A budget that is only held by calls under way is not used up: a call waits for it, and is refused only when the money is gone.
// Before, it was `insufficient_quota` with `x-should-retry: false`, which ends a client's work although the money is there.
import { expect, test } from "vitest";
import { limits } from "../../src/api/limits.ts";
import { hello, rows, testGateway, testPrices } from "../../src/api/testing.ts";
import type { TestGateway } from "../../src/api/testing.ts";
import { processMemory } from "../../src/bounded/index.ts";
import { bookLimits } from "../../src/ledger/limits.ts";

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

test("a tenant whose slow streams hold its budget makes no other tenant or key wait, and fills no memory", async () => {
  const waitMostMs = bookLimits.waitMostMs;
  using _restored = { [Symbol.dispose]: () => void Object.assign(bookLimits, { waitMostMs }) };
  await using at = await testGateway();
  const { organisation, project } = at.principal;
  const keyOf = async (name: string) =>
    (await at.identity.createKey({ organisation, project, name, role: "member" })).secret;
  const [hostile, neighbour] = [await keyOf("hostile"), await keyOf("neighbour")];
  const other = await at.identity.ensureTenant({ organisation: "other", project: "default", currency: "USD" });
  await at.ledger.setRateCard({
    organisation: other.organisation.id,
    model: "scripted",
    currency: "USD",
    ...testPrices,
  });
  const { secret: stranger } = await at.identity.createKey({
    organisation: other.organisation.id,
    project: other.project.id,
    name: "stranger",
    role: "owner",
  });
  const large = { model: "scripted", max_tokens: 10, messages: [{ role: "user", content: "word ".repeat(40_000) }] };
  const call = (key: string, body: object) =>
    at.request("/v1/chat/completions", {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify(body),
    });
  const hostileId = (await at.identity.authenticate(hostile))!.key;
  // Two calls with a prompt of 200 KB fit: at most a token for each byte, at 3 nano.
  const limitNano = 2n * (200_000n + 1_000n) * 3n;
  const scope = { kind: "key" as const, id: hostileId };
  await at.ledger.setBudget({ organisation, currency: "USD", scope, limitNano, period: "total" });
  await acknowledged(at);

  const goesOn = Promise.withResolvers<void>();
  at.engine.next(...Array(2).fill({ wait: goesOn.promise, waitAfter: 1 }));
  const slow = [call(hostile, { ...large, stream: true }), call(hostile, { ...large, stream: true })];
  await expect.poll(() => at.engine.seen.length, { timeout: 60_000 }).toBe(2);
  let answered = 0;
  const waiting = Array.from({ length: 150 }, () => call(hostile, large).finally(() => answered++));
  const heldOfKey = () => processMemory.bytes().bodies;
  await expect.poll(heldOfKey, { timeout: 60_000 }).toBeGreaterThan(2_000_000);

  const others = await Promise.all(
    [neighbour, stranger].flatMap((key) => Array.from({ length: 10 }, () => call(key, asked))),
  );
  expect(others.map(({ status }) => status)).toEqual(Array(20).fill(200));
  // They were answered while the hostile key's calls still waited.
  expect(answered).toBeLessThan(waiting.length);
  expect(heldOfKey()).toBeLessThanOrEqual(limits.heldBytesPerKey);

  // They give up.
  bookLimits.waitMostMs = 0;
  const refused = await Promise.all(waiting);
  expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([429]));
  const codes = new Set(refused.map(({ body }) => body.error.code));
  expect(codes).toContain("budget_held");
  expect([...codes].filter((code) => code !== "budget_held" && code !== "bodies_held")).toEqual([]);
  const held = refused.find(({ body }) => body.error.code === "budget_held")!;
  expect(held.body.error.type).toBe("rate_limit_error");
  expect([held.headers.get("retry-after"), held.headers.get("x-should-retry")]).toEqual(["1", "true"]);
  expect(held.body.error.message).toContain(`The budget of key ${hostileId}`);

  goesOn.resolve();
  expect((await Promise.all(slow)).map(({ status }) => status)).toEqual([200, 200]);
  await expect.poll(heldOfKey).toBe(0);
  expect((await rows(at)).settlements).toHaveLength(22);
  expect((await at.ledger.prove()).discrepancies).toEqual([]);
});
