// OpenAI's chat and text completions as they come in: known fields are checked and refused by name, unknown ones are left to
// the engine, which either honours them or has them refused (fields.ts). The parsed body is used as it came; the schema only judges.
import { z } from "@hono/zod-openapi";
import { GatewayError } from "../../errors.ts";
import type { Endpoint } from "../../../engines/index.ts";
import { isStorable, unstorable } from "../../../store/index.ts";
import { limits } from "../../limits.ts";
import { checkValues } from "../../values.ts";
import { firstIssue } from "../firstIssue.ts";

const contentPart = z.looseObject({ type: z.string() });
const content = z.union([z.string(), z.array(contentPart)]);

export const toolCall = z.looseObject({
  id: z.string(),
  type: z.literal("function"),
  function: z.looseObject({ name: z.string(), arguments: z.string() }),
});

export const message = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool", "function"]),
  content: content.nullish(),
  name: z.string().optional(),
  tool_calls: z.array(toolCall).nullish(),
  tool_call_id: z.string().optional(),
});

export const tool = z.looseObject({
  type: z.literal("function"),
  function: z.looseObject({
    name: z.string().regex(/^[a-zA-Z0-9_.-]{1,64}$/),
    description: z.string().nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: z.boolean().nullish(),
  }),
});

export const toolChoice = z.union([
  z.enum(["none", "auto", "required"]),
  z.looseObject({ type: z.literal("function"), function: z.looseObject({ name: z.string() }) }),
]);

export const responseFormat = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("text") }),
  z.looseObject({ type: z.literal("json_object") }),
  z.looseObject({
    type: z.literal("json_schema"),
    json_schema: z.looseObject({
      name: z.string().optional(),
      schema: z.union([z.record(z.string(), z.unknown()), z.boolean()]).optional(),
      strict: z.boolean().nullish(),
    }),
  }),
]);

/** Fields that chat and text completions share. */
const sampling = {
  model: z.string().min(1).max(limits.modelNameCharacters).refine(isStorable, unstorable),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: z.number().int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  seed: z.number().int().nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(16)]).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  n: z.number().int().min(1).max(limits.answersPerPrompt).nullish(),
  user: z.string().nullish(),
};

export const chatBody = z
  .looseObject({
    ...sampling,
    messages: z.array(message).min(1),
    max_completion_tokens: z.number().int().min(1).nullish(),
    logprobs: z.boolean().nullish(),
    top_logprobs: z.number().int().min(0).max(20).nullish(),
    tools: z.array(tool).max(512).nullish(),
    tool_choice: toolChoice.nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    response_format: responseFormat.nullish(),
  })
  .openapi("ChatCompletionRequest");

/** A schema library takes microseconds for each of a million token ids; this takes nanoseconds. */
function isPrompt(prompt: unknown): boolean {
  if (typeof prompt === "string") return true;
  if (!Array.isArray(prompt) || prompt.length === 0) return false;
  if (typeof prompt[0] === "number") return isTokens(prompt);
  if (prompt.length > limits.promptsPerCall) return false;
  return typeof prompt[0] === "string" ? prompt.every((one) => typeof one === "string") : prompt.every(isTokens);
}

const isTokens = (tokens: unknown): boolean =>
  Array.isArray(tokens) && tokens.length > 0 && tokens.every((token) => Number.isInteger(token));

const listOf = <Items>(items: Items) => ({ type: "array" as const, items, minItems: 1 });
const text = { type: "string" as const };
const tokenList = listOf({ type: "integer" as const });
const maxItems = limits.promptsPerCall;
const promptSchema = {
  anyOf: [text, { ...listOf(text), maxItems }, tokenList, { ...listOf(tokenList), maxItems }],
};

export const completionBody = z
  .looseObject({
    ...sampling,
    prompt: z
      .unknown()
      .refine(isPrompt, {
        error: ({ input }) =>
          input === undefined
            ? "expected text or token ids, received undefined"
            : `must be text, token ids, or a list of either, of at most ${limits.promptsPerCall} prompts`,
      })
      .openapi(promptSchema),
    logprobs: z.number().int().min(0).max(20).nullish(),
    echo: z.boolean().nullish(),
    suffix: z.string().nullish(),
    best_of: z.number().int().min(1).max(limits.answersPerPrompt).nullish(),
  })
  .openapi("CompletionRequest");

export type CallBody = Record<string, unknown> & { model: string; stream?: boolean };

/** Judges a body that was parsed from JSON; answers it unchanged. Throws a 400 that names the first field at fault. */
export function decodeBody(endpoint: Endpoint, body: unknown): CallBody {
  checkValues(body, { depth: limits.bodyDepth, values: limits.bodyValues, tokensIn: "prompt", text: false });
  const issue = firstIssue(endpoint === "chat" ? chatBody : completionBody, body);
  if (issue) throw refusal(issue);
  const decoded = body as CallBody;
  const { stream_options: options = null, tool_choice: choice = null } = decoded;
  if (options !== null && decoded.stream !== true)
    throw invalid("stream_options", "`stream_options` is for streams: set `stream` to true, or leave it out.");
  if (choice !== null && choice !== "none" && choice !== "auto") checkToolChoice(decoded);
  return decoded;
}

function checkToolChoice(body: CallBody): void {
  const tools = (body["tools"] ?? []) as z.infer<typeof tool>[];
  if (tools.length === 0) throw invalid("tool_choice", "`tool_choice` asks for a tool, yet `tools` is empty.");
  const choice = body["tool_choice"] as z.infer<typeof toolChoice>;
  if (typeof choice === "object" && !tools.some((one) => one.function.name === choice.function.name))
    throw invalid(
      "tool_choice",
      `\`tool_choice\` names ${choice.function.name}, which is not in \`tools\` (${tools.map((one) => one.function.name).join(", ")}).`,
    );
}

export function invalid(param: string, message: string): GatewayError {
  return new GatewayError({
    status: 400,
    code: "invalid_value",
    message,
    param,
    hint: `Correct \`${param}\` and send the call again.`,
  });
}

function refusal(first: z.core.$ZodIssue): GatewayError {
  const issue = deepest(first);
  const param = issue.path
    .map((part, place) => (typeof part === "number" ? `[${part}]` : (place ? "." : "") + String(part)))
    .join("");
  return new GatewayError({
    status: 400,
    code: issue.message.includes("received undefined") ? "missing_required_parameter" : "invalid_value",
    message: param ? `${param}: ${issue.message}` : issue.message,
    param: param || undefined,
    hint: "The fields of this request are described in /api/docs.",
  });
}

/** Inside a union, the issue of the alternative that got furthest: it is the one that was meant. */
function deepest(issue: z.core.$ZodIssue): { path: PropertyKey[]; message: string } {
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return issue;
  const inner = issue.errors
    .flatMap((issues) => issues.slice(0, 1))
    .map((one) => deepest(one))
    .toSorted((a, b) => b.path.length - a.path.length)[0];
  return inner && inner.path.length > 0
    ? { path: [...issue.path, ...inner.path], message: inner.message }
    : { path: issue.path, message: inner?.message ?? issue.message };
}
