// What the protocol refuses, by name and in OpenAI's shape; what it lets through to an engine.
import { describe, expect, test } from "vitest";
import type { Capabilities } from "../../engines/index.ts";
import { fieldsFor, refusePlatformFields } from "./fields.ts";
import { decodeBody } from "./openai.ts";
import { programOf } from "./program.ts";

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
    expect(() => decodeBody("chat", wrong)).toThrow(expect.objectContaining({ status: 400, param }));
  });

  test("is used as it came, unknown fields included", () => {
    const given = body({ stream: true, stream_options: { include_usage: true }, min_p: 0.1, temperature: null });
    expect(decodeBody("chat", given)).toBe(given);
  });

  test.each([null, [], "text", 5])("%j is no body", (wrong) => {
    expect(() => decodeBody("chat", wrong)).toThrow(expect.objectContaining({ status: 400 }));
  });
});

test("hints that belong to the platform are refused from clients", () => {
  for (const field of ["lineshaft", "kv_transfer_params", "cache_salt", "priority", "nvext"])
    expect(() => refusePlatformFields(body({ [field]: {} }))).toThrow(
      expect.objectContaining({ status: 400, code: "unsupported_parameter", param: field }),
    );
});

describe("fields for an engine", () => {
  const some = { fields: ["model", "messages", "temperature"] } as unknown as Capabilities;
  test("one that judges itself is given everything", () => {
    const given = body({ n: 3, logprobs: true, whatever: 1 });
    expect(fieldsFor(given, undefined)).toBe(given);
  });
  test("one that names its fields is given those; what asks for nothing is dropped", () => {
    expect(fieldsFor(body({ temperature: 1 }), some)).toEqual(body({ temperature: 1 }));
    expect(
      fieldsFor(body({ temperature: null, n: 1, logprobs: false, user: "u", store: false, logit_bias: {} }), some),
    ).toEqual(body());
  });
  test.each([{ n: 2 }, { logprobs: true }, { audio: {} }, { seed: 1 }, { modalities: ["audio"] }])(
    "%j is refused",
    (more) => {
      expect(() => fieldsFor(body(more), some)).toThrow(
        expect.objectContaining({ status: 400, code: "unsupported_parameter", param: Object.keys(more)[0] }),
      );
    },
  );
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
