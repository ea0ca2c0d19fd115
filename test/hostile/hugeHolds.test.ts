// Amounts near the end of 64 bits. A call of absurd size is refused before money is held for it, and sums of earlier settlements, however
// large, stop neither a settlement nor a start: single holds are bounded, and sums are kept in numeric columns that they cannot fill.
import { describe, expect, test } from "vitest";
import { hello, rows, testGateway } from "../../src/api/testing.ts";
import type { TestGateway } from "../../src/api/testing.ts";
import { tamper } from "../../src/store/testing.ts";

const post = (at: TestGateway, path: string, body: object) =>
  at.request(path, { method: "POST", body: JSON.stringify(body) });

/** The state that two calls of an older version left: the cost account of a model, shared by all projects, is near the end of 64 bits. */
async function withHugeAccount(at: TestGateway): Promise<void> {
  const { organisation, project } = at.principal;
  await at.db.query("insert into journals (id, organisation, kind) values ('settlement:earlier', $1, 'settlement')", [
    organisation,
  ]);
  const amount = 2n ** 63n - 1_000n;
  const line = (kind: string, subject: string, nano: bigint) => ({
    journal: "settlement:earlier",
    account: `${organisation}/${kind}/${subject}`,
    organisation,
    kind,
    subject,
    currency: "USD",
    amount: nano.toString(),
  });
  await at.db.query("select post_entries($1)", [
    JSON.stringify([line("token_cost", project, amount), line("provider_cost", "scripted", -amount)]),
  ]);
}

describe("a call of absurd size is refused by name, and nothing is held", () => {
  const most = Number.MAX_SAFE_INTEGER;
  test.each<[string, string, object, string, RegExp]>([
    ["max_tokens", "chat/completions", { ...hello, max_tokens: most }, "max_tokens", /10000000/],
    [
      "its newer name",
      "chat/completions",
      { ...hello, max_completion_tokens: most },
      "max_completion_tokens",
      /10000000/,
    ],
    ["times n", "chat/completions", { ...hello, max_tokens: 1_000_000, n: 128 }, "max_tokens", /128 answers/],
    ["best_of", "completions", { model: "scripted", prompt: "a", best_of: 1e9 }, "best_of", /128/],
    ["prompts", "completions", { model: "scripted", prompt: Array(2_049).fill("a") }, "prompt", /2048/],
  ])("%s", async (_name, path, body, param, says) => {
    await using at = await testGateway();
    const answer = await post(at, `/v1/${path}`, body);
    expect(answer).toMatchObject({ status: 400, body: { error: { param, message: expect.stringMatching(says) } } });
    expect((await rows(at)).settlements).toEqual([]);
    expect(at.engine.seen).toEqual([]);
  });

  test("a price at which a call would cost a million", async () => {
    await using at = await testGateway();
    const nanoPerMillion = 10n ** 18n;
    await at.ledger.setRateCard({
      organisation: at.principal.organisation,
      model: "dear",
      currency: "USD",
      inputNanoPerMillion: nanoPerMillion,
      cachedNanoPerMillion: nanoPerMillion,
      outputNanoPerMillion: nanoPerMillion,
    });
    at.engines.add("dear", at.engines.resolve("scripted")!.engine, { kind: "openai", model: "scripted" });
    const answer = await post(at, "/v1/chat/completions", { ...hello, model: "dear", max_tokens: 10_000 });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: "call_too_dear" } } });
    expect(answer.body.error.message).toContain("1000000.00 USD");
    expect((await rows(at)).settlements).toEqual([]);
  });
});

describe("an account that an older version filled", () => {
  test("settlements go on, the bill and the proof agree", async () => {
    await using at = await testGateway({ script: { usage: { prompt: 500, output: 4 } } });
    await withHugeAccount(at);
    for (let call = 0; call < 3; call++)
      expect((await post(at, "/v1/chat/completions", { ...hello, max_tokens: 10 })).status).toBe(200);
    const { settlements } = await rows(at);
    expect(settlements.map((row) => row["amount_nano"])).toEqual([1528n, 1528n, 1528n]);
    expect(at.alarms.list()).toEqual([]);
    const [account] = (
      await at.db.query<{ balance_nano: bigint }>("select balance_nano from accounts where kind = 'token_cost'")
    ).rows;
    expect(account?.balance_nano).toBe(2n ** 63n - 1_000n + 3n * 1528n);
    // The account was filled by hand, and that is all that the proof finds.
    expect((await at.ledger.prove()).discrepancies).toMatchObject([
      { rule: "journal_orphan", id: "settlement:earlier" },
    ]);
  });

  test("a budget that is set over it is full, and is shown", async () => {
    await using at = await testGateway();
    await withHugeAccount(at);
    const { organisation, project } = at.principal;
    for (let call = 0; call < 3; call++) await post(at, "/v1/chat/completions", { ...hello, max_tokens: 10 });
    await at.gateway.flushed();
    await tamper(at.db, "update settlements set amount_nano = 4000000000000000000");
    await tamper(at.db, "update usage_days set amount_nano = 12000000000000000000");
    const budget = { organisation, currency: "USD", scope: { kind: "project" as const, id: project }, limitNano: 5n };
    expect(await at.ledger.setBudget({ ...budget, period: "month" })).toMatchObject({ spentNano: 12n * 10n ** 18n });
    await expect.poll(async () => (await at.ledger.listBudgets(organisation))[0]!.pending).toBe(false);
    expect((await post(at, "/v1/chat/completions", hello)).status).toBe(429);
    expect((await at.ledger.bill(organisation)).total.tokenCostNano).toBe(12n * 10n ** 18n);
    expect((await at.request("/api/overview")).status).toBe(200);
  });
});

for (const stream of [false, true])
  test(`a call that is given up before its engine answered pays at most its prompt (${stream ? "streamed" : "whole"})`, async () => {
    const wait = Promise.withResolvers<void>();
    await using at = await testGateway({ script: { wait: wait.promise } });
    const gone = new AbortController();
    const call = at
      .client()
      .chat.completions.create({ ...hello, stream, max_tokens: 1_000_000 }, { signal: gone.signal });
    const failed = expect(call).rejects.toThrow();
    while (at.engine.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    gone.abort();
    await failed;
    await at.engine.seen[0]!.gone;
    wait.resolve();
    await at.gateway.close({ graceMs: 10_000 });
    const { settlements } = await rows(at);
    expect(settlements).toMatchObject([{ usage_source: "estimated", output_tokens: 0n, amount_nano: 546n * 3n }]);
  });
