// Fields of a Responses body: those that the typed view has names for, and what an engine that speaks chat cannot be asked.
import type { Asked } from "../../../engines/index.ts";
import { LineshaftError } from "../../../errors/index.ts";
import { unknownKey } from "../openai/keys.ts";
import { kindOf, messagesOf } from "./items.ts";

type Json = Record<string, unknown>;

/** Members that this view reads, or that ask for nothing of the engine. All others are fields for the engine. */
export const known = new Set([
  "model",
  "input",
  "instructions",
  "previous_response_id",
  "conversation",
  "stream",
  "stream_options",
  "store",
  "background",
  "include",
  "max_output_tokens",
  "max_tool_calls",
  "temperature",
  "top_p",
  "presence_penalty",
  "frequency_penalty",
  "top_logprobs",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "text",
  "reasoning",
  "truncation",
  "metadata",
  "client_metadata",
  "user",
  "safety_identifier",
  "prompt_cache_key",
  "prompt_cache_retention",
  "prompt_cache_options",
  "service_tier",
  "context_management",
]);

/** Names of chat's fields, and the client's own names of the same things. */
export const ownNames: Record<string, string> = {
  max_tokens: "max_output_tokens",
  response_format: "text.format",
  reasoning_effort: "reasoning.effort",
  verbosity: "text.verbosity",
  messages: "input",
};

/** A member of an object, where it is a text. */
export function textIn(of: unknown, name: string): string | undefined {
  const value = (of as Json | null | undefined)?.[name];
  return typeof value === "string" ? value : undefined;
}

/** Throws a 400 at what a chat engine cannot be asked. `items`: of the input, with those of earlier turns. */
export function refuseUnsaid(
  body: Json,
  { toolChoice: choice, tools }: Pick<Asked, "toolChoice" | "tools">,
  items: readonly Json[],
): void {
  const { top_logprobs: logprobs, truncation, service_tier: tier } = body;
  const refuse = (path: string, why: string) => {
    throw unknownKey(path, why);
  };
  if (truncation === "auto") refuse("truncation", "nothing of an input is dropped here. Send `disabled`");
  if (typeof logprobs === "number" && logprobs > 0) refuse("top_logprobs", "log probabilities are not given here");
  if (typeof tier === "string" && tier !== "auto" && tier !== "default")
    refuse("service_tier", "it would change what the call costs");
  if (typeof choice === "object" && "name" in choice && !tools.some(({ opaque }) => !opaque))
    refuse("tool_choice", `the engine of this model does not run \`${choice.name.slice(0, 40)}\``);
  for (const [place, item] of items.entries()) {
    const kind = kindOf(item);
    if (kind === "item_reference") refuse(`input[${place}]`, "it names an item that is not stored here");
    if (needsOwnEngine(item, kind))
      refuse(`input[${place}].type`, `\`${kind.slice(0, 40)}\` is known to no engine here`);
  }
}

/**
 * Items that only their own API understands and that change what the model is told. Calls of server tools in a history are only left out.
 */
function needsOwnEngine(item: Json, kind: string): boolean {
  if (kind === "compaction") return messagesOf(undefined, [item])[0]!.parts[0]!.kind === "opaque";
  if (kind.endsWith("_call_output")) return kind !== "function_call_output" && kind !== "custom_tool_call_output";
  if (kind.endsWith("_call")) return false;
  return !["message", "reasoning", "additional_tools"].includes(kind);
}

/** A refusal of chat's fields in the names that the client wrote. */
export function inOwnNames(error: LineshaftError): LineshaftError {
  const { param } = error;
  if (param === undefined) return error;
  const [first] = /^\w+/.exec(param) ?? [""];
  const own = ownNames[first];
  if (own === undefined) return error;
  const { status, code, message, hint, retryAfterSeconds } = error;
  return new LineshaftError({
    status,
    code,
    param: own,
    message: message.replaceAll(param, own).replaceAll(`\`${first}\``, `\`${own}\``),
    ...(hint !== undefined && { hint: hint.replaceAll(first, own) }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
}
