// The official `openai` client, unchanged, against a real instance with the real model: the calls that a user's
// program makes first. Texts of a small model differ between machines, so tests look at shapes, limits and counts, never at wording.
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { startInstance, type Instance } from "../setup/instance.ts";

let instance: Instance;
let client: OpenAI;
let model: string;

beforeAll(async () => {
  instance = await startInstance();
  client = new OpenAI({ baseURL: `${instance.address}/v1`, apiKey: instance.key, maxRetries: 0 });
  model = (await client.models.list()).data[0]!.id;
});
afterAll(() => instance[Symbol.asyncDispose]());

const ask = (content: string): OpenAI.ChatCompletionMessageParam[] => [{ role: "user", content }];

const weather: OpenAI.ChatCompletionTool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Weather of a city",
    parameters: {
      type: "object",
      properties: {
        city: { type: "string", enum: ["Oslo", "Lima"] },
        days: { type: "integer", minimum: 1, maximum: 7 },
      },
      required: ["city", "days"],
      additionalProperties: false,
    },
  },
};

describe("chat completions", () => {
  test("answers whole, with usage", async () => {
    const answer = await client.chat.completions.create({
      model,
      messages: ask("Say hello."),
      max_tokens: 8,
      temperature: 0,
    });
    expect(answer.object).toBe("chat.completion");
    expect(answer.choices[0]!.message.role).toBe("assistant");
    expect(answer.usage!.completion_tokens).toBeLessThanOrEqual(8);
    expect(answer.usage!.total_tokens).toBe(answer.usage!.prompt_tokens + answer.usage!.completion_tokens);
  });

  test("streams the same text as it answers whole, and usage only when asked", async () => {
    const body = { model, messages: ask("Count from one to five."), max_tokens: 16, temperature: 0 };
    const whole = await client.chat.completions.create(body);
    let text = "";
    let usage: OpenAI.CompletionUsage | null | undefined;
    const options = { include_usage: true };
    for await (const chunk of await client.chat.completions.create({
      ...body,
      stream: true,
      stream_options: options,
    })) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(whole.choices[0]!.message.content);
    expect(usage?.completion_tokens).toBe(whole.usage!.completion_tokens);
    for await (const chunk of await client.chat.completions.create({ ...body, stream: true }))
      expect(chunk.usage ?? null).toBeNull();
  });

  test("a seed makes sampling repeatable", async () => {
    const body = { model, messages: ask("Invent a name."), max_tokens: 12, temperature: 1, seed: 7 };
    const first = await client.chat.completions.create(body);
    const second = await client.chat.completions.create(body);
    expect(second.choices[0]!.message.content).toBe(first.choices[0]!.message.content);
  });

  test("stops before a stop string and says so", async () => {
    const body = { model, messages: ask("Write: alpha, beta, gamma"), max_tokens: 40, temperature: 0 };
    const whole = (await client.chat.completions.create(body)).choices[0]!.message.content!;
    const stop = whole.slice(3, 6);
    const stopped = await client.chat.completions.create({ ...body, stop });
    expect(stopped.choices[0]!.message.content).toBe(whole.slice(0, whole.indexOf(stop)));
    expect(stopped.choices[0]!.finish_reason).toBe("stop");
  });

  test.each(["max_tokens", "max_completion_tokens"])("%s ends an answer with finish_reason length", async (field) => {
    const answer = await client.chat.completions.create({
      model,
      messages: ask("Tell a long story."),
      [field]: 4,
      temperature: 0,
    });
    expect(answer.choices[0]!.finish_reason).toBe("length");
    expect(answer.usage!.completion_tokens).toBe(4);
  });

  test("the second turn of a conversation computes only what is new", async () => {
    const first = ask(`Remember this list: ${Array.from({ length: 120 }, (_, index) => `item ${index}`).join(", ")}.`);
    const answer = await client.chat.completions.create({ model, messages: first, max_tokens: 8, temperature: 0 });
    const second = [...first, answer.choices[0]!.message, ...ask("Thanks.")] as OpenAI.ChatCompletionMessageParam[];
    const { usage } = await client.chat.completions.create({ model, messages: second, max_tokens: 4, temperature: 0 });
    expect(usage!.prompt_tokens_details!.cached_tokens!).toBeGreaterThan(answer.usage!.prompt_tokens - 64);
  });

  test("a client that leaves ends its call, which is recorded with what it used", async () => {
    const leave = new AbortController();
    // The small model tells it for seconds.
    const body = { model, messages: ask("Tell a very long story."), max_tokens: 600, temperature: 0 };
    const stream = await client.chat.completions.create({ ...body, stream: true }, { signal: leave.signal });
    for await (const _chunk of stream) break;
    leave.abort();
    await expect.poll(() => newestCall()).toMatchObject({ status: "cancelled" });
    const call = await newestCall();
    expect(call.prompt_tokens).toBeGreaterThan(0);
    expect(call.output_tokens).toBeLessThan(600);
    expect(BigInt(call.price_nano)).toBeGreaterThan(0n);
  });
});

async function newestCall(): Promise<{
  status: string;
  prompt_tokens: number;
  output_tokens: number;
  price_nano: string;
}> {
  const response = await fetch(`${instance.address}/api/calls?limit=1`, {
    headers: { authorization: `Bearer ${instance.key}` },
  });
  return ((await response.json()) as { data: Awaited<ReturnType<typeof newestCall>>[] }).data[0]!;
}

describe("structured output", () => {
  test("zod's schema holds, nullables and optionals among it", async () => {
    const Decision = z.object({
      mode: z.enum(["heat", "power", "none"]),
      confidence: z.number().int().min(0).max(100),
      note: z.string().max(40).nullable(),
      tags: z.array(z.enum(["a", "b"])).max(3),
    });
    const answer = await client.chat.completions.create({
      model,
      messages: ask("Decide: the machine is hot."),
      max_tokens: 200,
      temperature: 0,
      response_format: {
        type: "json_schema",
        json_schema: { name: "decision", strict: true, schema: z.toJSONSchema(Decision) },
      },
    });
    expect(answer.choices[0]!.finish_reason).toBe("stop");
    expect(Decision.safeParse(JSON.parse(answer.choices[0]!.message.content!)).success).toBe(true);
  });

  test("a keyword that cannot be enforced is refused by its name", async () => {
    const schema = {
      type: "object",
      properties: { a: { type: "array", items: { type: "string" }, uniqueItems: true } },
    };
    const refused = client.chat.completions.create({
      model,
      messages: ask("x"),
      max_tokens: 8,
      response_format: { type: "json_schema", json_schema: { name: "a", schema } },
    });
    await expect(refused).rejects.toMatchObject({ status: 400, message: expect.stringContaining("uniqueItems") });
  });

  test("json_object answers an object", async () => {
    const answer = await client.chat.completions.create({
      model,
      messages: ask("Give a JSON object with a name."),
      max_tokens: 300,
      temperature: 0,
      response_format: { type: "json_object" },
    });
    if (answer.choices[0]!.finish_reason === "stop")
      expect(JSON.parse(answer.choices[0]!.message.content!)).toBeTypeOf("object");
    else expect(answer.choices[0]!.finish_reason).toBe("length");
  });
});

describe("tools", () => {
  test.each<[string, OpenAI.ChatCompletionToolChoiceOption]>([
    ["required", "required"],
    ["named", { type: "function", function: { name: "get_weather" } }],
  ])("%s: a call whose arguments obey the schema", async (_name, toolChoice) => {
    const answer = await client.chat.completions.create({
      model,
      messages: ask("Weather in Oslo for two days?"),
      tools: [weather],
      tool_choice: toolChoice,
      max_tokens: 120,
      temperature: 0,
    });
    expect(answer.choices[0]!.finish_reason).toBe("tool_calls");
    const call = answer.choices[0]!.message.tool_calls![0] as OpenAI.ChatCompletionMessageFunctionToolCall;
    expect(call.function.name).toBe("get_weather");
    const Arguments = z.object({ city: z.enum(["Oslo", "Lima"]), days: z.number().int().min(1).max(7) });
    expect(Arguments.safeParse(JSON.parse(call.function.arguments)).success).toBe(true);
  });

  test("streamed deltas add up to the call, and its result can be answered", async () => {
    const messages = ask("Weather in Lima for three days?");
    const stream = client.chat.completions.stream({
      model,
      messages,
      tools: [weather],
      tool_choice: "required",
      max_tokens: 120,
      temperature: 0,
    });
    const { message } = (await stream.finalChatCompletion()).choices[0]!;
    const call = message.tool_calls![0]!;
    const result: OpenAI.ChatCompletionMessageParam = {
      role: "tool",
      tool_call_id: call.id,
      content: '{"sunny": true}',
    };
    const next = await client.chat.completions.create({
      model,
      messages: [...messages, message, result],
      tools: [weather],
      max_tokens: 24,
    });
    expect(next.choices).toHaveLength(1);
  });
});

describe("refusals are clear", () => {
  test.each([
    ["n", { n: 2 }],
    ["logprobs", { logprobs: true }],
    ["logit_bias", { logit_bias: { "50": 1 } }],
  ])("%s", async (param, extra) => {
    const refused = client.chat.completions.create({
      model,
      messages: ask("x"),
      max_tokens: 4,
      ...extra,
    } as OpenAI.ChatCompletionCreateParamsNonStreaming);
    await expect(refused).rejects.toMatchObject({ status: 400, param, message: expect.stringContaining(param) });
  });

  test("an unknown model is answered with the nearest one", async () => {
    const refused = client.chat.completions.create({ model: `${model}x`, messages: ask("x") });
    await expect(refused).rejects.toMatchObject({ status: 404, code: "model_not_found" });
  });

  test("a prompt that does not fit is refused with both numbers", async () => {
    const refused = client.chat.completions.create({ model, messages: ask("word ".repeat(9000)), max_tokens: 4 });
    await expect(refused).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      message: expect.stringMatching(/\d{4,}[^\d]+\d{4,}/),
    });
  });

  test("a wrong key", async () => {
    const stranger = new OpenAI({ baseURL: `${instance.address}/v1`, apiKey: "sk-nobody", maxRetries: 0 });
    await expect(stranger.models.list()).rejects.toMatchObject({ status: 401 });
  });
});

describe("completions", () => {
  test("continue a text", async () => {
    const answer = await client.completions.create({
      model,
      prompt: "One, two, three,",
      max_tokens: 6,
      temperature: 0,
    });
    expect(answer.object).toBe("text_completion");
    expect(answer.choices[0]!.text.length).toBeGreaterThan(0);
    expect(answer.usage!.completion_tokens).toBeLessThanOrEqual(6);
  });

  test("stream", async () => {
    let text = "";
    for await (const chunk of await client.completions.create({
      model,
      prompt: "One, two, three,",
      max_tokens: 6,
      temperature: 0,
      stream: true,
    }))
      text += chunk.choices[0]?.text ?? "";
    expect(text.length).toBeGreaterThan(0);
  });
});
