// A Gemini body as a ModelCall. The path names the model and says whether the answer streams.
import { billedIn, deniedGemini } from "../../../engines/index.ts";
import type {
  AnswerFormat,
  Message,
  Prompt,
  Received,
  RegisteredEndpoint,
  Sampling,
  Thinking,
  Tool,
  ToolChoice,
} from "../../../engines/index.ts";
import type { BodyWish } from "../../modelCall.ts";
import { invalidValue } from "../../refusals.ts";
import { unknownKey } from "../openai/keys.ts";
import { TranslatedCall } from "../translatedCall.ts";
import { jsonSchemaOf } from "./jsonSchema.ts";
import { refuseDenied } from "../spoken.ts";
import { ownBody, withFetchedParts } from "./own.ts";
import { messagesOf } from "./parts.ts";

type Json = Record<string, unknown>;

/** Members that the typed view has under a name of its own; all others are extensions. */
const known = new Set(["contents", "systemInstruction", "tools", "toolConfig", "generationConfig"]);
const knownConfig = new Set([
  "temperature",
  "topP",
  "topK",
  "seed",
  "maxOutputTokens",
  "stopSequences",
  "presencePenalty",
  "frequencyPenalty",
  "responseMimeType",
  "responseSchema",
  "responseJsonSchema",
  "thinkingConfig",
]);

/** Members of `generationConfig` that ask for what happens anyway, or for nothing that a model of text has. */
const neutral: Record<string, (value: unknown) => boolean> = {
  candidateCount: (value) => value === 1,
  responseModalities: (value) => Array.isArray(value) && value.every((one) => String(one).toUpperCase() === "TEXT"),
  responseLogprobs: (value) => value === false,
  mediaResolution: () => true,
};

/** Fields beside the prompt that change no answer here: a provider's own filters, and labels for its bill. */
const hints = new Set(["safetySettings", "labels"]);

const levels = ["minimal", "low", "medium", "high"] as const;

interface GeminiRoute {
  model: string;
  stream: boolean;
}

export class GeminiCall extends TranslatedCall {
  readonly shape = "gemini";
  readonly headers = [];
  readonly cacheTtlSeconds = undefined;
  readonly parallelTools = undefined;
  protected readonly resultMember = "functionResponse.parts";
  protected readonly promptMembers = ["tools", "systemInstruction", "contents"];
  /** Gemini CLI sends it with every call. */
  protected override readonly hints = ["top_k"];
  protected readonly ownNames = {
    stop: "generationConfig.stopSequences",
    response_format: "generationConfig.responseJsonSchema",
    top_k: "generationConfig.topK",
    top_p: "generationConfig.topP",
    temperature: "generationConfig.temperature",
    seed: "generationConfig.seed",
    presence_penalty: "generationConfig.presencePenalty",
    frequency_penalty: "generationConfig.frequencyPenalty",
    max_tokens: "generationConfig.maxOutputTokens",
    tool_choice: "toolConfig.functionCallingConfig",
  };
  override readonly answersPerPrompt: number;
  readonly #body: Json;
  readonly #route: GeminiRoute;
  #messages: readonly Message[] | undefined;
  #tools: readonly Tool[] | undefined;

  constructor(body: Json, received: Received | undefined, route: GeminiRoute) {
    super(received);
    this.#body = body;
    this.#route = route;
    const { candidateCount: count } = this.#config;
    this.answersPerPrompt = typeof count === "number" ? count : 1;
  }

  get model(): string {
    return this.#route.model;
  }

  get stream(): boolean {
    return this.#route.stream;
  }

  get #config(): Json {
    return (this.#body["generationConfig"] ?? {}) as Json;
  }

  get prompt(): Prompt {
    const contents = this.#body["contents"] as Json[];
    return {
      kind: "messages",
      messages: (this.#messages ??= messagesOf(this.#body["systemInstruction"], contents)),
    };
  }

  get tools(): readonly Tool[] {
    return (this.#tools ??= this.#wireTools.flatMap(({ functionDeclarations, ...others }) => [
      ...((functionDeclarations ?? []) as Json[]).map(toolOf),
      ...Object.keys(others).map((name) => ({
        name,
        opaque: { shape: "gemini" as const, item: { [name]: others[name] } },
      })),
    ]));
  }

  get #wireTools(): Json[] {
    return (this.#body["tools"] ?? []) as Json[];
  }

  get toolChoice(): ToolChoice | undefined {
    const config = (this.#body["toolConfig"] as Json | null | undefined)?.["functionCallingConfig"];
    const { mode, allowedFunctionNames: names } = (config ?? {}) as { mode?: string; allowedFunctionNames?: string[] };
    const said = mode?.toUpperCase();
    if (said === "NONE") return "none";
    if (said !== "ANY") return said === "AUTO" ? "auto" : undefined;
    if (!names || names.length === 0) return "required";
    return names.length === 1 ? { name: names[0]! } : { anyOf: names, required: true };
  }

  get format(): AnswerFormat | undefined {
    const { responseMimeType: type, responseJsonSchema, responseSchema } = this.#config;
    if (type !== "application/json") return undefined;
    const schema = (responseJsonSchema ?? responseSchema) as Json | null | undefined;
    return schema ? { kind: "schema", schema: jsonSchemaOf(schema) } : { kind: "json" };
  }

  get sampling(): Sampling {
    const { temperature, topP, topK, seed, stopSequences, presencePenalty, frequencyPenalty } = this.#config;
    const said = { temperature, topP, topK, seed, presencePenalty, frequencyPenalty };
    return {
      ...Object.fromEntries(Object.entries(said).filter(([, value]) => typeof value === "number")),
      ...(Array.isArray(stopSequences) && stopSequences.length > 0 && { stop: stopSequences as string[] }),
    };
  }

  get thinking(): Thinking {
    const { thinkingConfig } = this.#config as { thinkingConfig?: Json | null };
    const { includeThoughts: shown, thinkingBudget: budget, thinkingLevel } = thinkingConfig ?? {};
    const effort = levels.find((one) => one === String(thinkingLevel ?? "").toLowerCase());
    return {
      asked: shown === true || effort !== undefined || (typeof budget === "number" && budget !== 0),
      tokensBeside: 0,
      ...(effort !== undefined && { effort }),
      ...(typeof budget === "number" && budget > 0 && { budgetTokens: budget }),
      ...(budget === -1 && { adaptive: true }),
      show: shown === true ? "summary" : "omitted",
    };
  }

  get extensions(): Json {
    return Object.fromEntries(Object.entries(this.#body).filter(([field]) => !known.has(field)));
  }

  outputLimit(): { tokens: number; field: string } | undefined {
    const { maxOutputTokens: tokens } = this.#config;
    return typeof tokens === "number" ? { tokens, field: "generationConfig.maxOutputTokens" } : undefined;
  }

  /** Tools that Google's servers run; an engine that speaks chat has none of them. */
  protected get unsaid(): readonly string[] {
    return this.#wireTools.flatMap((tool, place) =>
      Object.keys(tool)
        .filter((name) => name !== "functionDeclarations")
        .map((name) => `tools[${place}].${name}`),
    );
  }

  protected copy(): GeminiCall {
    return new GeminiCall(this.#body, this.received, this.#route);
  }

  protected ownBody({ model, outputTokens }: Omit<BodyWish, "shape">): Json {
    return ownBody(this.#body, model, outputTokens);
  }

  protected override get ownLeftOut(): readonly string[] {
    return this.#wireTools.flatMap((tool, place) => billedIn(tool).map((name) => `tools[${place}].${name}`));
  }

  protected withData(data: ReadonlyMap<string, string>): GeminiCall {
    return new GeminiCall(withFetchedParts(this.#body, data), this.received, this.#route);
  }

  protected refuseOwn(endpoint: RegisteredEndpoint): void {
    refuseDenied(deniedGemini(this.#body, endpoint.allowFields), endpoint);
  }

  protected partsPath(message: number): string {
    const { messages } = this.prompt as Extract<Prompt, { kind: "messages" }>;
    const before = messages.length - (this.#body["contents"] as Json[]).length;
    return message < before ? "systemInstruction.parts" : `contents[${message - before}].parts`;
  }

  protected refuseFields(): void {
    for (const [field, value] of Object.entries(this.#body))
      if (!known.has(field) && value !== null && value !== undefined && !hints.has(field))
        throw unknownKey(field, "only Google's own API knows it, and this model is served by another engine");
    for (const [field, value] of Object.entries(this.#config)) {
      if (knownConfig.has(field) || value === null || value === undefined) continue;
      if (Object.hasOwn(neutral, field) && neutral[field]!(value)) continue;
      throw unknownKey(`generationConfig.${field}`, "the engine of this model has no word for it");
    }
  }

  /** What Google's servers ran in earlier turns is left out, because its outcome stands in the text that followed. */
  protected refuseOpaque(item: Json, path: string): void {
    if (item["executableCode"] || item["codeExecutionResult"] || item["toolCall"] || item["toolResponse"]) return;
    if (item["fileData"])
      throw unknownKey(
        `${path}.fileData.fileUri`,
        "it names a file that Google keeps. Send the file itself as inlineData",
      );
    // An empty part says nothing.
    const [kind] = Object.keys(item).filter((name) => name !== "thoughtSignature" && name !== "text");
    if (kind !== undefined) throw unknownKey(`${path}.${kind}`, "it is known to Google's models alone");
  }
}

function toolOf({ name, description, parameters, parametersJsonSchema }: Json): Tool {
  const schema = (parametersJsonSchema ?? parameters) as Json | null | undefined;
  return {
    name: String(name),
    ...(typeof description === "string" && { description }),
    ...(schema && { parameters: jsonSchemaOf(schema) }),
  };
}

/** Throws a 400 where the body asks for a tool that it does not define. */
export function checkToolChoice({ toolChoice, tools }: GeminiCall): void {
  if (toolChoice === undefined || toolChoice === "none" || toolChoice === "auto") return;
  const field = "toolConfig.functionCallingConfig";
  const names = new Set(tools.map(({ name }) => name));
  if (names.size === 0) throw invalidValue(field, `\`${field}\` asks for a tool, yet \`tools\` is empty.`);
  if (toolChoice === "required") return;
  const wanted = "name" in toolChoice ? [toolChoice.name] : toolChoice.anyOf;
  const missing = wanted.find((name) => !names.has(name));
  if (missing !== undefined)
    throw invalidValue(
      `${field}.allowedFunctionNames`,
      `\`allowedFunctionNames\` names ${missing.slice(0, 100)}, which is not among the tools.`,
    );
}
