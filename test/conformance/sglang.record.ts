// Records exchanges of a real SGLang into the fixture that the adapter's test runs on: what it says of itself, and calls with their answers,
// byte for byte. `bin/node test/conformance/sglang.record.ts URL` where the URL is without `/v1`; docs/testing.md says how it is started.
import { answerOf, recordedCalls, writeRecording, type Calls } from "./exchanges.ts";
import { scale, weighing } from "./tools.ts";

const [url] = process.argv.slice(2);
if (url === undefined) throw new Error("Name the server: bin/node test/conformance/sglang.record.ts URL");

const model = "scripted";
const chat = "/v1/chat/completions";
const hi = { model, messages: [{ role: "user", content: "Say hi." }], temperature: 0, ignore_eos: true };
const streamed = { stream: true, stream_options: { include_usage: true, continuous_usage_stats: true } };
const text = { model, prompt: "Once upon", max_tokens: 3, temperature: 0 };
const tools = { ...hi, messages: weighing, tools: [scale], tool_choice: "required", max_tokens: 40, ignore_eos: false };
const begun = {
  ...hi,
  messages: [
    { role: "user", content: "Tell a tale." },
    { role: "assistant", content: "Once upon a" },
  ],
  continue_final_message: true,
  max_tokens: 3,
};

const calls: Calls = {
  "a chat": [chat, { ...hi, max_tokens: 4 }],
  "a chat whose prompt is cached": [chat, { ...hi, max_tokens: 4 }],
  "a chat as a stream": [chat, { ...hi, max_tokens: 4, ...streamed }],
  "a text": ["/v1/completions", text],
  "a text as a stream": ["/v1/completions", { ...text, ...streamed }],
  "a tool call": [chat, tools],
  "a tool call as a stream": [chat, { ...tools, ...streamed }],
  "an answer that goes on": [chat, begun],
  "an answer that goes on as a stream": [chat, { ...begun, ...streamed }],
  "two answers": [chat, { ...hi, max_tokens: 2, n: 2 }],
  "two answers as a stream": [chat, { ...hi, max_tokens: 2, n: 2, ...streamed }],
  "two prompts": ["/v1/completions", { ...text, prompt: ["Once upon", "Twice upon a"] }],
  "a prompt that is too long": [chat, { ...hi, messages: [{ role: "user", content: "word ".repeat(1500) }] }],
  "a field of another kind": [chat, { ...hi, max_tokens: "four" }],
};

const server = await answerOf(url, "/server_info");
writeRecording(new URL("../../src/engines/sglang/fixtures/server.recorded.json", import.meta.url), {
  software: `SGLang ${server["version"] as string}`,
  by: "its server on a processor, with the attention of PyTorch (docs/testing.md)",
  answers: {
    "GET /v1/models": await answerOf(url, "/v1/models"),
    "GET /server_info": server,
    "GET /model_info": await answerOf(url, "/model_info"),
    "POST /tokenize": await answerOf(url, "/tokenize", { model, messages: hi.messages }),
  },
  // In its refusal of a field the folder of its installation was replaced by hand.
  calls: await recordedCalls(url, calls),
});
