// Records exchanges of a real SGLang into the fixture that the adapter's test runs on: what it says of itself, and calls with their answers,
// byte for byte. `bin/node test/conformance/sglang.record.ts URL` where the URL is without `/v1`; docs/testing.md says how it is started.
import { answerOf, recordedCalls, usualCalls, writeRecording } from "./exchanges.ts";

const [url] = process.argv.slice(2);
if (url === undefined) throw new Error("Name the server: bin/node test/conformance/sglang.record.ts URL");

const model = "scripted";
const own = {
  all: { ignore_eos: true },
  streamed: { stream_options: { include_usage: true, continuous_usage_stats: true } },
  tools: { tool_choice: "required", ignore_eos: false },
  begun: { continue_final_message: true },
};

const server = await answerOf(url, "/server_info");
writeRecording(new URL("../../src/engines/sglang/fixtures/server.recorded.json", import.meta.url), {
  software: `SGLang ${server["version"] as string}`,
  by: "its server on a processor, with the attention of PyTorch (docs/testing.md)",
  answers: {
    "GET /v1/models": await answerOf(url, "/v1/models"),
    "GET /server_info": server,
    "GET /model_info": await answerOf(url, "/model_info"),
    "POST /tokenize": await answerOf(url, "/tokenize", { model, messages: [{ role: "user", content: "Say hi." }] }),
  },
  // In its refusal of a field the folder of its installation was replaced by hand.
  calls: await recordedCalls(url, usualCalls(model, own)),
});
