// Engines that lie about usage: a budget pays at most what was held, whatever an engine claims and however the call ends. What is
// claimed beyond it is a payable in suspense with an alarm, and every sum (records, settlements, bill, proof) still agrees.
import { describe, expect, test } from "vitest";
import { hello, rows, testGateway } from "../../src/api/testing.ts";
import { chatOf } from "../../src/gateway/protocols/testing.ts";
import type { TestGateway } from "../../src/api/testing.ts";

/** Prompt of `hello` by its bound: 2 bytes, 32 tokens of template for a message and 512 for the prompt. */
const promptBound = 546;
/** Held for 10 tokens of output: 3 nano a token of prompt, 7 of output. */
const held = BigInt(promptBound * 3 + 10 * 7);

async function expectSumsToAgree(at: TestGateway) {
  const { calls, attempts, settlements } = await rows(at);
  const bill = await at.ledger.bill(at.principal.organisation);
  const sum = (list: Record<string, any>[], of: string) =>
    list.reduce((total, row) => total + BigInt(row[of] as bigint), 0n);
  expect(sum(calls, "price_nano")).toBe(sum(settlements, "amount_nano"));
  expect(sum(attempts, "price_nano")).toBe(sum(settlements, "amount_nano"));
  expect(bill.total.tokenCostNano).toBe(sum(settlements, "amount_nano"));
  for (const [column, billed] of [
    ["prompt_tokens", bill.total.promptTokens],
    ["cached_tokens", bill.total.cachedTokens],
    ["output_tokens", bill.total.outputTokens],
  ] as const) {
    expect(sum(calls, column)).toBe(sum(settlements, column));
    expect(sum(attempts, column)).toBe(sum(settlements, column));
    expect(BigInt(billed)).toBe(sum(settlements, column));
  }
  const suspended = bill.suspense.reduce((total, line) => total + line.amountNano, 0n);
  expect(suspended).toBe(sum(settlements, "suspense_nano"));
  expect(suspended).toBe(sum(attempts, "suspense_nano"));
  expect((await at.ledger.prove()).discrepancies).toEqual([]);
  return { calls, attempts, settlements, bill };
}

async function chat(at: TestGateway, body: object) {
  const response = await at.request("/v1/chat/completions", { method: "POST", body: JSON.stringify(body) });
  return response;
}

describe("usage beyond what was asked", () => {
  for (const stream of [false, true])
    for (const claimed of [1_000_000, 9e15, 1e300])
      test(`${claimed} tokens (${stream ? "streamed" : "whole"}): the budget pays the hold, the excess is in suspense`, async () => {
        await using at = await testGateway({ script: { usage: { prompt: claimed, output: claimed } } });
        await at.ledger.setBudget({
          organisation: at.principal.organisation,
          currency: "USD",
          limitNano: 3_000n,
          period: "total",
          scope: { kind: "project", id: at.principal.project },
        });
        expect((await chat(at, { ...hello, stream, max_tokens: 10 })).status).toBe(200);
        const { settlements, attempts, bill } = await expectSumsToAgree(at);
        expect(settlements).toMatchObject([{ amount_nano: held, prompt_tokens: 546n, output_tokens: 10n }]);
        expect(BigInt(attempts[0]!["claimed_output_tokens"])).toBeGreaterThanOrEqual(1_000_000n);
        expect(bill.suspense).toMatchObject([{ model: "scripted", attempts: 1 }]);
        expect(bill.suspense[0]!.amountNano).toBeGreaterThan(0n);
        const [budget] = await at.ledger.listBudgets(at.principal.organisation);
        expect(budget).toMatchObject({ spentNano: held });
        expect(at.alarms.list()).toMatchObject([{ code: "usage_over_hold", subject: "scripted" }]);
        // The instance goes on: its lists answer, and the next call is admitted by the amount that is really left.
        expect((await at.request("/api/calls")).body.data).toHaveLength(1);
        expect((await chat(at, { ...hello, max_tokens: 10 })).status).toBe(429);
      });

  test("a thinking_budget is beside the limit of output: it is held, and an honest answer is neither cut nor in suspense", async () => {
    const chunks = Array.from({ length: 100 }, () => "word ");
    await using at = await testGateway({ script: { chunks, usage: { prompt: 5, output: 100 } } });
    const { status, body } = await chat(at, { ...hello, max_tokens: 10, enable_thinking: true, thinking_budget: 90 });
    expect([status, body.choices[0].message.content]).toEqual([200, chunks.join("")]);
    expect(at.engine.seen[0]!.body).toMatchObject({ max_tokens: 10, thinking_budget: 90 });
    const { settlements } = await expectSumsToAgree(at);
    expect(settlements).toMatchObject([{ held_nano: BigInt(promptBound * 3 + 100 * 7) }]);
    expect(settlements).toMatchObject([{ output_tokens: 100n, suspense_nano: 0n }]);
    expect(at.alarms.list()).toEqual([]);
  });

  test("a client is told the usage that it pays for", async () => {
    await using at = await testGateway({ script: { usage: { prompt: 1e6, cached: 7, output: 1e6 } } });
    const paid = { prompt_tokens: 546, completion_tokens: 10, total_tokens: 556 };
    expect((await chat(at, { ...hello, max_tokens: 10 })).body.usage).toMatchObject(paid);
    const stream = await chat(at, { ...hello, max_tokens: 10, stream: true, stream_options: { include_usage: true } });
    expect(stream.body).toContain(`"usage":${JSON.stringify(paid).slice(0, -1)}`);
  });

  test("a claim within the hold is billed as it is, also where its prompt is more than the bound", async () => {
    await using at = await testGateway({ script: { usage: { prompt: 600, output: 4 } } });
    await chat(at, { ...hello, max_tokens: 100 });
    const { settlements } = await expectSumsToAgree(at);
    expect(settlements).toMatchObject([{ prompt_tokens: 600n, output_tokens: 4n, amount_nano: 1828n }]);
    expect(at.alarms.list()).toEqual([]);
  });

  test("of a model that is free an endless claim is cut to what can be", async () => {
    await using at = await testGateway({ priced: false, script: { usage: { prompt: 9e15, output: 9e15 } } });
    const free = { inputNanoPerMillion: 0n, cachedNanoPerMillion: 0n, outputNanoPerMillion: 0n };
    const { organisation } = at.principal;
    await at.ledger.setRateCard({ organisation, model: "scripted", currency: "USD", ...free });
    for (let call = 0; call < 3; call++) expect((await chat(at, { ...hello, max_tokens: 10 })).status).toBe(200);
    const { settlements, bill } = await expectSumsToAgree(at);
    expect(settlements[0]).toMatchObject({ prompt_tokens: 546n, output_tokens: 10n, amount_nano: 0n });
    expect(bill.total.outputTokens).toBe(30);
  });
});

describe("whichever way a call ends, a false claim costs at most its hold", () => {
  const lie = { prompt_tokens: 9e15, completion_tokens: 9e15 };
  const event = (choices: object[], more: object = {}) =>
    `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "scripted", choices, ...more })}\n\n`;
  const word = [{ index: 0, delta: { content: "word" }, finish_reason: null }];

  test("failed: the stream breaks off after its claim", async () => {
    const body = event(word) + event([], { usage: lie }) + "data: {broken\n\n";
    await using at = await testGateway({ script: { raw: { contentType: "text/event-stream", body } } });
    await chat(at, { ...hello, max_tokens: 10, stream: true });
    const { calls, settlements } = await expectSumsToAgree(at);
    expect(calls).toMatchObject([{ status: "failed" }]);
    expect(settlements).toMatchObject([{ amount_nano: held }]);
  });

  test("cancelled: its reader leaves after the claim", async () => {
    const body = event(word) + event(word, { usage: lie }) + event(word);
    await using at = await testGateway({ script: { raw: { contentType: "text/event-stream", body } } });
    const answer = await at.gateway.call({
      principal: at.principal,
      asked: chatOf({ ...hello, max_tokens: 1_000, stream: true, stream_options: { include_usage: true } }),
    });
    let chunks = 0;
    for await (const _ of answer.chunks) if (++chunks === 1) break;
    await answer.finished;
    const { calls, settlements } = await expectSumsToAgree(at);
    expect(calls).toMatchObject([{ status: "cancelled" }]);
    expect(settlements[0]!["amount_nano"] <= settlements[0]!["held_nano"]).toBe(true);
  });
});

describe("usage that an engine reports before its answer", () => {
  const event = (choices: object[], more: object = {}) =>
    `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "scripted", choices, ...more })}\n\n`;
  const word = [{ index: 0, delta: { content: "12345678" }, finish_reason: null }];
  const usage = (completion_tokens: number) => ({ usage: { prompt_tokens: 20, completion_tokens } });
  const opening = event([{ index: 0, delta: { role: "assistant" }, finish_reason: null }], usage(1));

  /** Output tokens that are settled when the reader leaves after so many chunks; all of them are read when it does not. */
  async function outputOf(body: string, leavesAfter = Infinity): Promise<unknown> {
    await using at = await testGateway({ script: { raw: { contentType: "text/event-stream", body } } });
    const answer = await at.gateway.call({
      principal: at.principal,
      asked: chatOf({ ...hello, max_tokens: 100, stream: true }),
    });
    let chunks = 0;
    try {
      for await (const _ of answer.chunks) if (++chunks === leavesAfter) break;
    } catch {
      // An answer that breaks off is settled as well.
    }
    await answer.finished;
    const { settlements } = await expectSumsToAgree(at);
    return settlements[0]!["output_tokens"];
  }

  test("its reader leaves: what passed after the report is counted", async () => {
    expect(await outputOf(opening + event(word).repeat(8), 5)).toBe(8n);
  });
  test("it breaks off: what passed after the report is counted", async () => {
    expect(await outputOf(`${opening}${event(word).repeat(4)}data: {broken\n\n`)).toBe(8n);
  });
  test("the same report in every chunk covers nothing that came after the first", async () => {
    expect(await outputOf(opening + event(word, usage(1)).repeat(8), 5)).toBe(8n);
  });
  test("a report that grows with the text is believed", async () => {
    const growing = [1, 2, 3, 4].map((tokens) => event(word, usage(tokens))).join("");
    expect(await outputOf(growing + event(word, usage(5)).repeat(4), 4)).toBe(4n);
  });
  test("an answer that ends by itself costs what its engine said", async () => {
    const end = event([{ index: 0, delta: {}, finish_reason: "stop" }]) + "data: [DONE]\n\n";
    expect(await outputOf(opening + event(word).repeat(4) + event([], usage(3)) + end)).toBe(3n);
  });
});

describe("usage that cannot be read", () => {
  const chunk = (more: object) =>
    `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "scripted", ...more })}\n\n`;
  const text = (content: string, finish: string | null = null) => ({
    choices: [{ index: 0, delta: { content }, finish_reason: finish }],
  });
  const streamed = (...usages: unknown[]) => ({
    raw: {
      contentType: "text/event-stream",
      body: `${chunk(text("12345678"))}${chunk(text("", "stop"))}${usages.map((usage) => chunk({ choices: [], usage })).join("")}data: [DONE]\n\n`,
    },
  });

  test.each<[string, unknown[], { prompt_tokens: bigint; cached_tokens: bigint; output_tokens: bigint }]>([
    [
      "strings",
      [{ prompt_tokens: "5", completion_tokens: "6" }],
      { prompt_tokens: 8n, cached_tokens: 0n, output_tokens: 2n },
    ],
    [
      "objects",
      [{ prompt_tokens: { a: 1 }, completion_tokens: [] }],
      { prompt_tokens: 8n, cached_tokens: 0n, output_tokens: 2n },
    ],
    [
      "negative",
      [{ prompt_tokens: -5, completion_tokens: -1 }],
      { prompt_tokens: 8n, cached_tokens: 0n, output_tokens: 2n },
    ],
    ["an array", [[1, 2]], { prompt_tokens: 8n, cached_tokens: 0n, output_tokens: 2n }],
    [
      "fractions",
      [{ prompt_tokens: 5.4, completion_tokens: 1.5 }],
      { prompt_tokens: 5n, cached_tokens: 0n, output_tokens: 2n },
    ],
    [
      "more cached than prompt",
      [{ prompt_tokens: 5, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 9e15 } }],
      { prompt_tokens: 5n, cached_tokens: 5n, output_tokens: 1n },
    ],
    [
      "counts that fall: the last word counts, never less than an earlier one",
      [
        { prompt_tokens: 9, completion_tokens: 7 },
        { prompt_tokens: 9, completion_tokens: 2 },
      ],
      { prompt_tokens: 9n, cached_tokens: 0n, output_tokens: 7n },
    ],
  ])("%s", async (_name, usages, expected) => {
    await using at = await testGateway({ script: streamed(...usages) });
    await chat(at, { ...hello, max_tokens: 10, stream: true });
    const { settlements } = await expectSumsToAgree(at);
    expect(settlements).toMatchObject([expected]);
  });
});
