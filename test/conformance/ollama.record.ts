// Records exchanges of a real Ollama into the fixtures that the adapter's test runs on: what it says of itself, and calls with their answers,
// byte for byte. `bin/node test/conformance/ollama.record.ts COMMAND` where the command is `ollama`; docs/testing.md says how to get it.
//
// Of what it says of a model the list of its tensors is left out, and the folder of its models is written as FOLDER.
import { answerOf, recordedCalls, usualCalls, writeRecording, type Calls } from "./exchanges.ts";
import { models, startOllama } from "./ollama.server.ts";

type Json = Record<string, unknown>;

const [command] = process.argv.slice(2);
if (command === undefined) throw new Error("Name the command: bin/node test/conformance/ollama.record.ts COMMAND");

const long = "word ".repeat(1500);
const chat = "/v1/chat/completions";
const hi = { messages: [{ role: "user", content: "Say hi." }], max_tokens: 1, temperature: 0 };
const fitting = { stream: false, truncate: false, shift: false, options: { num_predict: 1, temperature: 0 } };

/** Each fixture's model, and the calls to it. */
const recordings: Record<string, { model: string; calls: Calls }> = {
  server: {
    model: models.tools,
    calls: {
      ...usualCalls(models.tools, {}),
      // Of a context that is filled in seconds without an accelerator.
      "a prompt that is too long": [chat, { ...hi, model: models.tiny, messages: [{ role: "user", content: long }] }],
      "a limit by its newer name": [
        chat,
        { ...hi, model: models.tools, max_tokens: undefined, max_completion_tokens: 1 },
      ],
      "a question whose prompt fits": ["/api/chat", { model: models.tools, messages: hi.messages, ...fitting }],
      "a question whose prompt is too long": [
        "/api/chat",
        { model: models.tools, messages: [{ role: "user", content: long }], ...fitting },
      ],
      "a text whose prompt is too long": ["/api/generate", { model: models.tools, prompt: long, ...fitting }],
      "tools that the template does not know": [
        chat,
        {
          ...hi,
          model: models.plain,
          tools: [{ type: "function", function: { name: "f", parameters: { type: "object" } } }],
        },
      ],
      "a thought that the model cannot have": [chat, { ...hi, model: models.tools, reasoning_effort: "low" }],
      "an effort that it does not know": [chat, { ...hi, model: models.tools, reasoning_effort: "minimal" }],
      "a model that is not there": [chat, { ...hi, model: "nowhere" }],
    },
  },
  embeddings: {
    model: models.embeddings,
    calls: {
      embeddings: ["/v1/embeddings", { model: models.embeddings, input: ["a", "b c"], encoding_format: "base64" }],
      "vectors of another size": [
        "/v1/embeddings",
        { model: models.embeddings, input: "a", dimensions: 2, encoding_format: "base64" },
      ],
      "a text that fits": ["/api/embed", { model: models.embeddings, input: ["a"], truncate: false }],
      "a text that is too long": ["/api/embed", { model: models.embeddings, input: [long], truncate: false }],
      "a chat": [chat, { ...hi, model: models.embeddings }],
    },
  },
};

const server = await startOllama(command);
try {
  const { version } = await answerOf(server.url, "/api/version");
  for (const [name, { model, calls }] of Object.entries(recordings)) {
    const answered = await recordedCalls(server.url, calls);
    const show = await answerOf(server.url, "/api/show", { model });
    delete show["tensors"];
    const listed = await answerOf(server.url, "/v1/models");
    const loaded = await answerOf(server.url, "/api/ps");
    const mine = (list: unknown, key: string) => (list as Json[]).filter((one) => one[key] === model);
    const recording = {
      software: `Ollama ${version as string}`,
      by: "ollama serve; its models are made by test/conformance/ollama.server.ts",
      answers: {
        "GET /v1/models": { ...listed, data: mine(listed["data"], "id") },
        "GET /api/version": { version },
        "POST /api/show": JSON.parse(JSON.stringify(show).replaceAll(server.folder, "FOLDER")) as Json,
        "GET /api/ps": { models: mine(loaded["models"], "name") },
      },
      calls: answered,
    };
    writeRecording(new URL(`../../src/engines/ollama/fixtures/${name}.recorded.json`, import.meta.url), recording);
  }
} finally {
  await server.stop();
}
