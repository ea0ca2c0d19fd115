// A call in OpenAI's shape, read as a ModelCall: what chat and text completions have in common. The body stays as it came; getters read
// it when they are asked.
import type {
  AnswerFormat,
  CompletionShape,
  EngineRequest,
  Prompt,
  Received,
  RegisteredEndpoint,
  Sampling,
  Thinking,
  Tool,
  ToolChoice,
} from "../../../engines/index.ts";
import { copied } from "../../../bounded/index.ts";
import { promptLength, writerOf } from "../../../engines/index.ts";
import type { BodyWish, Medium, ModelCall } from "../../modelCall.ts";

import { holdsMedia, promptTokensBound } from "./bounds.ts";
import { invalidValue } from "../../refusals.ts";
import type { CallBody } from "./bodies.ts";
import { fieldsFor } from "./fields.ts";
import { thinkingOf } from "./thinking.ts";

/** Fields that a ModelCall has under a name of its own; all others are extensions. */
const known = new Set([
  "model",
  "messages",
  "prompt",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "temperature",
  "top_p",
  "seed",
  "stop",
  "presence_penalty",
  "frequency_penalty",
  "n",
  "best_of",
  "echo",
  "tools",
  "tool_choice",
  "response_format",
  "parallel_tool_calls",
  "top_k",
  "min_p",
  "logprobs",
  "top_logprobs",
  "reasoning_effort",
  "enable_thinking",
  "thinking",
  "thinking_budget",
  "reasoning",
  "verbosity",
  "prompt_cache_key",
  "prompt_cache_retention",
]);

const daySeconds = 86_400;

const textIn = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

/** `logprobs` is a switch beside `top_logprobs` in chat completions, and a number in text completions. */
function logprobsOf({ logprobs, top_logprobs: top }: CallBody): number | undefined {
  if (typeof logprobs === "number") return logprobs;
  if (logprobs !== true) return undefined;
  return typeof top === "number" ? top : 0;
}

export abstract class OpenAiCall implements ModelCall {
  abstract readonly shape: CompletionShape;
  readonly kind = "generate";
  abstract readonly prompt: Prompt;
  abstract readonly tools: readonly Tool[];
  abstract readonly toolChoice: ToolChoice | undefined;
  abstract readonly parallelTools: boolean | undefined;
  abstract readonly format: AnswerFormat | undefined;
  abstract readonly media: readonly Medium[];
  abstract promptBytes(): readonly Uint8Array[] | undefined;
  abstract fitted(endpoint: RegisteredEndpoint): ModelCall;
  abstract withMedia(media: readonly Medium[], data: ReadonlyMap<string, string>): ModelCall;

  protected readonly body: CallBody;
  readonly received: Received | undefined;
  #thinking: Thinking | undefined;

  constructor(body: CallBody, received: Received | undefined) {
    this.body = body;
    this.received = received;
  }

  get model(): string {
    return this.body.model;
  }

  get stream(): boolean {
    return this.body.stream === true;
  }

  get streamUsage(): boolean {
    const options = this.body["stream_options"] as { include_usage?: boolean } | null | undefined;
    return options?.include_usage === true;
  }

  get sampling(): Sampling {
    const { temperature, top_p: topP, seed, stop } = this.body;
    const { presence_penalty: presencePenalty, frequency_penalty: frequencyPenalty } = this.body;
    const { top_k: topK, min_p: minP } = this.body;
    const logprobs = logprobsOf(this.body);
    const said = { temperature, topP, topK, minP, seed, presencePenalty, frequencyPenalty, logprobs };
    const sampling: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(said)) if (value !== undefined && value !== null) sampling[name] = value;
    if (typeof stop === "string") sampling["stop"] = [stop];
    else if (Array.isArray(stop)) sampling["stop"] = stop;
    return sampling as Sampling;
  }

  get answersPerPrompt(): number {
    const { n, best_of: bestOf } = this.body as { n?: number | null; best_of?: number | null };
    return Math.max(n ?? 1, bestOf ?? 1);
  }

  get repeatsPrompt(): boolean {
    return this.body["echo"] === true;
  }

  /** Read once: the gateway asks for it at every step of a call. */
  get thinking(): Thinking {
    return (this.#thinking ??= thinkingOf(this.body));
  }

  get verbosity(): string | undefined {
    return textIn(this.body["verbosity"]);
  }

  get cacheKey(): string | undefined {
    return textIn(this.body["prompt_cache_key"]);
  }

  get cacheTtlSeconds(): number | undefined {
    return this.body["prompt_cache_retention"] === "24h" ? daySeconds : undefined;
  }

  /** OpenAI's API has no headers that change what is asked. */
  get headers(): readonly [] {
    return [];
  }

  get extensions(): Record<string, unknown> {
    const fields = Object.keys(this.body).filter((field) => !known.has(field));
    return Object.fromEntries(fields.map((field) => [field, this.body[field]]));
  }

  get streamsFaithfully(): boolean {
    const { n, best_of: bestOf, prompt, prompt_logprobs: promptLogprobs } = this.body as Record<string, unknown>;
    if (typeof bestOf === "number" && bestOf > (typeof n === "number" ? n : 1)) return false;
    if (promptLogprobs !== undefined && promptLogprobs !== null) return false;
    return !Array.isArray(prompt) || typeof prompt[0] === "number";
  }

  get hasMedia(): boolean {
    return holdsMedia(this.body);
  }

  get promptTokensMost(): number {
    return promptTokensBound(this.shape, this.body, this.received?.bytes.length);
  }

  get promptCharacters(): number {
    return promptLength(this.body, this.received?.bytes.length);
  }

  outputLimit(): { tokens: number; field: string } | undefined {
    const newName = (this.body["max_completion_tokens"] ?? undefined) as number | undefined;
    const oldName = (this.body["max_tokens"] ?? undefined) as number | undefined;
    if (newName !== undefined && oldName !== undefined && newName !== oldName)
      throw invalidValue(
        "max_tokens",
        `\`max_tokens\` (${oldName}) and \`max_completion_tokens\` (${newName}) differ: one limit is priced and sent. Give one of them.`,
      );
    if (newName !== undefined) return { tokens: newName, field: "max_completion_tokens" };
    return oldName === undefined ? undefined : { tokens: oldName, field: "max_tokens" };
  }

  engineBody({ shape, ...of }: BodyWish): EngineRequest["body"] {
    if (shape !== this.shape) return writerOf(shape)!.write(this, of);
    const { model, outputTokens, stream } = of;
    const streamed = stream === true ? { stream } : undefined;
    if (outputTokens === undefined) return copied(this.body, { ...streamed, model });
    const body = copied(this.body, { ...streamed, max_tokens: outputTokens, model });
    delete body["max_completion_tokens"];
    return body;
  }

  /** The body as the endpoint can be sent it; the same object where nothing has to be left out. Throws a 400 by name. */
  protected fittedBody(endpoint: RegisteredEndpoint): CallBody {
    return fieldsFor(this.shape, this.body, endpoint);
  }
}
