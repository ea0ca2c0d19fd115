// Google's client. API: gemini.
import { GoogleGenAI } from "@google/genai";

const { ADDRESS, KEY, MODEL } = process.env;
const client = new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: ADDRESS } });
const said = {};
const whole = await client.models.generateContent({ model: MODEL, contents: "Name a fruit." });
said.text = whole.text;
said.usage = { prompt: whole.usageMetadata.promptTokenCount, output: whole.usageMetadata.candidatesTokenCount };
said.streamed = "";
for await (const chunk of await client.models.generateContentStream({ model: MODEL, contents: "Name a fruit." }))
  said.streamed += chunk.text ?? "";
const asked = { role: "user", parts: [{ text: "What is the weather in Paris?" }] };
const functionDeclarations = [
  {
    name: "get_weather",
    parametersJsonSchema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];
const config = { tools: [{ functionDeclarations }] };
const first = await client.models.generateContent({ model: MODEL, contents: [asked], config });
const [call] = first.functionCalls;
const result = {
  functionResponse: { id: call.id, name: call.name, response: { output: `Sunny in ${call.args.city}.` } },
};
const second = await client.models.generateContent({
  model: MODEL,
  contents: [asked, first.candidates[0].content, { role: "user", parts: [result] }],
  config,
});
said.final = second.text;
const responseJsonSchema = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
};
said.object = JSON.parse(
  (
    await client.models.generateContent({
      model: MODEL,
      contents: "Plan days in Paris.",
      config: { responseMimeType: "application/json", responseJsonSchema },
    })
  ).text,
);
said.counted = (await client.models.countTokens({ model: MODEL, contents: "Name a fruit." })).totalTokens;
said.error = await client.models.generateContent({ model: "no-such-model", contents: "x" }).then(
  () => undefined,
  ({ status, message }) => ({ status, message }),
);
console.log(JSON.stringify(said));
