// What the protocol refuses, by name and in OpenAI's shape; what it lets through to an engine.
import { z } from "@hono/zod-openapi";
import { describe, expect, test } from "vitest";
import type { LineshaftError } from "../../../errors/index.ts";
import type { Capabilities } from "../../../engines/index.ts";
import { fieldsOfSoftware } from "../../../engines/wire/chat/fields.ts";
import type { Software } from "../../../engines/wire/chat/fields.ts";
import { limits } from "../../limits.ts";
import { fieldsFor } from "./fields.ts";
import { chat } from "../chat/index.ts";
import { completions } from "../completions/index.ts";
import { decodeAs } from "../testing.ts";
import { programOf } from "../program.ts";

const messages = [{ role: "user", content: "hi" }];
const body = (more: object = {}) => ({ model: "m", messages, ...more });
const tool = { type: "function", function: { name: "f", parameters: {} } };

describe("a chat body", () => {
  test.each<[string, object, string]>([
    ["no model", { messages }, "model"],
    ["no messages", { model: "m" }, "messages"],
    ["empty messages", body({ messages: [] }), "messages"],
    ["a role that is none", body({ messages: [{ role: "robot", content: "" }] }), "messages[0].role"],
    ["content of a wrong kind", body({ messages: [...messages, { role: "user", content: 5 }] }), "messages[1].content"],
    [
      "a part without a type",
      body({ messages: [{ role: "user", content: [{ text: "x" }] }] }),
      "messages[0].content[0].type",
    ],
    ["too hot", body({ temperature: 3 }), "temperature"],
    ["no tokens at all", body({ max_tokens: 0 }), "max_tokens"],
    ["half a token", body({ max_completion_tokens: 1.5 }), "max_completion_tokens"],
    ["a stream that is none", body({ stream: "yes" }), "stream"],
    ["options of a stream that is none", body({ stream_options: { include_usage: true } }), "stream_options"],
    ["a stop of a wrong kind", body({ stop: [1] }), "stop[0]"],
    ["a tool without a name", body({ tools: [{ type: "function", function: {} }] }), "tools[0].function.name"],
    ["a choice without tools", body({ tool_choice: "required" }), "tool_choice"],
    [
      "a choice of an unknown tool",
      body({ tools: [tool], tool_choice: { type: "function", function: { name: "g" } } }),
      "tool_choice",
    ],
    ["a response format that is none", body({ response_format: { type: "xml" } }), "response_format.type"],
  ])("%s is refused by name", (_name, wrong, param) => {
    expect(() => decodeAs(chat, wrong)).toThrow(expect.objectContaining({ status: 400, param }));
  });

  test("is used as it came, unknown fields included", () => {
    const given = body({ stream: true, stream_options: { include_usage: true }, min_p: 0.1, temperature: null });
    expect(decodeAs(chat, given).received?.object).toBe(given);
  });

  test.each([null, [], "text", 5])("%j is no body", (wrong) => {
    expect(() => decodeAs(chat, wrong)).toThrow(expect.objectContaining({ status: 400 }));
  });
});

const served = (software: Software, allowFields: string[] = []) => ({
  name: "m",
  kind: "openai" as const,
  allowFields,
  facts: { models: [], capabilities: { fields: fieldsOfSoftware(software) } as unknown as Capabilities },
});
const worker = {
  name: "m",
  kind: "embedded" as const,
  allowFields: [],
  facts: {
    models: [],
    capabilities: { fields: ["model", "messages", "temperature"] } as unknown as Capabilities,
  },
};
const refused = (given: object, endpoint: Parameters<typeof fieldsFor>[2] = served("other")): LineshaftError => {
  try {
    fieldsFor("chat", given as Record<string, unknown>, endpoint);
  } catch (error) {
    return error as LineshaftError;
  }
  throw new Error(`${Object.keys(given).join(", ")} passed`);
};

describe("fields that no engine is sent", () => {
  test.each([
    ...["lineshaft", "kv_transfer_params", "cache_salt", "priority", "nvext", "vllm_xargs", "id_slot", "keep_alive"],
    ...["models", "provider", "route", "transforms", "plugins", "web_search_options", "fallbacks", "extra_body"],
    ...["n_predict", "num_predict", "max_new_tokens", "max_output_tokens", "options", "custom_logit_processor"],
    ...["chat_template", "chatTemplate", "prompt_embeds", "mm_processor_kwargs", "media_io_kwargs", "use_beam_search"],
    ...["Max_Tokens", "maxTokens", "MODELS", "nPredict", "lora_path", "__proto__", "constructor", "toString"],
  ])("%s is refused by name, and the message says what to do", (field) => {
    const given = JSON.parse(`{"model":"m","messages":[],${JSON.stringify(field)}:{"a":1}}`) as object;
    for (const software of ["vllm", "sglang", "llamacpp", "ollama", "openai", "other"] as const) {
      const error = refused(given, served(software));
      expect(error).toMatchObject({ status: 400, code: "unsupported_parameter", param: field });
      expect(error.message).toMatch(/Leave|Use|Did you mean/);
    }
  });
});

describe("fields for an engine", () => {
  test("what every engine has passes as the same object", () => {
    const given = body({ top_p: 0.5, logprobs: true, seed: 1, stop: ["a"] });
    for (const software of ["vllm", "sglang", "llamacpp", "ollama", "openai", "other"] as const)
      expect(fieldsFor("chat", given, served(software))).toBe(given);
  });

  test("several answers are refused for Ollama, which gives one without a word, and one answer is what it gives", () => {
    expect(refused(body({ n: 3 }), served("ollama"))).toMatchObject({ code: "unsupported_parameter", param: "n" });
    expect(fieldsFor("chat", body({ n: 1 }), served("ollama"))).not.toHaveProperty("n");
    const given = body({ n: 3 });
    expect(fieldsFor("chat", given, served("vllm"))).toBe(given);
  });

  test.each<[Software, object]>([
    ["vllm", { guided_json: {}, chat_template_kwargs: { enable_thinking: false }, top_k: 40, min_tokens: 3 }],
    ["sglang", { regex: "a+", separate_reasoning: true }],
    ["llamacpp", { grammar: 'root ::= "a"', repeat_penalty: 1.1 }],
    ["openai", { reasoning_effort: "low", verbosity: "low", prompt_cache_key: "k", metadata: { a: "b" } }],
    ["other", { thinking: { type: "enabled", budget_tokens: 9 }, min_p: 0.1, reasoning: { effort: "high" } }],
  ])("%s is sent what clients send it: %j", (software, more) => {
    const given = body(more);
    expect(fieldsFor("chat", given, served(software))).toBe(given);
  });

  test("what asks for nothing is dropped where it is not honoured", () => {
    expect(fieldsFor("chat", body({ temperature: 1 }), worker)).toEqual(body({ temperature: 1 }));
    const nothing = { n: 1, logprobs: false, user: "u", store: false, logit_bias: {}, reasoning_effort: "low" };
    expect(fieldsFor("chat", body({ temperature: null, ...nothing, service_tier: "auto" }), worker)).toEqual(body());
  });

  test.each([{ n: 2 }, { logprobs: true }, { audio: {} }, { seed: 1 }, { modalities: ["audio"] }])(
    "%j is refused by an engine that does not honour it",
    (more) => {
      expect(refused(body(more), worker)).toMatchObject({ param: Object.keys(more)[0] });
    },
  );

  test.each([{ store: true }, { service_tier: "priority" }, { prediction: {} }, { audio: {} }, { unheard_of: 1 }])(
    "%j is refused unless the engine's owner allows it",
    (more) => {
      const [field] = Object.keys(more) as [string];
      expect(refused(body(more)).message).toContain(`--allow-field ${field}`);
      const given = body(more);
      expect(fieldsFor("chat", given, served("other", [field]))).toBe(given);
    },
  );

  test.each<[object, string]>([
    [{ top_k: "many" }, "top_k"],
    [{ thinking: { type: "enabled", max_tokens: 1e6 } }, "thinking"],
    [{ chat_template_kwargs: { a: { b: 1 } } }, "chat_template_kwargs.a"],
    [{ chat_template_kwargs: { chat_template: "{{ messages * 9 }}" } }, "chat_template_kwargs.chat_template"],
    [{ chat_template_kwargs: { enable_thinking: true, tokenize: false } }, "chat_template_kwargs.tokenize"],
    [{ thinking_budget: 1_000_001 }, "thinking_budget"],
    [{ metadata: { a: 5 } }, "metadata.a"],
    [{ logit_bias: { "1": 1e300 } }, "logit_bias.1"],
  ])("%j is refused for its type", (more, param) => {
    expect(refused(body(more))).toMatchObject({ status: 400, code: "invalid_value", param });
  });

  test("a field that an owner has allowed in an earlier version is not sent where no engine is ever sent it", () => {
    for (const field of ["chat_template", "use_beam_search"])
      expect(refused(body({ [field]: "x" }), served("vllm", [field]))).toMatchObject({ param: field });
  });

  test("fields of the other protocol are refused", () => {
    expect(() => fieldsFor("completions", { prompt: "a", max_completion_tokens: 5 }, served("other"))).toThrow(
      expect.objectContaining({ param: "max_completion_tokens" }),
    );
    expect(refused(body({ prompt: "a" }))).toMatchObject({ param: "prompt" });
  });
});

describe("the program of a client's session", () => {
  test.each<[Record<string, string>, string | undefined]>([
    [{}, undefined],
    [{ "x-lineshaft-program": "mine", "x-claude-code-session-id": "cc" }, "client/mine"],
    [{ "x-claude-code-session-id": "cc", "x-claude-code-agent-id": "sub" }, "client/cc"],
    [{ "thread-id": "t", "x-codex-parent-thread-id": "root" }, "client/root"],
    [{ session_id: "s" }, "client/s"],
    [{ "x-session-id": "child", "x-parent-session-id": "parent" }, "client/parent"],
    [{ "x-lineshaft-program": "run_0123" }, "client/run_0123"],
    [{ "x-lineshaft-program": "with space" }, undefined],
    [{ "x-lineshaft-program": "x".repeat(201) }, undefined],
  ])("%j", (headers, program) => expect(programOf(headers)).toBe(program));
});

describe("how much is looked at", () => {
  /** What the schema library reports while `judge` runs. */
  function reportsOf(judge: () => void): number {
    let reports = 0;
    z.config({
      customError: () => {
        reports++;
        return undefined;
      },
    });
    try {
      judge();
    } finally {
      z.config({ customError: undefined });
    }
    return reports;
  }
  const numbers = (count: number) => Array.from({ length: count }, () => 0.5);
  const few = 50;

  test.each<[string, object]>([
    ["messages", body({ messages: numbers(few * 1000) })],
    ["content", body({ messages: [{ role: "user", content: numbers(few * 1000) }] })],
    ["stop", body({ stop: numbers(few * 1000) })],
    ["tools", body({ tools: numbers(few * 1000) })],
    ["calls of tools", body({ messages: [{ role: "assistant", tool_calls: numbers(few * 1000) }] })],
  ])("of wrong %s the first is reported", (_, given) => {
    expect(reportsOf(() => expect(() => decodeAs(chat, given)).toThrow())).toBeLessThan(few);
  });

  test.each<[string, unknown]>([
    ["stop_token_ids", numbers(4000)],
    ["bad_words", numbers(4000)],
    ["documents", numbers(1000)],
    ["metadata", { ...numbers(few * 100) }],
    ["chat_template_kwargs", Object.fromEntries(numbers(few * 1000).map((_, i) => [`k${i}`, []]))],
    ["logit_bias", Object.fromEntries(numbers(few * 1000).map((_, i) => [`k${i}`, []]))],
  ])("of a wrong %s little is reported", (field, value) => {
    const judge = () => fieldsFor("chat", body({ [field]: value }), served("other", [field]));
    const reports = reportsOf(() => expect(judge).toThrow(expect.objectContaining({ code: "invalid_value" })));
    expect(reports).toBeLessThan(few);
  });

  test("numbers are values like others, but for the token ids of a prompt", () => {
    const many = Array.from({ length: limits.bodyValues }, () => 7);
    expect(() => decodeAs(chat, body({ stop_token_ids: many }))).toThrow(/holds more than/);
    expect(() => decodeAs(chat, body({ metadata: { prompt: many } }))).toThrow(/holds more than/);
    expect(() => decodeAs(completions, { model: "m", prompt: { a: many } })).toThrow(/holds more than/);
    for (const prompt of [many, [many, many]]) expect(decodeAs(completions, { model: "m", prompt })).toBeDefined();
  });
});
