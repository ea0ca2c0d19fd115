// The AI SDK. API: chat, responses, messages, gemini.
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { z } from "zod";

const { ADDRESS, KEY, MODEL, API } = process.env;
const options = { baseURL: `${ADDRESS}/v1`, apiKey: KEY };
const model = (name) => {
  if (API === "chat")
    return createOpenAICompatible({ name: "lineshaft", supportsStructuredOutputs: true, ...options })(name);
  if (API === "responses") return createOpenAI(options)(name);
  if (API === "messages") return createAnthropic(options)(name);
  return createGoogleGenerativeAI({ ...options, baseURL: `${ADDRESS}/v1beta` })(name);
};
const said = {};
const whole = await generateText({ model: model(MODEL), prompt: "Name a fruit.", maxRetries: 0 });
said.text = whole.text;
said.usage = { prompt: whole.usage.inputTokens, output: whole.usage.outputTokens };
said.streamed = "";
for await (const text of streamText({ model: model(MODEL), prompt: "Name a fruit.", maxRetries: 0 }).textStream)
  said.streamed += text;
const get_weather = tool({
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `Sunny in ${city}.`,
});
const run = await generateText({
  model: model(MODEL),
  prompt: "What is the weather in Paris?",
  tools: { get_weather },
  stopWhen: stepCountIs(4),
  maxRetries: 0,
});
said.final = run.text;
const planned = await generateText({
  model: model(MODEL),
  prompt: "Plan days in Paris.",
  maxRetries: 0,
  output: Output.object({ schema: z.object({ city: z.string(), days: z.number().int() }) }),
});
said.object = planned.output;
said.error = await generateText({ model: model("no-such-model"), prompt: "x", maxRetries: 0 }).then(
  () => undefined,
  ({ statusCode, message }) => ({ status: statusCode, message }),
);
console.log(JSON.stringify(said));
