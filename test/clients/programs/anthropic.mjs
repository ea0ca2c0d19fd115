// The official Anthropic client. API: messages.
import Anthropic from "@anthropic-ai/sdk";

const { ADDRESS, KEY, MODEL } = process.env;
const client = new Anthropic({ baseURL: ADDRESS, apiKey: KEY, maxRetries: 0 });
const said = {};
const usual = { model: MODEL, max_tokens: 1_000 };
const messages = [{ role: "user", content: "Name a fruit." }];
const whole = await client.messages.create({ ...usual, messages });
said.text = whole.content[0].text;
said.usage = { prompt: whole.usage.input_tokens, output: whole.usage.output_tokens };
said.streamed = "";
const stream = client.messages.stream({ ...usual, messages });
stream.on("text", (text) => (said.streamed += text));
await stream.finalMessage();
const asked = [{ role: "user", content: "What is the weather in Paris?" }];
const tools = [
  {
    name: "get_weather",
    input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];
const first = await client.messages.create({ ...usual, messages: asked, tools });
const call = first.content.find((block) => block.type === "tool_use");
const result = { type: "tool_result", tool_use_id: call.id, content: `Sunny in ${call.input.city}.` };
const second = await client.messages.create({
  ...usual,
  tools,
  messages: [...asked, { role: "assistant", content: first.content }, { role: "user", content: [result] }],
});
said.final = second.content.find((block) => block.type === "text").text;
said.counted = (await client.messages.countTokens({ model: MODEL, messages })).input_tokens;
said.models = (await client.models.list()).data.map(({ id }) => id);
said.error = await client.messages.create({ ...usual, model: "no-such-model", messages }).then(
  () => undefined,
  ({ status, message }) => ({ status, message }),
);
console.log(JSON.stringify(said));
