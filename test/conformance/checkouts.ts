// Suites that are published as source only. LINESHAFT_SUITES names a folder with checkouts of their repositories; a suite whose folder is not
// there is "not run". What they need of npm and the Python Package Index is installed in exact versions, into folders of their own.
//
//   openresponses   github.com/ddalcu/responses-chat-messages-validator: Open Responses' compliance tests (17) and, by the same runner, tests
//                   of chat completions and Messages; or github.com/openresponses/openresponses
//   gpt-oss         github.com/openai/gpt-oss, compatibility-test/
//   llama.cpp       github.com/ggml-org/llama.cpp, tools/server/tests/
import { cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { npmSuites, pythonSuites } from "../clients/install.ts";
import { usual } from "../clients/rules.ts";
import { runProgram } from "../clients/world.ts";
import type { Asked, Outcome, Suite } from "./suites.ts";

/** A folder of a checkout. Throws where there is none. */
function checkout(name: string, folder: string): string {
  const root = process.env["LINESHAFT_SUITES"];
  const found = root === undefined ? undefined : join(root, name, folder);
  if (found !== undefined && existsSync(found)) return found;
  throw new Error(`set LINESHAFT_SUITES to a folder with a checkout of ${name}`);
}

const withinMs = 600_000;
const tsx = (packages: string) => join(packages, "node_modules/tsx/dist/cli.mjs");

/** A copy of sources beside the packages that they import. */
async function copied(from: string, { work }: Asked): Promise<{ folder: string; packages: string }> {
  const packages = await npmSuites();
  const folder = join(work, "suite");
  cpSync(from, folder, { recursive: true });
  symlinkSync(join(packages, "node_modules"), join(folder, "node_modules"));
  return { folder, packages };
}

type Spec = "responses" | "chat-completions" | "anthropic-messages";

/** Its tests of the APIs. Those that it tags `behavioral` judge a model's memory, arithmetic and cache, and no model stands behind the rule engine. */
const openResponsesTests: Readonly<Record<Spec, readonly string[]>> = {
  responses: [
    "basic-response",
    "assistant-phase",
    "response-output-phase-schema",
    "streaming-response",
    "websocket-response",
    "websocket-sequential-responses",
    "websocket-continuation",
    "websocket-reconnect-store-false-recovery",
    "websocket-previous-response-not-found",
    "websocket-failed-continuation-evicts-cache",
    "websocket-compact-new-chain",
    "system-prompt",
    "tool-calling",
    "image-input",
    "multi-turn",
    "compact-response",
    "compact-missing-model",
  ],
  "chat-completions": [
    "basic-completion",
    "system-prompt",
    "streaming-completion",
    "multi-turn",
    "tool-calling",
    "tool-result-followup",
    "json-mode",
    "streaming-tool-calls",
  ],
  "anthropic-messages": [
    "basic-message",
    "system-prompt",
    "streaming-message",
    "multi-turn",
    "tool-use",
    "tool-result-followup",
    "image-input",
    "streaming-tool-use",
  ],
};

function openResponses(spec: Spec, route: string, known: Suite["known"] = {}): Suite {
  const model = "gpt-5-rules";
  return {
    name: `openresponses, ${spec}`,
    version: "0.1.1",
    route,
    model,
    known,
    async run(asked) {
      const from = checkout("openresponses", "");
      const { folder, packages } = await copied(from, asked);
      const base = spec === "anthropic-messages" ? asked.address : `${asked.address}/v1`;
      const filter = openResponsesTests[spec].join(",");
      const words = ["--spec", spec, "-u", base, "-k", asked.key, "-m", model, "--filter", filter, "--json"];
      const program = join(folder, "bin/compliance-test.ts");
      const ran = await runProgram(process.execPath, [tsx(packages), program, ...words], { ...asked, withinMs });
      const said = JSON.parse(ran.stdout) as {
        results: { id: string; status: Outcome["status"]; errors?: string[] }[];
      };
      return said.results.map(({ id, status, errors = [] }) => ({ id, status, why: errors.join("; ") }));
    },
  };
}

interface Rollout {
  test_case: number;
  success?: boolean;
  error?: string;
  result?: { apiType: string; validResponse: boolean; details: object; toolCallingDetails: object };
}

/** Thirty questions with a tool each, by OpenAI's own agents' library, over both of its APIs. */
function gptOss(known: Suite["known"] = {}): Suite {
  const model = "gpt-oss-rules";
  return {
    name: "gpt-oss, compatibility test",
    version: "main",
    route: "/v1/responses",
    model,
    known,
    // Its models think before every answer, and servers of them call that `reasoning`.
    rules: [(seen) => ({ ...usual({ ...seen, thinks: true }), reasoningField: "reasoning" })],
    async run(asked) {
      const { folder, packages } = await copied(checkout("gpt-oss", "compatibility-test"), asked);
      const provider = {
        apiBaseUrl: `${asked.address}/v1`,
        apiKey: asked.key,
        apiType: ["responses", "chat"],
        modelName: model,
        providerDetails: {},
      };
      writeFileSync(
        join(folder, "providers.ts"),
        `export const PROVIDERS = { lineshaft: ${JSON.stringify(provider)} };`,
      );
      const words = [tsx(packages), "index.ts", "--provider", "lineshaft"];
      const ran = await runProgram(process.execPath, words, { ...asked, work: folder, withinMs });
      const file = /Results written to (\S+)/.exec(ran.stdout)?.[1];
      if (file === undefined) throw new Error(`gpt-oss wrote no results: ${ran.stderr.slice(0, 500)}`);
      const lines = readFileSync(file, "utf8").trim().split("\n");
      return lines
        .map((line) => JSON.parse(line) as Rollout)
        .map(({ test_case: number, success, error, result }) => ({
          id: result ? `${result.apiType} ${number}` : `case ${number}`,
          status: success === true ? "passed" : "failed",
          why: error ?? JSON.stringify({ ...result?.details, ...result?.toolCallingDetails }),
        }));
    },
  };
}

/** Tests of llama.cpp's server for the APIs that it shares with us; `plugin` puts the gateway in the place of the server that they start. */
function llamaCpp(
  file: string,
  { route, model, rules }: Pick<Suite, "route" | "model" | "rules">,
  known: Suite["known"] = {},
): Suite {
  return {
    name: `llama.cpp, ${file}`,
    version: "main",
    route,
    model,
    ...(rules && { rules }),
    known,
    async run(asked) {
      const from = checkout("llama.cpp", "tools/server/tests");
      const python = await pythonSuites();
      const report = join(asked.work, "report.json");
      const words = ["-m", "pytest", "-p", "gateway", "-q", "-o", "addopts=", `unit/${file}.py`];
      const ran = await runProgram(python, words, {
        ...asked,
        work: from,
        env: {
          PYTHONPATH: `${join(import.meta.dirname, "plugins")}:${from}`,
          PYTHONDONTWRITEBYTECODE: "1",
          PYTEST_ADDOPTS: "-p no:cacheprovider",
          GATEWAY_ADDRESS: asked.address,
          GATEWAY_KEY: asked.key,
          GATEWAY_MODEL: model,
          GATEWAY_REPORT: report,
        },
        withinMs,
      });
      if (!existsSync(report)) throw new Error(`pytest wrote no report: ${(ran.stdout + ran.stderr).slice(-500)}`);
      return JSON.parse(readFileSync(report, "utf8")) as Outcome[];
    },
  };
}

const knownAs = (reason: string, tests: readonly string[]): Suite["known"] =>
  Object.fromEntries(tests.map((test) => [test, reason]));

export const checkedOut: readonly Suite[] = [
  openResponses("responses", "/v1/responses"),
  openResponses("chat-completions", "/v1/chat/completions"),
  openResponses(
    "anthropic-messages",
    "/v1/messages",
    knownAs(
      "its schema takes no `citations: null` in a block of text, which Anthropic's own types and llm-comply ask for",
      ["basic-message", "system-prompt", "streaming-message", "multi-turn", "tool-result-followup", "image-input"],
    ),
  ),
  gptOss(),
  llamaCpp(
    "test_compat_anthropic",
    { route: "/v1/messages", model: "test" },
    {
      test_anthropic_empty_messages: "a call without messages is refused, as Anthropic refuses it",
      test_anthropic_messages_streaming: "input_tokens of message_start is 0: the prompt's tokens are told at the end",
      test_anthropic_output_config_effort: "its subject is the prompt that llama.cpp's template makes",
      test_anthropic_thinking_history_in_template: "it asks llama.cpp's own POST /apply-template",
      test_anthropic_vision_base64_with_multimodal_model: "it fetches an image from the network",
      ...knownAs("it expects that a model without eyes refuses images; the rule engine takes them", [
        "test_anthropic_tool_result_with_image",
        "test_anthropic_vision_format_accepted",
      ]),
    },
  ),
  llamaCpp(
    "test_compat_oai_responses",
    {
      route: "/v1/responses",
      model: "gpt-4.1",
      // What the small model of that project says.
      rules: [() => ({ chunks: ["Suddenly", ", ", "Suddenly"] })],
    },
    { test_responses_stream_with_llama_telemetry: "it asks for llama.cpp's own figures, at llama.cpp's own path" },
  ),
  llamaCpp(
    "test_embedding",
    { route: "/v1/embeddings", model: "text-embedding-3-small", rules: "vectors" },
    {
      test_embedding_error_prompt_too_long: "the engine's own words are told, which here are vLLM's",
      "test_embedding_mixed_input[-False]": "an empty input is refused, as OpenAI refuses it",
      ...knownAs("text and tokens in one input are llama.cpp's own; OpenAI has one or the other", [
        "test_embedding_mixed_input[input3-False]",
        "test_embedding_mixed_input[input5-True]",
        "test_embedding_mixed_input[input7-True]",
      ]),
      ...knownAs("a vector for each token is an option of llama.cpp's command line, at its own path", [
        "test_embedding_pooling_none",
        "test_embedding_pooling_none_oai",
      ]),
    },
  ),
  llamaCpp(
    "test_rerank",
    { route: "/v1/rerank", model: "jina-reranker", rules: "vectors" },
    {
      ...knownAs("`texts` and bare lists are the API of Text Embeddings Inference, which is not served", [
        "test_rerank_tei_format",
        "test_rerank_tei_top_n[None-4]",
        "test_rerank_tei_top_n[2-2]",
        "test_rerank_tei_top_n[4-4]",
        "test_rerank_tei_top_n[99-4]",
      ]),
      ...knownAs("it expects the number of tokens of one tokenizer", [
        "test_rerank_usage[Machine learning is-A machine-Learning is-19]",
        "test_rerank_usage[Which city?-Machine learning is -Paris, capitale de la-26]",
      ]),
    },
  ),
];
