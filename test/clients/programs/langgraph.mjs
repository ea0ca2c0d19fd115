// LangGraph's prebuilt agent over LangChain's OpenAI client. API: chat, responses.
import { tool } from "@langchain/core/tools";
import { createReactAgent } from "@langchain/langgraph/prebuilt";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";

const { ADDRESS, KEY, MODEL, API } = process.env;
const modelOf = (model) =>
  new ChatOpenAI({
    model,
    apiKey: KEY,
    maxRetries: 0,
    useResponsesApi: API === "responses",
    configuration: { baseURL: `${ADDRESS}/v1` },
  });
const llm = modelOf(MODEL);
const said = {};
const whole = await llm.invoke("Name a fruit.");
said.text = whole.text;
said.usage = { prompt: whole.usage_metadata.input_tokens, output: whole.usage_metadata.output_tokens };
said.streamed = "";
for await (const chunk of await llm.stream("Name a fruit.")) said.streamed += chunk.text;
const get_weather = tool(async ({ city }) => `Sunny in ${city}.`, {
  name: "get_weather",
  description: "Weather",
  schema: z.object({ city: z.string() }),
});
const agent = createReactAgent({ llm, tools: [get_weather] });
const state = await agent.invoke({ messages: [{ role: "user", content: "What is the weather in Paris?" }] });
said.final = state.messages.at(-1).text;
said.object = await llm
  .withStructuredOutput(z.object({ city: z.string(), days: z.number().int() }), { method: "jsonSchema", name: "plan" })
  .invoke("Plan days in Paris.");
said.error = await modelOf("no-such-model")
  .invoke("x")
  .then(
    () => undefined,
    ({ status, message }) => ({ status, message }),
  );
console.log(JSON.stringify(said));
