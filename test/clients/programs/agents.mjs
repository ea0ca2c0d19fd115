// The OpenAI Agents SDK. API: chat, responses.
import {
  Agent,
  OpenAIChatCompletionsModel,
  OpenAIResponsesModel,
  Runner,
  setTracingDisabled,
  tool,
} from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";

const { ADDRESS, KEY, MODEL, API } = process.env;
setTracingDisabled(true);
const client = new OpenAI({ baseURL: `${ADDRESS}/v1`, apiKey: KEY, maxRetries: 0 });
const modelOf = (name) =>
  API === "chat" ? new OpenAIChatCompletionsModel(client, name) : new OpenAIResponsesModel(client, name);
const runner = (name) => new Runner({ model: modelOf(name), tracingDisabled: true });
const agent = new Agent({ name: "fruit", instructions: "Help." });
const said = {};
const whole = await runner(MODEL).run(agent, "Name a fruit.");
said.text = whole.finalOutput;
said.usage = { prompt: whole.rawResponses[0].usage.inputTokens, output: whole.rawResponses[0].usage.outputTokens };
const stream = await runner(MODEL).run(agent, "Name a fruit.", { stream: true });
said.streamed = "";
for await (const text of stream.toTextStream()) said.streamed += text;
await stream.completed;
const get_weather = tool({
  name: "get_weather",
  description: "Weather",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `Sunny in ${city}.`,
});
said.final = (
  await runner(MODEL).run(new Agent({ name: "weather", tools: [get_weather] }), "What is the weather in Paris?")
).finalOutput;
const outputType = z.object({ city: z.string(), days: z.number().int() });
said.object = (await runner(MODEL).run(new Agent({ name: "plan", outputType }), "Plan days in Paris.")).finalOutput;
said.error = await runner("no-such-model")
  .run(agent, "x")
  .then(
    () => undefined,
    ({ status, message }) => ({ status, message }),
  );
console.log(JSON.stringify(said));
