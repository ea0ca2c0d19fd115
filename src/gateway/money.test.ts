// What calls cost: to the nano, once per attempt, never past a budget, whatever breaks. Complaints about other gateways
// that are tested here: over-spending by parallel calls, cut streams that cost nothing, cached tokens at full price, retried
// attempts at the wrong price.
import { describe, expect, test } from "vitest";
import { createOpenAiEngine } from "../engines/index.ts";
import { scriptedEngine } from "../engines/testing.ts";
import { hello, rows, testGateway, testPrices } from "../api/testing.ts";
import type { TestGateway } from "../api/testing.ts";

async function setBudget(at: TestGateway, limitNano: bigint) {
  await at.ledger.setBudget({
    organisation: at.principal.organisation,
    currency: "USD",
    scope: { kind: "project", id: at.principal.project },
    limitNano,
    period: "total",
  });
}

describe("the price of a call", () => {
  // prompt, cached, output, nano by hand: (prompt - cached) * 3 + cached * 1 + output * 7
  const table: [number, number, number, number][] = [
    [10, 0, 4, 58],
    [10, 4, 4, 50],
    [1000, 1000, 1, 1007],
    [1000, 999, 0, 1002],
    [0, 0, 0, 0],
    [123_456, 100_000, 789, 175_891],
  ];
  for (const stream of [false, true])
    test.each(table)(
      `${stream ? "streamed" : "whole"}: %i prompt, %i cached, %i output`,
      async (prompt, cached, output, nano) => {
        await using at = await testGateway({ script: { usage: { prompt, cached, output } } });
        // As long as the engine says: what it claims beyond what was held would not be billed.
        const messages = [{ role: "user" as const, content: "x".repeat(prompt) }];
        const answer = await at.client().chat.completions.create({ ...hello, messages, stream });
        if ("controller" in answer) for await (const _ of answer);
        const { calls, attempts, settlements } = await rows(at);
        expect(calls[0]).toMatchObject({
          price_nano: BigInt(nano),
          status: "completed",
          cached_tokens: BigInt(cached),
        });
        expect(attempts).toHaveLength(1);
        expect(settlements).toMatchObject([
          { attempt: attempts[0]!["id"], amount_nano: BigInt(nano), usage_source: "engine" },
        ]);
        expect((await at.ledger.prove()).discrepancies).toEqual([]);
      },
    );

  test("usage is counted when the engine does not report it, and says so", async () => {
    await using at = await testGateway({ script: { usage: null, chunks: ["12345678", "1234"] } });
    for (const stream of [false, true]) {
      const answer = await at.client().chat.completions.create({ ...hello, stream });
      if ("controller" in answer) for await (const _ of answer);
    }
    const { settlements } = await rows(at);
    // 12 characters are 3 tokens; the prompt's JSON has 32 characters, 8 tokens.
    expect(settlements.map((row) => [row["usage_source"], row["output_tokens"], row["prompt_tokens"]])).toEqual([
      ["counted", 3n, 8n],
      ["counted", 3n, 8n],
    ]);
  });

  test("a client that asked for usage gets it, also where the engine gives none", async () => {
    await using at = await testGateway({ script: { usage: null, chunks: ["12345678", "1234"] } });
    const stream = await at
      .client()
      .chat.completions.create({ ...hello, stream: true, stream_options: { include_usage: true } });
    let usage;
    for await (const chunk of stream) usage = chunk.usage ?? usage;
    expect(usage).toMatchObject({ prompt_tokens: 8, completion_tokens: 3, total_tokens: 11 });
    const whole = await at.client().chat.completions.create(hello);
    expect(whole.usage).toMatchObject({ prompt_tokens: 8, completion_tokens: 3 });
  });

  test("a client that asked for usage gets it of an answer without a single chunk", async () => {
    await using at = await testGateway({
      script: { raw: { contentType: "text/event-stream", body: "data: [DONE]\n\n" } },
    });
    const body = JSON.stringify({ ...hello, stream: true, stream_options: { include_usage: true } });
    const { body: text } = await at.request("/v1/chat/completions", { method: "POST", body });
    const [event] = (text as string).split("\n\n");
    expect(JSON.parse(event!.slice("data: ".length))).toMatchObject({ choices: [], usage: { prompt_tokens: 8 } });
  });
});

describe("budgets", () => {
  test("50 parallel calls never exceed a small budget, and what fits is served", async () => {
    // Held for a call: 2 bytes + template room of prompt at 3, 10 output tokens at 7, 1708 in all. Used: 58. Calls wait for each other.
    await using at = await testGateway({ script: { usage: { prompt: 10, output: 4 } } });
    await setBudget(at, 2_000n);
    const results = await Promise.allSettled(
      Array.from({ length: 50 }, () => at.client().chat.completions.create({ ...hello, max_tokens: 10 })),
    );
    const served = results.filter((result) => result.status === "fulfilled").length;
    const refused = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
    expect(served).toBeGreaterThan(0);
    expect(refused.length).toBeGreaterThan(0);
    expect(
      refused.every(
        (error) =>
          error.status === 429 &&
          (error.code === "budget_held"
            ? error.type === "rate_limit_error"
            : error.code === "budget_exceeded" && error.type === "insufficient_quota"),
      ),
    ).toBe(true);
    expect(refused[0].message).toContain("project");
    // Nothing that was refused reached the engine.
    expect(at.engine.seen).toHaveLength(served);
    const { calls } = await rows(at);
    const [budget] = await at.ledger.listBudgets(at.principal.organisation);
    expect(budget).toMatchObject({ spentNano: BigInt(served * 58) });
    expect(calls.filter((row) => row["status"] === "refused")).toHaveLength(refused.length);
  });

  test("calls one after the other use a budget up to the last that fits", async () => {
    await using at = await testGateway({ script: { usage: { prompt: 600, output: 10 } } });
    await setBudget(at, 6_000n);
    // Worst case 546 * 3 + 70 = 1708, used 1870: three fit below 6000 - 1708.
    for (let call = 0; call < 3; call++) await at.client().chat.completions.create({ ...hello, max_tokens: 10 });
    await expect(at.client().chat.completions.create({ ...hello, max_tokens: 10 })).rejects.toMatchObject({
      status: 429,
    });
  });

  test("a refusal tells clients not to try again by themselves", async () => {
    await using at = await testGateway();
    await setBudget(at, 0n);
    await expect(at.client({ maxRetries: 2 }).chat.completions.create(hello)).rejects.toMatchObject({ status: 429 });
    const { calls } = await rows(at);
    expect(calls).toHaveLength(1);
  });

  test("near its limit the engine is asked to count: a call that fits is not refused by the bound from bytes", async () => {
    await using at = await testGateway();
    const engine = at.engines.resolve("scripted")!.engine;
    engine.tokenize = async () => ({ count: 12 });
    await setBudget(at, 12n * 3n + 10n * 7n);
    const prompt = "x".repeat(1000);
    await at
      .client()
      .chat.completions.create({ ...hello, messages: [{ role: "user", content: prompt }], max_tokens: 10 });
    const { settlements } = await rows(at);
    expect(settlements).toMatchObject([{ held_nano: 106n }]);
  });

  test("of an engine that cannot be stopped, what the bound held too much pays for output: the limit is that of the counted prompt", async () => {
    await using at = await testGateway();
    const messages = [{ role: "user" as const, content: "x".repeat(1000) }];
    // Bounded by 1,000 bytes and the template's room, of which 12 tokens are left: 4,632 nano and 36.
    at.engines.resolve("scripted")!.engine.tokenize = async () => ({ count: 12 });
    await setBudget(at, 4_632n + 200n * 7n);
    await at.client().chat.completions.create({ ...hello, messages });
    expect(at.engine.seen[0]!.body["max_tokens"]).toBe(856);
    const { settlements } = await rows(at);
    expect(settlements).toMatchObject([{ prompt_tokens: 10n, suspense_nano: 0n }]);
    expect((await at.ledger.prove()).discrepancies).toEqual([]);
  });

  test("the count gives the whole limit and no more, and the rest of the hold is free for others", async () => {
    await using at = await testGateway();
    const messages = [{ role: "user" as const, content: "x".repeat(1000) }];
    at.engines.resolve("scripted")!.engine.tokenize = async () => ({ count: 12 });
    await setBudget(at, 4_632n + 200n * 7n);
    await at.client().chat.completions.create({ ...hello, messages, max_tokens: 300 });
    expect(at.engine.seen[0]!.body["max_tokens"]).toBe(300);
    const { settlements } = await rows(at);
    expect(settlements).toMatchObject([{ held_nano: 12n * 3n + 300n * 7n }]);
  });

  test("a prompt that no engine counts is held by its bound, also where the budget has just refused", async () => {
    await using at = await testGateway({ script: { usage: { prompt: 10, output: 4 } } });
    await setBudget(at, 546n * 3n + 300n * 7n);
    // The second comes while the budget is known to have no money for a whole limit, and is given the lower one all the same.
    for (const limit of [300, 291, 283]) {
      await at.client().chat.completions.create(hello);
      expect(at.engine.seen.at(-1)!.body["max_tokens"]).toBe(limit);
    }
  });

  test("what is left of the tightest budget is in the answer", async () => {
    await using at = await testGateway();
    await setBudget(at, 1_000_000n);
    const { response } = await at
      .client()
      .chat.completions.create({ ...hello, max_tokens: 10 })
      .withResponse();
    expect(BigInt(response.headers.get("x-lineshaft-budget-left-nano")!)).toBeLessThan(1_000_000n);
    expect(response.headers.get("x-lineshaft-budget")).toMatch(/^bud_/);
  });

  test("a model without a price is refused, a price of 0 is a price", async () => {
    await using at = await testGateway({ priced: false });
    await expect(at.client().chat.completions.create(hello)).rejects.toMatchObject({
      status: 403,
      code: "model_unpriced",
    });
    expect(at.engine.seen).toHaveLength(0);
    const free = { inputNanoPerMillion: 0n, cachedNanoPerMillion: 0n, outputNanoPerMillion: 0n };
    await at.ledger.setRateCard({
      organisation: at.principal.organisation,
      model: "scripted",
      currency: "USD",
      ...free,
    });
    await at.client().chat.completions.create(hello);
  });

  test("the cap that a call without one is given is what it was priced at", async () => {
    await using at = await testGateway();
    await at.client().chat.completions.create(hello);
    const { settlements } = await rows(at);
    const cap = at.engine.seen[0]!.body["max_tokens"] as number;
    expect(cap).toBe(4096);
    expect(settlements[0]!["held_nano"]).toBe(BigInt((2 + 32 + 512) * 3 + cap * 7));
  });
});

describe("who pays", () => {
  test("is the key's project and nothing a client says", async () => {
    await using at = await testGateway();
    const claims = {
      "x-lineshaft-agent": "agt_rich",
      "x-lineshaft-run": "run_rich",
      "x-lineshaft-program": "run_rich",
    };
    const said = { ...hello, user: "rich", metadata: { agent: "rich", project: "rich", key: "rich" } };
    await at.client().chat.completions.create(said, { headers: claims });
    const { calls, settlements } = await rows(at);
    expect(calls).toMatchObject([
      { agent: null, run: null, program: "client/run_rich", key: at.principal.key, project: at.principal.project },
    ]);
    const { organisation, project, key } = at.principal;
    expect(settlements).toMatchObject([{ organisation, project, key, agent: null, run: null }]);
  });

  test("nothing reaches an engine without a hold, by whatever route", async () => {
    await using at = await testGateway();
    const { body: document } = await at.request("/api/openapi.json");
    const bodies: Record<string, object> = {
      "/v1/chat/completions": hello,
      "/v1/completions": { model: "scripted", prompt: "hi" },
    };
    for (const [path, operations] of Object.entries(document.paths as Record<string, object>))
      for (const method of Object.keys(operations)) {
        if (path === "/api/events") continue;
        const init = method === "get" ? {} : { method: method.toUpperCase(), body: JSON.stringify(bodies[path] ?? {}) };
        await at.request(path.replace(/\{\w+\}/g, "scripted"), init);
      }
    const { settlements } = await rows(at);
    expect(at.engine.seen.map((seen) => seen.path).toSorted()).toEqual(Object.keys(bodies).toSorted());
    expect(settlements).toHaveLength(at.engine.seen.length);
  });
});

describe("attempts", () => {
  async function withSecondEngine(at: TestGateway) {
    const second = await scriptedEngine({ usage: { prompt: 20, output: 5 } });
    at.engines.add("scripted", createOpenAiEngine({ url: second.url, model: "scripted" }), {
      kind: "openai",
      model: "scripted",
      endpoint: "second",
    });
    // Turn by turn: the first one's turn comes first.
    at.engines.configure("scripted", { placement: "round-robin" });
    return second;
  }

  for (const stream of [false, true])
    test(`a failure before the first byte moves on, each attempt with a hold and a row of its own (${stream ? "streamed" : "whole"})`, async () => {
      await using at = await testGateway();
      await using second = await withSecondEngine(at);
      at.engine.next({ fail: { status: 500 } });
      const answer = await at.client().chat.completions.create({ ...hello, stream });
      if ("controller" in answer) for await (const _ of answer);
      const { calls, attempts, settlements } = await rows(at);
      expect(second.seen).toHaveLength(1);
      expect(calls).toMatchObject([{ status: "completed", price_nano: 95n, prompt_tokens: 20n }]);
      expect(attempts.map((row) => [row["number"], row["engine"], row["status"], row["price_nano"]])).toEqual([
        [1, "scripted", "failed", 0n],
        [2, "second", "completed", 95n],
      ]);
      expect(settlements).toHaveLength(2);
      expect(attempts[0]!["decision"]).toMatchObject({
        policy: "round-robin",
        chosen: { endpoint: "scripted" },
        runner_up: { endpoint: "second" },
      });
    });

  test("a connection that breaks is tried once more where it was", async () => {
    await using at = await testGateway();
    at.engine.next({ cut: "before" });
    await at.client().chat.completions.create(hello);
    expect((await rows(at)).attempts.map((row) => row["status"])).toEqual(["failed", "completed"]);
  });

  test("an engine that stays broken is not asked for ever", async () => {
    await using at = await testGateway({ script: { cut: "before" } });
    await expect(at.client().chat.completions.create(hello)).rejects.toMatchObject({
      status: 502,
      code: "engine_unreachable",
    });
    expect(at.engine.seen).toHaveLength(2);
    expect((await rows(at)).calls).toMatchObject([{ status: "failed", price_nano: 0n }]);
  });

  test("a request that is at fault itself is not tried again", async () => {
    await using at = await testGateway();
    await using second = await withSecondEngine(at);
    at.engine.next({
      fail: {
        status: 400,
        body: { error: { message: "too long", code: "context_length_exceeded", param: "messages" } },
      },
    });
    await expect(at.client().chat.completions.create(hello)).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      param: "messages",
    });
    expect(second.seen).toHaveLength(0);
  });

  test("429 of the engine keeps its Retry-After", async () => {
    await using at = await testGateway({ script: { fail: { status: 429, headers: { "retry-after": "7" } } } });
    const error = await at
      .client()
      .chat.completions.create(hello)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ status: 429, code: "engine_busy" });
    expect((error as { headers: Headers }).headers.get("retry-after")).toBe("7");
  });

  test("a stream that is cut in the middle ends with an error and is settled for what passed", async () => {
    await using at = await testGateway({ script: { chunks: ["12345678", "1234", "never"], cut: 2 } });
    const stream = await at.client().chat.completions.create({ ...hello, stream: true });
    let text = "";
    await expect(
      (async () => {
        for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
      })(),
    ).rejects.toMatchObject({ code: expect.stringMatching(/^engine_/) });
    expect(text).toBe("123456781234");
    const { calls, settlements } = await rows(at);
    expect(calls).toMatchObject([{ status: "failed", output_tokens: 3n }]);
    expect(settlements).toMatchObject([{ usage_source: "counted", amount_nano: 8n * 3n + 3n * 7n }]);
  });
});

describe("a client that goes away", () => {
  test("mid-stream: the engine is told, and what passed is settled", async () => {
    let release = () => {};
    const wait = new Promise<void>((resolve) => (release = resolve));
    await using at = await testGateway({ script: { chunks: ["12345678", "1234", "never"], wait, waitAfter: 2 } });
    const stream = await at.client().chat.completions.create({ ...hello, stream: true });
    let text = "";
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      if (text.length === 12) break;
    }
    await at.engine.seen[0]!.gone;
    release();
    await at.gateway.close({ graceMs: 10_000 });
    const { calls, settlements } = await rows(at);
    expect(calls).toMatchObject([{ status: "cancelled", error_code: "client_gone", output_tokens: 3n }]);
    expect(settlements).toMatchObject([{ usage_source: "counted", amount_nano: 8n * 3n + 3n * 7n }]);
  });

  for (const stream of [false, true])
    test(`before the first byte (${stream ? "streamed" : "whole"}): settled for its prompt, as an estimate`, async () => {
      let release = () => {};
      const wait = new Promise<void>((resolve) => (release = resolve));
      await using at = await testGateway({ script: { wait } });
      const gone = new AbortController();
      const call = at.client().chat.completions.create({ ...hello, stream, max_tokens: 10 }, { signal: gone.signal });
      const failed = expect(call).rejects.toThrow();
      while (at.engine.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
      gone.abort();
      await failed;
      await at.engine.seen[0]!.gone;
      release();
      await at.gateway.close({ graceMs: 10_000 });
      const { calls, settlements } = await rows(at);
      expect(calls).toMatchObject([{ status: "cancelled" }]);
      expect(settlements).toMatchObject([{ usage_source: "estimated", output_tokens: 0n }]);
    });

  test("stopping the server cancels and settles what does not end by itself", async () => {
    const never = new Promise<void>(() => {});
    await using at = await testGateway({ script: { chunks: ["12345678", "never"], wait: never, waitAfter: 1 } });
    const stream = await at.client().chat.completions.create({ ...hello, stream: true });
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    const rest = iterator.next().catch((error: unknown) => error);
    await at.gateway.close({ graceMs: 0 });
    await rest;
    const { calls, settlements } = await rows(at);
    expect(calls).toMatchObject([{ status: "cancelled", output_tokens: 2n }]);
    expect(settlements).toHaveLength(1);
    await expect(at.client().chat.completions.create(hello)).rejects.toMatchObject({
      status: 503,
      code: "shutting_down",
    });
  });
});

test("prices in the test table are whole nanos per token", () => {
  expect(Object.values(testPrices).every((price) => price % 1_000_000n === 0n)).toBe(true);
});
