// The suites that `npm run test:conformance` knows: how each is run, how its results are read, and which of its tests do not pass and why.
import { join } from "node:path";
import { routeOf } from "../../src/gateway/protocols/registry.ts";
import { npmClients, pythonClients } from "../clients/install.ts";
import type { Rule } from "../clients/rules.ts";
import { runProgram, type Folder } from "../clients/world.ts";
import { checkedOut } from "./checkouts.ts";

export interface Outcome {
  id: string;
  status: "passed" | "failed" | "skipped";
  why: string;
}

export interface Asked extends Folder {
  address: string;
  key: string;
}

export interface Suite {
  name: string;
  version: string;
  /** Route that must be served for the suite to mean anything. */
  route: string;
  /** Model that it asks for: suites leave tests out by the name. */
  model: string;
  /** How its model answers where the rule engine's usual rules are not enough; `vectors`: it makes embeddings and ranks. */
  rules?: readonly Rule[] | "vectors";
  /** Tests that do not pass, each with the reason; any other failure fails the run, and so does one that passes all the same. */
  known: Record<string, string>;
  /** Throws where it cannot be run. */
  run(asked: Asked): Promise<Outcome[]>;
}

export const served = (suite: Suite): boolean => routeOf("POST", suite.route)?.call !== undefined;

function llmComply(format: string, route: string, model: string, words: string[], known: Suite["known"] = {}): Suite {
  return {
    name: `llm-comply, ${format}`,
    version: "0.5.0",
    route,
    model,
    known,
    async run({ address, key, ...folder }) {
      const base = format === "google-genai" ? address : `${address}/v1`;
      const all = ["-m", "llm_comply.cli", "-u", base, "-k", key, "-m", model, "--format", format, "--json", ...words];
      const ran = await runProgram(await pythonClients(), all, folder);
      const { results } = JSON.parse(ran.stdout) as {
        results: { id: string; status: Outcome["status"]; errors?: string[] }[];
      };
      return results.map(({ id, status, errors = [] }) => ({ id, status, why: errors.join("; ") }));
    },
  };
}

function compatcanary(profile: "chat" | "modern", route: string, known: Suite["known"] = {}): Suite {
  const model = "rules";
  return {
    name: `compatcanary, ${profile}`,
    version: "0.2.2",
    route,
    model,
    known,
    async run({ address, key, ...folder }) {
      const program = join(await npmClients(), "node_modules/compatcanary/src/cli.js");
      const words = ["scan", "--base-url", `${address}/v1`, "--model", model, "--profile", profile];
      const options = ["--format", "json", "--fail-on", "never", "--api-key", key];
      const ran = await runProgram(process.execPath, [program, ...words, ...options], folder);
      const report = JSON.parse(ran.stdout) as { checks?: Check[]; results?: Check[] };
      return (report.checks ?? report.results ?? []).map(({ id, status, message, detail }) => ({
        id,
        status: status === "pass" ? "passed" : status === "skip" ? "skipped" : "failed",
        why: message ?? detail ?? "",
      }));
    },
  };
}

interface Check {
  id: string;
  status: string;
  message?: string;
  detail?: string;
}

export const suites: readonly Suite[] = [
  llmComply("openai-chat", "/v1/chat/completions", "gpt-5-rules", [], {
    "chat-reasoning-summary":
      "it sends `reasoning: { summary }`, which is a field of Responses; chat completions refuse it by name",
  }),
  llmComply("open-responses", "/v1/responses", "gpt-5-rules", []),
  llmComply("anthropic", "/v1/messages", "claude-opus-rules", [
    "--auth-header",
    "x-api-key",
    "--no-bearer",
    "-H",
    "anthropic-version:2023-06-01",
  ]),
  llmComply("google-genai", "/v1beta/models/m:generateContent", "rules", [
    "--auth-header",
    "x-goog-api-key",
    "--no-bearer",
  ]),
  compatcanary("chat", "/v1/chat/completions"),
  compatcanary("modern", "/v1/responses"),
  ...checkedOut,
];
