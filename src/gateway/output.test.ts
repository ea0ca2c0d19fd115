// An answer that breaks what was asked is an error, whichever engine gave it; an answer that promises nothing is passed on.
import { describe, expect, test } from "vitest";
import type { LineshaftError } from "../errors/index.ts";
import { testDialect } from "../bounded/testing/dialect.ts";
import { checkOutput, outputCheck } from "./output.ts";
import type { AnswerOutput } from "./output.ts";
import { chatOf } from "./protocols/testing.ts";
import { testGateway } from "../api/testing.ts";

const schema = { type: "object", properties: { a: { type: "integer" } }, required: ["a"], additionalProperties: false };
const format = (of: object = schema) => ({ type: "json_schema", json_schema: { name: "x", schema: of } });
const choice = (content: string, finish = "stop"): AnswerOutput => ({ content, finish, tools: [], refused: false });
const check = async (body: object, output: AnswerOutput) => {
  const promised = await outputCheck(chatOf(body), "org");
  if (promised) await checkOutput(promised, [output]);
};

describe("response formats", () => {
  test.each<[object, AnswerOutput]>([
    [{ response_format: format() }, choice('{"a":1}')],
    [{ response_format: format() }, choice('{"a":', "length")],
    [{ response_format: { type: "json_object" } }, choice("{}")],
    [{ response_format: { type: "text" } }, choice("{")],
    [{}, choice("{")],
    // Pydantic's Optional, with a reference.
    [
      {
        response_format: format({
          $defs: { N: { type: "integer" } },
          anyOf: [{ $ref: "#/$defs/N" }, { type: "null" }],
        }),
      },
      choice("null"),
    ],
    // A pattern is not run here, whatever it says.
    [{ response_format: format({ type: "string", pattern: "^(a+)+$" }) }, choice(`"${"a".repeat(40)}b"`)],
    [
      { response_format: format({ patternProperties: { "^x": { type: "integer" } }, additionalProperties: false }) },
      choice('{"y":"text"}'),
    ],
    [{ response_format: format({ $id: "same", type: "integer" }) }, choice("1")],
    [{ response_format: format({ $id: "same", type: "string" }) }, choice('"1"')],
  ])("%j is kept by %j", (body, output) => check(body, output));

  test.each<[object, AnswerOutput]>([
    [{ response_format: format() }, choice('{"a":"1"}')],
    [{ response_format: format() }, choice('{"a":1,"b":2}')],
    [{ response_format: format() }, choice("sorry")],
    [{ response_format: { type: "json_object" } }, choice("{")],
  ])("%j is broken by %j", (body, output) =>
    expect(check(body, output)).rejects.toEqual(expect.objectContaining({ status: 502, code: "output_invalid" })),
  );

  test("an invalid schema is refused before any engine", async () => {
    for (const wrong of [{ type: "nonsense" }, { $ref: "#/nowhere" }, { properties: 5 }])
      await expect(outputCheck(chatOf({ response_format: format(wrong) }), "org")).rejects.toEqual(
        expect.objectContaining({ status: 400, code: "invalid_json_schema", param: "response_format" }),
      );
  });
});

testDialect("the check of an answer", async (schema, value) => {
  try {
    const promised = await outputCheck(chatOf({ response_format: format(schema as object) }), "org");
    await checkOutput(promised!, [choice(JSON.stringify(value))]);
    return "fits";
  } catch (error) {
    if ((error as LineshaftError).status === 400) return { refused: (error as LineshaftError).message };
    return "misfits";
  }
});

const tools = [{ type: "function" as const, function: { name: "order", parameters: schema } }];
const messages = [{ role: "user" as const, content: "hi" }];

describe("over the wire", () => {
  for (const stream of [false, true])
    test(`a broken schema is an error, and is paid for (${stream ? "streamed" : "whole"})`, async () => {
      await using at = await testGateway({ script: { chunks: ['{"a":', '"no"}'] } });
      const call = async () => {
        const answer = await at
          .client()
          .chat.completions.create({ model: "scripted", messages, stream, response_format: format() as never });
        if ("controller" in answer) for await (const _ of answer);
      };
      await expect(call()).rejects.toMatchObject({ code: "output_invalid" });
      await at.gateway.flushed();
      const { rows } = await at.db.query("select status, error_code, price_nano from calls");
      expect(rows).toEqual([{ status: "failed", error_code: "output_invalid", price_nano: 58n }]);
    });

  test.each([
    ["a bare string", '"coal"', false],
    ["arguments that fit", '{"a":1}', true],
    ["no JSON", "{a:1}", false],
  ])("a required tool called with %s", async (_name, args, fits) => {
    await using at = await testGateway({ script: { toolCalls: [{ name: "order", arguments: args }] } });
    for (const stream of [false, true]) {
      const call = async () => {
        const answer = await at
          .client()
          .chat.completions.create({ model: "scripted", messages, stream, tools, tool_choice: "required" });
        if ("controller" in answer) for await (const _ of answer);
      };
      if (fits) await call();
      else await expect(call()).rejects.toMatchObject({ code: "output_invalid" });
    }
  });

  test("a required tool that is not called, and one that is not allowed", async () => {
    await using at = await testGateway();
    const call = () =>
      at.client().chat.completions.create({
        model: "scripted",
        messages,
        tools,
        tool_choice: { type: "function", function: { name: "order" } },
      });
    await expect(call()).rejects.toMatchObject({ status: 502, code: "output_invalid" });
    at.engine.next({ toolCalls: [{ name: "other", arguments: "{}" }] });
    await expect(call()).rejects.toMatchObject({ code: "output_invalid" });
  });

  test("a tool that the model chose itself is passed on as it is", async () => {
    await using at = await testGateway({ script: { toolCalls: [{ name: "order", arguments: '"coal"' }] } });
    const answer = await at.client().chat.completions.create({ model: "scripted", messages, tools });
    expect(answer.choices[0]!.message.tool_calls).toMatchObject([{ function: { name: "order", arguments: '"coal"' } }]);
    expect(answer.choices[0]!.finish_reason).toBe("tool_calls");
  });
});
