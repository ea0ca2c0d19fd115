// How an engine is asked to go on with an answer that another endpoint has begun and not ended. A text completion goes on with any text, but
// at an engine that puts it into a chat template.
// Of conversations only some engines can: the embedded one, vLLM, SGLang and llama.cpp's server take the last message as the beginning of
// their answer where `continue_final_message` says so, and older models of Anthropic's do so by themselves ("prefill"). Any other engine
// would answer the beginning as if a person had written it.
import type { Shape } from "../asked.ts";
import type { Capabilities } from "../types.ts";

type Json = Record<string, unknown>;

/**
 * Fields by which an engine says something of each token, repeats the prompt, or keeps its answer within a grammar. A grammar begins anew
 * with every request, and what was said of the tokens before the break is not known to the second engine.
 */
const ofWholeAnswers = [
  "logprobs",
  "top_logprobs",
  "prompt_logprobs",
  "echo",
  "suffix",
  "response_format",
  "guided_json",
  "guided_regex",
  "guided_choice",
  "guided_grammar",
  "structured_outputs",
  "regex",
  "ebnf",
  "json_schema",
  "structural_tag",
  "return_token_ids",
  "return_tokens_as_token_ids",
  "return_hidden_states",
  "continue_final_message",
  "add_generation_prompt",
  "output_format",
  "output_config",
];

/**
 * The body of a call that goes on after `text`; undefined where the engine cannot go on, or this call cannot. `text` does not end with white
 * space: chat templates cut that off, and Anthropic refuses it.
 */
export function continuedBody<Body extends Json>(
  shape: Shape,
  body: Body,
  text: string,
  capabilities: Capabilities | undefined,
): Body | undefined {
  if (ofWholeAnswers.some((field) => asksFor(body[field])) || demandsTool(body["tool_choice"])) return undefined;
  if (shape === "completions") {
    const { prompt } = body;
    return typeof prompt === "string" && capabilities?.wrapsPrompts !== true
      ? { ...body, prompt: prompt + text }
      : undefined;
  }
  const messages = body["messages"];
  if (!Array.isArray(messages) || (messages.at(-1) as Json | undefined)?.["role"] === "assistant") return undefined;
  const continued = { ...body, messages: [...(messages as unknown[]), { role: "assistant", content: text }] };
  if (shape === "messages") {
    const thinks = (body["thinking"] as Json | undefined)?.["type"] ?? "disabled";
    return capabilities?.prefills === true && thinks === "disabled" ? continued : undefined;
  }
  const fields = capabilities?.fields ?? [];
  if (shape !== "chat" || !fields.includes("continue_final_message")) return undefined;
  // vLLM refuses to begin an answer and to go on with one at once.
  const begins = fields.includes("add_generation_prompt") ? { add_generation_prompt: false } : {};
  return { ...continued, continue_final_message: true, ...begins };
}

const asksFor = (value: unknown): boolean =>
  value !== undefined && value !== null && value !== false && (value as Json)["type"] !== "text";

const demandsTool = (choice: unknown): boolean => {
  const kind: unknown = typeof choice === "object" && choice !== null ? (choice as Json)["type"] : choice;
  return kind !== undefined && kind !== null && kind !== "auto" && kind !== "none";
};
