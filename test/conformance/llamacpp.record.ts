// Records exchanges of a real llama.cpp server into the fixtures that the adapter's test runs on: what it says of itself, and calls with
// their answers, byte for byte. `bin/node test/conformance/llamacpp.record.ts COMMAND VERSION` where the command is `llama-server` or takes its
// arguments; docs/testing.md says how to get it.
import { embeddingModel, smallModel } from "../setup/model.ts";
import { answerOf, exchange, recordedCalls, usualCalls, writeRecording, type Calls } from "./exchanges.ts";
import { alias, argumentsOf, startLlamacpp, toolTemplate } from "./llamacpp.server.ts";

type Json = Record<string, unknown>;

const [command, version] = process.argv.slice(2);
if (command === undefined || version === undefined)
  throw new Error("Name the command and its version: bin/node test/conformance/llamacpp.record.ts COMMAND VERSION");

const messages = [{ role: "user", content: "Say hi." }];
const own = {
  streamed: { timings_per_token: true },
  tools: { tool_choice: "required" },
  begun: { continue_final_message: true, add_generation_prompt: false },
};

/** Calls to each start of the server, by their names. */
const calls: Record<string, Calls> = {
  chat: usualCalls(alias, own),
  embeddings: {
    embeddings: ["/v1/embeddings", { model: alias, input: ["a", "b c"], encoding_format: "base64" }],
    "an input that is too long": ["/v1/embeddings", { model: alias, input: "word ".repeat(600) }],
    "a chat": ["/v1/chat/completions", { model: alias, messages, temperature: 0, max_tokens: 1 }],
    rerank: ["/v1/rerank", { model: alias, query: "a", documents: ["a", "b"] }],
  },
  rerank: {
    rerank: ["/v1/rerank", { model: alias, query: "a", documents: ["a", "b"], top_n: 1 }],
    embeddings: ["/v1/embeddings", { model: alias, input: "a", encoding_format: "base64" }],
  },
};
const starts: Record<string, { model: string; more: string[] }> = {
  chat: { model: await smallModel(), more: ["--chat-template-file", toolTemplate] },
  embeddings: { model: await embeddingModel(), more: ["--embeddings"] },
  rerank: { model: await embeddingModel(), more: ["--reranking"] },
};

for (const [name, { model, more }] of Object.entries(starts)) {
  const server = await startLlamacpp({ command, model, more });
  const rendered = await answerOf(server.url, "/apply-template", { messages });
  const content = rendered["prompt"];
  const answers = {
    "GET /v1/models": await answerOf(server.url, "/v1/models"),
    "GET /props": await answerOf(server.url, "/props"),
    "POST /apply-template": rendered,
    "POST /tokenize": await answerOf(server.url, "/tokenize", { content, add_special: true, parse_special: true }),
  };
  const refusals: Json = {};
  for (const [path, body] of [
    ["/v1/embeddings", { input: "a" }],
    ["/v1/rerank", { query: "a", documents: ["a"] }],
  ] as const) {
    const { status, body: said } = await exchange(server.url, path, body);
    if (status !== 200) refusals[`POST ${path}`] = JSON.parse(said);
  }
  const by = ["llama-server", ...argumentsOf(model, more)].map((argument) => argument.split("/").at(-1)).join(" ");
  const answered = await recordedCalls(server.url, calls[name]!);
  await server.stop();
  const file = new URL(`../../src/engines/llamacpp/fixtures/${name}.recorded.json`, import.meta.url);
  writeRecording(file, { software: `llama.cpp server ${version}`, by, answers, refusals, calls: answered });
}
