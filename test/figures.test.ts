// Every figure that should agree does, after a mixed load: calls that complete, whole and streamed, that their clients leave, that budgets
// and engines refuse, whose engines fail, die in the middle, count nothing or claim too much, and that are tried twice. Two people
// who compare the bill, the overview, the lists, the metrics, the budgets and the tables must see one truth, to the nano.
import { expect, test } from "vitest";
import { hello, rows, testGateway, type TestGateway } from "../src/api/testing.ts";
import type { Script } from "../src/engines/testing.ts";

/** Numbers from 0 to 1 that follow from a seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What engines do, each as often as the others. */
const scripts: Script[] = [
  { usage: { prompt: 10, output: 4 } },
  { usage: { prompt: 40, cached: 30, output: 7 } },
  { usage: null, chunks: ["one ", "two ", "three"] },
  { usage: { prompt: 5_000_000, output: 90_000 } },
  { fail: { status: 500 } },
  { fail: { status: 429 } },
  { fail: { status: 400, body: { error: { message: "no such field", code: "invalid_request" } } } },
  { cut: "before" },
  { cut: 1, chunks: ["a", "b", "c"] },
];

/** One call of the load. Whatever becomes of it is fine, as long as the figures agree afterwards. */
async function call(at: TestGateway, random: () => number): Promise<void> {
  at.engine.next(scripts[Math.floor(random() * scripts.length)]!);
  const leaves = new AbortController();
  const request = {
    ...hello,
    // Some can never fit into the budget.
    max_tokens: random() < 0.1 ? 900_000 : 1 + Math.floor(random() * 20),
    stream: random() < 0.5,
    model: random() < 0.05 ? "unknown" : hello.model,
  };
  try {
    const answer = await at.client().chat.completions.create(request, { signal: leaves.signal });
    if (!("controller" in answer)) return;
    for await (const _ of answer) if (random() < 0.3) leaves.abort();
  } catch {
    // Refused, failed or left.
  }
}

type Sums = Record<string, bigint>;

async function sums(at: TestGateway, sql: string): Promise<Sums> {
  return (await at.db.query<Sums>(sql)).rows[0]!;
}

/** The sum of a metric over all its labels, or over those of one kind. */
function metric(text: string, name: string, labels = ""): bigint {
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) && line.includes(labels));
  return BigInt(lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0));
}

test.each([1, 2, 3])("bill, overview, lists, metrics, budgets and tables say the same (seed %i)", async (seed) => {
  const random = randomFrom(seed);
  await using at = await testGateway();
  const { organisation, project, key, currency } = at.principal;
  for (const [kind, id] of [
    ["organisation", organisation],
    ["project", project],
    ["key", key],
  ] as const)
    await at.ledger.setBudget({ organisation, currency, scope: { kind, id }, limitNano: 2_000_000n, period: "month" });
  // One that claims too much and is read to its end, whatever becomes of the others.
  at.engine.next(scripts[3]!);
  await at.client().chat.completions.create({ ...hello, max_tokens: 4 });
  for (let round = 0; round < 6; round++) await Promise.all(Array.from({ length: 8 }, () => call(at, random)));
  // The gateway hears later than the client itself that a client has left: every call has its record when all have ended.
  await expect.poll(async () => (await rows(at)).calls.length).toBe(49);

  const bill = (await at.request("/api/bill")).body;
  const overview = (await at.request("/api/overview?range=1h")).body;
  const budgets = (await at.request("/api/budgets")).body.data;
  const metrics = (await at.request("/metrics")).body as string;
  const settlements = await sums(
    at,
    `select sum(amount_nano) as nano, sum(suspense_nano) as suspense, sum(prompt_tokens) as prompt, sum(cached_tokens) as cached,
       sum(output_tokens) as output, count(distinct call) as calls from settlements`,
  );
  const attempts = await sums(
    at,
    `select sum(price_nano) as nano, sum(suspense_nano) as suspense, sum(prompt_tokens) as prompt, sum(cached_tokens) as cached,
       sum(output_tokens) as output, count(distinct call) as calls, count(*) as attempts from attempts`,
  );
  const calls = await sums(
    at,
    `select sum(price_nano) as nano, count(*) as calls, count(*) filter (where status = 'refused') as refused,
       count(*) filter (where status = 'failed') as failed from calls`,
  );
  const entries = await sums(at, "select sum(balance_nano) as nano from accounts where kind = 'token_cost'");

  // Money.
  expect(settlements["nano"]).toBeGreaterThan(0n);
  expect(settlements["suspense"]).toBeGreaterThan(0n);
  expect({
    attempts: attempts["nano"],
    calls: calls["nano"],
    entries: entries["nano"],
    bill: BigInt(bill.total.token_cost_nano),
    overview: BigInt(overview.money.cost_nano),
    series: overview.series.reduce((sum: bigint, point: { cost_nano: string }) => sum + BigInt(point.cost_nano), 0n),
    budgets: [...new Set(budgets.map((budget: { spent_nano: string }) => BigInt(budget.spent_nano)))],
  }).toEqual({
    attempts: settlements["nano"],
    calls: settlements["nano"],
    entries: settlements["nano"],
    bill: settlements["nano"],
    overview: settlements["nano"],
    series: settlements["nano"],
    budgets: [settlements["nano"]],
  });
  // Suspense.
  expect({
    attempts: attempts["suspense"],
    bill: bill.suspense.reduce((sum: bigint, line: { amount_nano: string }) => sum + BigInt(line.amount_nano), 0n),
    overview: BigInt(overview.money.suspense_nano),
    named: bill.standing.suspense.reduce(
      (sum: bigint, item: { left_nano: string }) => sum + BigInt(item.left_nano),
      0n,
    ),
  }).toEqual({
    attempts: settlements["suspense"],
    bill: settlements["suspense"],
    overview: settlements["suspense"],
    named: settlements["suspense"],
  });
  // Tokens: the series and the lists count those of calls, which are the sums of their attempts.
  const tokens = [settlements["prompt"]! - settlements["cached"]!, settlements["cached"], settlements["output"]];
  expect([attempts["prompt"]! - attempts["cached"]!, attempts["cached"], attempts["output"]]).toEqual(tokens);
  expect(
    [bill.total.prompt_tokens - bill.total.cached_tokens, bill.total.cached_tokens, bill.total.output_tokens].map(
      BigInt,
    ),
  ).toEqual(tokens);
  expect([overview.tokens.uncached, overview.tokens.cached, overview.tokens.output].map(BigInt)).toEqual(tokens);
  expect(
    ["uncached", "cached", "output"].map((kind) => metric(metrics, "lineshaft_tokens_total", `kind="${kind}"`)),
  ).toEqual(tokens);
  // Calls and attempts.
  expect(BigInt(bill.total.calls)).toBe(settlements["calls"]);
  expect(attempts["calls"]).toBe(settlements["calls"]);
  expect([overview.calls.total, overview.calls.refused, overview.calls.failed].map(BigInt)).toEqual([
    calls["calls"],
    calls["refused"],
    calls["failed"],
  ]);
  expect(metric(metrics, "lineshaft_calls_total")).toBe(calls["calls"]);
  expect(metric(metrics, "lineshaft_attempts_total")).toBe(attempts["attempts"]);

  // And the ledger's own proof of all of it, leases given back or named.
  const proof = (await at.request("/api/proofs", { method: "POST", body: JSON.stringify({ kind: "whole" }) })).body;
  expect(proof.discrepancies).toEqual([]);
});
