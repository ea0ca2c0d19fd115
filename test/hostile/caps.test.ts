// Output limits: the limit that was priced is the one that is sent to the engine, and output beyond it is cut.
import { describe, expect, test } from "vitest";
import { createOpenAiEngine } from "../../src/engines/index.ts";
import { hello, rows, testGateway } from "../../src/api/testing.ts";
import type { TestGateway } from "../../src/api/testing.ts";

const chat = (at: TestGateway, body: object) =>
  at.request("/v1/chat/completions", { method: "POST", body: JSON.stringify(body) });
const complete = (at: TestGateway, body: object) =>
  at.request("/v1/completions", { method: "POST", body: JSON.stringify({ model: "scripted", prompt: "hi", ...body }) });

const limitsOf = (body: Record<string, unknown>) =>
  Object.entries(body).filter(([name]) => /tokens|predict/i.test(name));

describe("one limit is sent: the one that was priced", () => {
  test("two that differ are refused, and nothing is held", async () => {
    await using at = await testGateway();
    const answer = await chat(at, { ...hello, max_completion_tokens: 1, max_tokens: 1_000_000 });
    expect(answer).toMatchObject({ status: 400, body: { error: { param: "max_tokens", code: "invalid_value" } } });
    expect(answer.body.error.message).toContain("max_completion_tokens");
    expect(at.engine.seen).toHaveLength(0);
    expect((await rows(at)).settlements).toHaveLength(0);
  });

  test.each([
    [{ max_tokens: 7 }, 7],
    [{ max_completion_tokens: 7 }, 7],
    [{ max_tokens: 7, max_completion_tokens: 7 }, 7],
    [{ max_tokens: null, max_completion_tokens: 7 }, 7],
    [{}, 4096],
  ])("%j", async (given, limit) => {
    await using at = await testGateway();
    expect((await chat(at, { ...hello, ...given })).status).toBe(200);
    expect(limitsOf(at.engine.seen[0]!.body)).toEqual([["max_tokens", limit]]);
    expect((await rows(at)).settlements).toMatchObject([{ held_nano: BigInt(546 * 3 + limit * 7) }]);
  });

  test("text completions have one name for it", async () => {
    await using at = await testGateway();
    expect(await complete(at, { max_completion_tokens: 5 })).toMatchObject({ status: 400 });
    expect((await complete(at, { max_tokens: 5 })).status).toBe(200);
    expect(limitsOf(at.engine.seen[0]!.body)).toEqual([["max_tokens", 5]]);
  });

  test("several answers to several prompts are held for each", async () => {
    await using at = await testGateway();
    await complete(at, { prompt: ["a", "b"], n: 2, best_of: 3, max_tokens: 5 });
    const { settlements } = await rows(at);
    // 6 answers of 5 tokens; each is taken to compute both prompts.
    expect(settlements).toMatchObject([{ held_nano: BigInt(6 * (512 + 2) * 3 + 6 * 5 * 7) }]);
  });

  test.each([
    "n_predict",
    "num_predict",
    "max_new_tokens",
    "max_output_tokens",
    "Max_Tokens",
    "MAX_TOKENS",
    "maxTokens",
  ])("%s is no second limit", async (alias) => {
    await using at = await testGateway();
    const answer = await chat(at, { ...hello, max_tokens: 1, [alias]: 1_000_000 });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: "unsupported_parameter", param: alias } } });
    expect(answer.body.error.message).toContain("max_tokens");
    expect(at.engine.seen).toHaveLength(0);
  });

  test("options of another protocol are refused", async () => {
    await using at = await testGateway();
    const answer = await chat(at, { ...hello, max_tokens: 1, options: { num_predict: 1_000_000 } });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: "unsupported_parameter", param: "options" } } });
  });
});

/** A gateway whose engine sends words for ever, whatever limit it was given. */
async function endless(usageSays: boolean) {
  const at = await testGateway();
  const { createServer } = await import("node:http");
  let sent = 0;
  const gone = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    if (request.url!.endsWith("/models"))
      return void response.end(JSON.stringify({ data: [{ id: "endless", object: "model" }] }));
    request.resume();
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.once("close", () => gone.resolve());
    const send = () => {
      if (response.destroyed) return;
      sent++;
      const usage = usageSays ? { usage: { prompt_tokens: 5, completion_tokens: sent } } : {};
      const more = response.write(
        `data: ${JSON.stringify({ id: "e", object: "chat.completion.chunk", created: 1, model: "endless", choices: [{ index: 0, delta: { content: " word" }, finish_reason: null }], ...usage })}\n\n`,
      );
      if (more) setImmediate(send);
      else response.once("drain", send);
    };
    send();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  at.engines.add("endless", createOpenAiEngine({ url: `http://127.0.0.1:${port}/v1`, model: "endless" }), {
    kind: "openai",
    model: "endless",
  });
  await at.ledger.setRateCard({
    organisation: at.principal.organisation,
    model: "endless",
    currency: "USD",
    inputNanoPerMillion: 3_000_000n,
    cachedNanoPerMillion: 1_000_000n,
    outputNanoPerMillion: 7_000_000n,
  });
  return {
    at,
    gone: gone.promise,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await at[Symbol.asyncDispose]();
    },
  };
}

describe("a stream that passes its limit", () => {
  for (const usageSays of [false, true])
    test(`is cut, ends with length, and costs at most its hold (${usageSays ? "its usage says so" : "counted by its chunks"})`, async () => {
      await using house = await endless(usageSays);
      const { at } = house;
      const body = {
        ...hello,
        model: "endless",
        max_tokens: 20,
        stream: true,
        stream_options: { include_usage: true },
      };
      const answer = await chat(at, body);
      const chunks = (answer.body as string)
        .split("\n\n")
        .filter((line) => line.startsWith("data: {"))
        .map((line) => JSON.parse(line.slice(6)) as { choices: { finish_reason: string | null }[]; usage?: object });
      expect(chunks.flatMap(({ choices }) => choices.map((choice) => choice.finish_reason)).at(-1)).toBe("length");
      expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 20 } });
      const words = chunks.filter(({ choices }) => choices.length > 0).length;
      expect(words).toBeLessThan(usageSays ? 25 : 60);
      expect(answer.body).toMatch(/data: \[DONE\]\n\n$/);
      await house.gone;
      const { calls, settlements } = await rows(at);
      expect(calls).toMatchObject([{ status: "completed", finish_reason: "length", output_tokens: 20n }]);
      expect(settlements[0]!["amount_nano"] <= settlements[0]!["held_nano"]).toBe(true);
      expect(at.alarms.list().map(({ code }) => code)).toContain("output_over_limit");
      expect((await at.ledger.prove()).discrepancies).toEqual([]);
    });

  test("one that keeps to it is passed on whole, however few or many chunks it comes in", async () => {
    for (const chunks of [Array.from("x".repeat(400)), ["y".repeat(900)], Array.from({ length: 100 }, () => " word")]) {
      await using at = await testGateway({ script: { chunks, usage: { prompt: 5, output: 100 } } });
      const answer = await chat(at, { ...hello, max_tokens: 100, stream: true });
      expect(answer.body).toContain('"finish_reason":"stop"');
      expect(at.alarms.list()).toEqual([]);
    }
  });

  test("several answers share what was held for all of them", async () => {
    await using at = await testGateway({ script: { chunks: Array.from({ length: 30 }, () => " word") } });
    const answer = await chat(at, { ...hello, n: 3, max_tokens: 10, stream: true });
    expect(answer.body).toContain('"finish_reason":"stop"');
  });
});

describe("a whole answer that passes its limit", () => {
  test("is trimmed to what was asked, says length, and costs at most its hold", async () => {
    const script = { chunks: ["word ".repeat(1000)], usage: { prompt: 5, output: 1000 } };
    await using at = await testGateway({ script });
    const { status, body } = await chat(at, { ...hello, max_tokens: 10 });
    expect(status).toBe(200);
    expect(body.choices[0].finish_reason).toBe("length");
    expect(body.choices[0].message.content.length).toBe(50);
    expect(body.usage).toMatchObject({ prompt_tokens: 5, completion_tokens: 10 });
    const { calls, settlements } = await rows(at);
    expect(calls).toMatchObject([{ status: "completed", finish_reason: "length", output_tokens: 10n }]);
    expect(settlements).toMatchObject([{ amount_nano: 85n, suspense_nano: 6930n }]);
    expect(at.alarms.list().map(({ code }) => code)).toContain("output_over_limit");
  });

  test("also where the engine says nothing of usage", async () => {
    await using at = await testGateway({ script: { chunks: ["word ".repeat(10_000)], usage: null } });
    const { body } = await chat(at, { ...hello, max_tokens: 10 });
    expect(body.choices[0].finish_reason).toBe("length");
    expect(body.choices[0].message.content.length).toBeLessThan(1000);
    expect((await rows(at)).settlements).toMatchObject([{ output_tokens: 10n, usage_source: "counted" }]);
  });

  test("keeps everything else that the engine said", async () => {
    const logprobs = { content: [{ token: "word", logprob: -0.5 }] };
    const whole = {
      id: "c1",
      object: "chat.completion",
      created: 1,
      model: "m",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "word ".repeat(1000), reasoning: "so ".repeat(10), annotations: [] },
          logprobs,
          finish_reason: "stop",
        },
      ],
      usage: { prompt_tokens: 5, completion_tokens: 1000, total_tokens: 1005 },
    };
    await using at = await testGateway({ script: { raw: { body: JSON.stringify(whole) } } });
    const { body } = await chat(at, { ...hello, max_tokens: 10 });
    expect(body.choices[0]).toMatchObject({ finish_reason: "length", logprobs, message: { annotations: [] } });
    expect(body.choices[0].message.content.length).toBeLessThan(100);
    expect(body.choices[0].message).not.toHaveProperty("reasoning_content");
    expect(body.choices[0].message.reasoning.length).toBeLessThan(30);
  });
});
