// OpenAI's official client over Responses against the whole server, unchanged: text, streams, tools, structured output, thought, errors.
import OpenAI from "openai";
import { expect, test } from "vitest";
import { testGateway } from "../api/testing.ts";

const hello = { model: "scripted", input: "hi" };
const tool = {
  type: "function" as const,
  name: "weather",
  description: "Tells the weather",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  strict: false,
};

test("a whole answer, priced in its headers and told with what is billed", async () => {
  await using at = await testGateway();
  const { data, response } = await at.client().responses.create(hello).withResponse();
  expect(data.output_text).toBe("Hello, world.");
  expect(data).toMatchObject({ status: "completed", usage: { input_tokens: 10, output_tokens: 4, total_tokens: 14 } });
  expect(response.headers.get("x-lineshaft-price-nano")).toBe(String(10 * 3 + 4 * 7));
  expect(at.engine.seen[0]!.body).toMatchObject({ messages: [{ role: "user", content: "hi" }] });
  const { body } = await at.request(`/api/calls/${response.headers.get("x-lineshaft-call")}`);
  expect(body).toMatchObject({ endpoint: "responses", status: "completed" });
});

test("a stream tells the text, and at its end the usage", async () => {
  await using at = await testGateway();
  let text = "";
  const types: string[] = [];
  for await (const event of await at.client().responses.create({ ...hello, stream: true })) {
    expect(event.sequence_number).toBe(types.length);
    types.push(event.type);
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "response.completed") expect(event.response.usage).toMatchObject({ output_tokens: 4 });
  }
  expect(text).toBe("Hello, world.");
  expect(types.slice(0, 2)).toEqual(["response.created", "response.in_progress"]);
  expect(types.at(-1)).toBe("response.completed");
});

test.each([true, false])("a tool is called and its result answered (stream: %s)", async (stream) => {
  await using at = await testGateway();
  at.engine.next({ toolCalls: [{ name: "weather", arguments: '{"city":"Kiel"}' }] });
  const client = at.client();
  const asked = { ...hello, tools: [tool] };
  const first = stream ? await client.responses.stream(asked).finalResponse() : await client.responses.create(asked);
  const [call] = first.output;
  expect(call).toMatchObject({ type: "function_call", name: "weather", arguments: '{"city":"Kiel"}' });
  const { call_id } = call as OpenAI.Responses.ResponseFunctionToolCall;
  const second = await client.responses.create({
    ...asked,
    input: [
      { role: "user", content: "hi" },
      ...(first.output as OpenAI.Responses.ResponseInputItem[]),
      { type: "function_call_output", call_id, output: "rain" },
    ],
  });
  expect(second.output_text).toBe("Hello, world.");
  expect(at.engine.seen[1]!.body["messages"]).toEqual([
    { role: "user", content: "hi" },
    {
      role: "assistant",
      content: null,
      tool_calls: [{ id: call_id, type: "function", function: { name: "weather", arguments: '{"city":"Kiel"}' } }],
    },
    { role: "tool", tool_call_id: call_id, content: "rain" },
  ]);
});

test("a promised schema is checked, and a server tool that was left out is named", async () => {
  await using at = await testGateway();
  const text = {
    format: { type: "json_schema" as const, name: "x", strict: true, schema: { type: "object", required: ["a"] } },
  };
  at.engine.next({ chunks: ['{"a":1}'] }, { chunks: ['{"b":1}'] });
  const { response } = await at
    .client()
    .responses.create({ ...hello, text, tools: [tool, { type: "web_search" }] })
    .withResponse();
  expect(response.headers.get("x-lineshaft-left-out")).toBe("tools[1].web_search");
  expect(at.engine.seen[0]!.body["tools"]).toHaveLength(1);
  await expect(at.client().responses.create({ ...hello, text })).rejects.toMatchObject({ code: "output_invalid" });
});

test("a refusal has OpenAI's shape and the client's own field; a failure in mid-stream is response.failed", async () => {
  await using at = await testGateway();
  await expect(at.client().responses.create({ ...hello, model: "scriptet" })).rejects.toMatchObject({ status: 404 });
  await expect(at.client().responses.create({ ...hello, max_output_tokens: 1e9 })).rejects.toMatchObject({
    status: 400,
    param: "max_output_tokens",
  });
  at.engine.next({ cut: 2 });
  const events: OpenAI.Responses.ResponseStreamEvent[] = [];
  for await (const event of await at.client().responses.create({ ...hello, stream: true })) events.push(event);
  expect(events.at(-1)).toMatchObject({
    type: "response.failed",
    sequence_number: events.length - 1,
    response: { status: "failed", error: { code: "engine_unreachable" } },
  });
});
