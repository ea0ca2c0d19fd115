// The official OpenAI client. API: chat, responses.
import OpenAI from "openai";

const { ADDRESS, KEY, MODEL, API } = process.env;
const client = new OpenAI({ baseURL: `${ADDRESS}/v1`, apiKey: KEY, maxRetries: 0 });
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const schema = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
const said = {};

if (API === "chat") {
  const messages = [{ role: "user", content: "Name a fruit." }];
  const whole = await client.chat.completions.create({ model: MODEL, messages });
  said.text = whole.choices[0].message.content;
  said.usage = { prompt: whole.usage.prompt_tokens, output: whole.usage.completion_tokens };
  said.streamed = "";
  for await (const chunk of await client.chat.completions.create({ model: MODEL, messages, stream: true }))
    said.streamed += chunk.choices[0]?.delta.content ?? "";
  const runner = client.chat.completions.runTools({
    model: MODEL,
    messages: [{ role: "user", content: "What is the weather in Paris?" }],
    tools: [
      {
        type: "function",
        function: { name: "get_weather", parameters, parse: JSON.parse, function: ({ city }) => `Sunny in ${city}.` },
      },
    ],
  });
  said.final = await runner.finalContent();
  const format = { type: "json_schema", json_schema: { name: "plan", strict: true, schema } };
  const planned = await client.chat.completions.parse({
    model: MODEL,
    messages: [{ role: "user", content: "Plan days in Paris." }],
    response_format: format,
  });
  said.object = planned.choices[0].message.parsed ?? JSON.parse(planned.choices[0].message.content);
} else {
  const whole = await client.responses.create({ model: MODEL, input: "Name a fruit." });
  said.text = whole.output_text;
  said.usage = { prompt: whole.usage.input_tokens, output: whole.usage.output_tokens };
  said.streamed = "";
  const stream = client.responses.stream({ model: MODEL, input: "Name a fruit." });
  for await (const event of stream) if (event.type === "response.output_text.delta") said.streamed += event.delta;
  await stream.finalResponse();
  const tools = [{ type: "function", name: "get_weather", parameters, strict: true }];
  const first = await client.responses.create({ model: MODEL, input: "What is the weather in Paris?", tools });
  const call = first.output.find((item) => item.type === "function_call");
  const result = {
    type: "function_call_output",
    call_id: call.call_id,
    output: `Sunny in ${JSON.parse(call.arguments).city}.`,
  };
  const second = await client.responses.create({
    model: MODEL,
    previous_response_id: first.id,
    input: [result],
    tools,
  });
  said.final = second.output_text;
  const named = await client.responses.create({ model: MODEL, input: "My name is Alice." });
  const asked = { model: MODEL, input: "What is my name?", previous_response_id: named.id };
  said.remembered = (await client.responses.create(asked)).output_text;
  const planned = await client.responses.parse({
    model: MODEL,
    input: "Plan days in Paris.",
    text: { format: { type: "json_schema", name: "plan", strict: true, schema } },
  });
  said.object = planned.output_parsed ?? JSON.parse(planned.output_text);
}
const missing =
  API === "chat"
    ? client.chat.completions.create({ model: "no-such-model", messages: [{ role: "user", content: "x" }] })
    : client.responses.create({ model: "no-such-model", input: "x" });
said.error = await missing.then(
  () => undefined,
  ({ status, message }) => ({ status, message }),
);
console.log(JSON.stringify(said));
