// Requests in OpenAI's shape, checked field by field. A field is honoured, accepted because its value changes nothing, or refused by name.
// Only fields that change nothing in the answer (`user`, `metadata` and the like) are ignored. `null` means absent, as in OpenAI's API.
//
// `max_tokens` absent: chat may fill its sequence; completions stop after 16, as OpenAI's and vLLM's do.
import type { LineshaftError } from "../../errors/index.ts";
import { z } from "zod";
import type { Sampling } from "./device.ts";
import { formTags } from "./chat/index.ts";
import { invalid, unsupported } from "./errors.ts";
import { stopStringMaxLength, stopStringsMax } from "./limits.ts";
import { callHints } from "./protocol.ts";
import type { SamplingDefaults } from "./samplingDefaults.ts";

export type Hints = z.infer<typeof callHints>;

export interface CommonRequest {
  stream: boolean;
  includeUsage: boolean;
  maxTokens: number | undefined;
  sampling: Omit<Sampling, "grammar">;
  stops: string[];
  hints: Hints | undefined;
}

export type ToolChoice = "none" | "auto" | "required" | { type: "function"; function: { name: string } };

export interface ChatRequest extends CommonRequest {
  messages: Record<string, unknown>[];
  tools: Record<string, unknown>[];
  toolChoice: ToolChoice;
  /** Whether an answer may have several calls. If the request omits it: any number on `auto`, one call where a call is required. */
  parallelToolCalls: boolean;
  /** A JSON schema that the answer must satisfy; undefined for text. */
  schema: { value: unknown; anyObject: boolean } | undefined;
  /** How the prompt ends: where the assistant's next message begins, unless that is switched off, or with the text of the last message. */
  addGenerationPrompt: boolean;
  continueFinal: boolean;
}

export interface CompletionRequest extends CommonRequest {
  prompt: string | number[];
}

const stop = z.union([z.string(), z.array(z.string())]);

/** Fields of both endpoints that are honoured. */
const common = {
  model: z.string(),
  max_tokens: z.int().min(1),
  temperature: z.number().min(0).max(2),
  top_p: z.number().gt(0).max(1),
  top_k: z.int().min(-1),
  min_p: z.number().min(0).max(1),
  repetition_penalty: z.number().gt(0).max(2),
  seed: z.int(),
  stop,
  stream: z.boolean(),
  stream_options: z.strictObject({ include_usage: z.boolean().optional() }),
  presence_penalty: z.number().min(-2).max(2),
  frequency_penalty: z.number().min(-2).max(2),
  lineshaft: callHints,
};

/** Only the shape that the chat layer needs is checked here; that layer checks the content. */
const message = z.looseObject({
  role: z.string(),
  content: z.union([z.string(), z.array(z.looseObject({ type: z.string(), text: z.string().optional() }))]).nullish(),
  tool_calls: z
    .array(
      z.looseObject({
        id: z.string().optional(),
        function: z.looseObject({ name: z.string(), arguments: z.string() }),
      }),
    )
    .nullish(),
  tool_call_id: z.string().optional(),
  name: z.string().optional(),
});

const tool = z.strictObject({
  type: z.literal("function"),
  function: z.strictObject({
    name: z.string(),
    description: z.string().optional(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: z.boolean().nullish(),
  }),
});

const toolChoice = z.union([
  z.enum(["none", "auto", "required"]),
  z.strictObject({ type: z.literal("function"), function: z.strictObject({ name: z.string() }) }),
]);

const responseFormat = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("text") }),
  z.strictObject({ type: z.literal("json_object") }),
  z.strictObject({
    type: z.literal("json_schema"),
    json_schema: z.strictObject({
      name: z.string().optional(),
      description: z.string().optional(),
      schema: z.union([z.record(z.string(), z.unknown()), z.boolean()]).optional(),
      strict: z.boolean().nullish(),
    }),
  }),
]);

const chatFields = {
  ...common,
  max_completion_tokens: z.int().min(1),
  messages: z.array(message).min(1),
  tools: z.array(tool),
  tool_choice: toolChoice,
  parallel_tool_calls: z.boolean(),
  response_format: responseFormat,
  add_generation_prompt: z.boolean(),
  continue_final_message: z.boolean(),
};

const completionFields = {
  ...common,
  prompt: z.union([z.string(), z.array(z.int().min(0)).min(1), z.array(z.string()).length(1)]),
};

/** Accepted without effect: they do not concern the engine. */
const inert = new Set([
  "user",
  "metadata",
  "safety_identifier",
  "prompt_cache_key",
  "prompt_cache_retention",
  "service_tier",
]);

/** Not supported; accepted only with the value that changes nothing. */
const neutral: Record<string, { value: unknown; why: string }> = {
  n: { value: 1, why: "can only be 1: one call, one answer" },
  best_of: { value: 1, why: "can only be 1: one call, one answer" },
  logprobs: { value: false, why: "is not served by this engine" },
  top_logprobs: { value: 0, why: "is not served by this engine" },
  logit_bias: { value: {}, why: "is not served by this engine" },
  echo: { value: false, why: "is not served by this engine" },
  suffix: { value: "", why: "is not served by this engine" },
  modalities: { value: ["text"], why: 'can only be ["text"]' },
  store: { value: false, why: "cannot be true: this engine keeps no answers" },
  functions: { value: [], why: "has been replaced by `tools`" },
};

/** `defaults`: sampling parameters for fields that the body omits. */
export function parseChat(body: unknown, defaults: SamplingDefaults): ChatRequest {
  const fields = check(body, chatFields);
  if (
    fields.max_tokens !== undefined &&
    fields.max_completion_tokens !== undefined &&
    fields.max_tokens !== fields.max_completion_tokens
  ) {
    throw invalid("max_tokens", "and `max_completion_tokens` differ", "Send only `max_completion_tokens`.");
  }
  if (!fields.messages) throw invalid("messages", "is missing");
  const tools = fields.tools ?? [];
  const choice = fields.tool_choice ?? (tools.length > 0 ? "auto" : "none");
  if (tools.length === 0 && choice !== "none" && choice !== "auto")
    throw invalid("tool_choice", "asks for a tool, and `tools` is empty");
  const request: ChatRequest = {
    ...commonOf(fields, defaults),
    maxTokens: fields.max_completion_tokens ?? fields.max_tokens,
    messages: fields.messages,
    tools,
    toolChoice: choice,
    parallelToolCalls: fields.parallel_tool_calls ?? (choice === "auto" || choice === "none"),
    schema: schemaOf(fields.response_format),
    addGenerationPrompt: fields.add_generation_prompt ?? true,
    continueFinal: fields.continue_final_message ?? false,
  };
  if (request.continueFinal) checkContinued(request, fields.add_generation_prompt === true);
  return request;
}

/** Refuses what cannot be gone on with: a grammar, for one, begins with the answer and not in its midst. */
function checkContinued({ messages, tools, toolChoice, schema }: ChatRequest, begins: boolean): void {
  const refused = (why: string) => invalid("continue_final_message", why);
  if (begins) throw refused("and `add_generation_prompt` cannot both be true");
  const last = messages.at(-1) as z.infer<typeof message>;
  if (last.role !== "assistant" || messages.length < 2)
    throw refused("needs a last message of the role assistant, with another before it");
  if (last.tool_calls && last.tool_calls.length > 0) throw refused("cannot go on with a message that calls tools");
  if (schema) throw refused("cannot go on with an answer by a `response_format`");
  if (toolChoice !== "auto" && toolChoice !== "none")
    throw refused("cannot go on with a call that `tool_choice` demands");
  const text = JSON.stringify(last.content ?? "");
  if (tools.length > 0 && formTags.some((tag) => text.includes(tag)))
    throw refused("cannot go on with a message that has begun to call a tool");
}

export function parseCompletion(body: unknown, defaults: SamplingDefaults): CompletionRequest {
  const fields = check(body, completionFields);
  if (fields.prompt === undefined) throw invalid("prompt", "is missing");
  const prompt =
    Array.isArray(fields.prompt) && typeof fields.prompt[0] === "string" ? fields.prompt[0] : fields.prompt;
  return { ...commonOf(fields, defaults), maxTokens: fields.max_tokens ?? 16, prompt: prompt as string | number[] };
}

type Fields<Shape extends Record<string, z.ZodType>> = { [Name in keyof Shape]?: z.infer<Shape[Name]> };

/** Checks every field of the body against its schema; throws LineshaftError at the first that fails. */
function check<Shape extends Record<string, z.ZodType>>(body: unknown, shape: Shape): Fields<Shape> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) throw invalid("body", "is not a JSON object");
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(body)) {
    if (value === null || value === undefined || inert.has(name)) continue;
    const schema = shape[name];
    if (schema) {
      const parsed = schema.safeParse(value);
      if (!parsed.success) throw fieldError(name, parsed.error);
      fields[name] = parsed.data;
      continue;
    }
    const rule = neutral[name];
    if (!rule) throw unsupported(name, "is not known to this engine");
    if (JSON.stringify(value) !== JSON.stringify(rule.value)) throw unsupported(name, rule.why);
  }
  return fields as Fields<Shape>;
}

function fieldError(name: string, error: z.ZodError): LineshaftError {
  const issue = error.issues[0]!;
  const at = issue.path.reduce<string>(
    (path, step) => (typeof step === "number" ? `${path}[${step}]` : `${path}.${String(step)}`),
    name,
  );
  if (issue.code === "unrecognized_keys") return unsupported(`${at}.${issue.keys[0]}`, "is not known to this engine");
  return invalid(at, `is not valid: ${issue.message}`);
}

function commonOf(fields: Fields<typeof common>, defaults: SamplingDefaults): CommonRequest {
  const stops = fields.stop === undefined ? [] : typeof fields.stop === "string" ? [fields.stop] : fields.stop;
  if (stops.length > stopStringsMax)
    throw invalid("stop", `has ${stops.length} strings; at most ${stopStringsMax} are allowed`);
  if (stops.some((text) => text === "" || text.length > stopStringMaxLength)) {
    throw invalid("stop", `must hold strings of 1 to ${stopStringMaxLength} characters`);
  }
  const temperature = fields.temperature ?? defaults.temperature;
  if (fields.stream_options && !fields.stream) throw invalid("stream_options", "is only allowed with `stream: true`");
  return {
    stream: fields.stream ?? false,
    includeUsage: fields.stream_options?.include_usage ?? false,
    maxTokens: fields.max_tokens,
    sampling: {
      temperature,
      topP: fields.top_p ?? defaults.topP,
      topK: Math.max(0, fields.top_k ?? defaults.topK),
      minP: fields.min_p ?? defaults.minP,
      // Temperature 0 means the most likely token, so default penalties, which could choose another, are not applied.
      repetitionPenalty: fields.repetition_penalty ?? (temperature === 0 ? 1 : defaults.repetitionPenalty),
      seed: seedOf(fields.seed),
      presencePenalty: fields.presence_penalty ?? 0,
      frequencyPenalty: fields.frequency_penalty ?? 0,
    },
    stops,
    hints: fields.lineshaft,
  };
}

/** The library takes 32 bits; an absent seed is drawn at random for every call. */
function seedOf(seed: number | undefined): number {
  if (seed === undefined) return Math.floor(Math.random() * 2 ** 32);
  return Number(BigInt.asUintN(32, BigInt(seed)));
}

function schemaOf(format: z.infer<typeof responseFormat> | undefined): ChatRequest["schema"] {
  if (format?.type === "json_object") return { value: { type: "object" }, anyObject: true };
  if (format?.type !== "json_schema") return undefined;
  return { value: format.json_schema.schema ?? {}, anyObject: false };
}
