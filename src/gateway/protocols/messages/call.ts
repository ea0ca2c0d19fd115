// An Anthropic Messages body as a ModelCall. Parts, tools and choices are read when they are asked for and remembered, because a call that
// goes to Anthropic itself leaves as the bytes that came.
import { copied, hasOutline, outlineOf } from "../../../bounded/index.ts";
import { deniedMessages } from "../../../engines/index.ts";
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
import type { BodyWish, Medium } from "../../modelCall.ts";
import { invalidValue } from "../../refusals.ts";
import type { CallBody } from "../openai/bodies.ts";
import { unknownKey } from "../openai/keys.ts";
import { ReadPrompt } from "../readPrompt.ts";
import { refuseDenied } from "../spoken.ts";
import { TranslatedCall } from "../translatedCall.ts";
import { mediaIn, withData } from "./media.ts";
import { markOf, messageOf, partsOf } from "./parts.ts";
import { isClientTool, isServerTool, refusedFields, toolOf } from "./tools.ts";

type Json = Record<string, unknown>;

/** Members that the typed view has under a name of its own; all others are extensions. */
const known = new Set([
  "model",
  "messages",
  "system",
  "max_tokens",
  "stream",
  "temperature",
  "top_p",
  "top_k",
  "stop_sequences",
  "tools",
  "tool_choice",
  "thinking",
  "output_config",
  "output_format",
  "cache_control",
]);

/** The smallest budget of thought that Anthropic takes. */
const thoughtLeast = 1_024;

const efforts = ["low", "medium", "high", "xhigh", "max"] as const;

interface WireChoice {
  type: "auto" | "any" | "tool" | "none";
  name?: string;
  disable_parallel_tool_use?: boolean | null;
}

export class MessagesCall extends TranslatedCall {
  readonly shape = "messages";
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Every body must name a limit, so clients name the most that their models write. */
  readonly limitIsUsual = true;
  protected readonly resultMember = "content";
  protected readonly promptMembers = ["tools", "system", "messages"];
  protected readonly ownNames = { stop: "stop_sequences", response_format: "output_config.format" };
  readonly #body: CallBody;
  #messages: readonly Message[] | undefined;
  #outline: readonly Message[] | undefined;
  #tools: readonly Tool[] | undefined;

  constructor(body: CallBody, received: Received | undefined, headers: MessagesCall["headers"]) {
    super(received);
    this.#body = body;
    this.headers = headers;
  }

  get model(): string {
    return this.#body.model;
  }

  get stream(): boolean {
    return this.#body.stream === true;
  }

  get prompt(): Prompt {
    return new ReadPrompt(() => (this.#messages ??= this.#readMessages()));
  }

  protected override get outline(): readonly Message[] | undefined {
    if (!hasOutline(this.#body, "messages")) return undefined;
    return (this.#outline ??= this.#readMessages(outlineOf(this.#body, "messages") as Json[]));
  }

  #readMessages(messages = this.#body["messages"] as Json[]): Message[] {
    const system = partsOf(this.#body["system"] ?? undefined);
    const said = messages.map(messageOf);
    return system.length === 0 ? said : [{ role: "system", parts: system }, ...said];
  }

  get tools(): readonly Tool[] {
    return (this.#tools ??= ((this.#body["tools"] ?? []) as Json[]).map(toolOf));
  }

  get toolChoice(): ToolChoice | undefined {
    const choice = this.#body["tool_choice"] as WireChoice | null | undefined;
    if (!choice) return undefined;
    if (choice.type === "any") return "required";
    return choice.type === "tool" ? { name: choice.name ?? "" } : choice.type;
  }

  get parallelTools(): boolean | undefined {
    const choice = this.#body["tool_choice"] as WireChoice | null | undefined;
    return choice?.disable_parallel_tool_use === true ? false : undefined;
  }

  get format(): AnswerFormat | undefined {
    const format = ((this.#body["output_config"] as Json | null | undefined)?.["format"] ??
      this.#body["output_format"]) as { schema: Json } | null | undefined;
    return format ? { kind: "schema", schema: format.schema, strict: true } : undefined;
  }

  get sampling(): Sampling {
    const { temperature, top_p: topP, top_k: topK, stop_sequences: stop } = this.#body as Json;
    return {
      ...(typeof temperature === "number" && { temperature }),
      ...(typeof topP === "number" && { topP }),
      ...(typeof topK === "number" && { topK }),
      ...(Array.isArray(stop) && stop.length > 0 && { stop: stop as string[] }),
    };
  }

  get thinking(): Thinking {
    const thinking = this.#body["thinking"] as { type: string; budget_tokens?: number; display?: string } | null;
    const said = (this.#body["output_config"] as Json | null | undefined)?.["effort"];
    const effort = efforts.find((one) => one === said);
    const show = { summarized: "summary", omitted: "omitted" } as const;
    const display = thinking?.display;
    return {
      asked: thinking?.type === "enabled" || thinking?.type === "adaptive",
      tokensBeside: 0,
      ...(effort !== undefined && { effort }),
      ...(thinking?.budget_tokens !== undefined && { budgetTokens: thinking.budget_tokens }),
      ...(thinking?.type === "adaptive" && { adaptive: true }),
      ...((display === "summarized" || display === "omitted") && { show: show[display] }),
    };
  }

  get cacheTtlSeconds(): number | undefined {
    return markOf(this.#body as Json).mark?.ttlSeconds;
  }

  get extensions(): Json {
    const fields = Object.keys(this.#body).filter((field) => !known.has(field));
    return Object.fromEntries(fields.map((field) => [field, this.#body[field]]));
  }

  outputLimit(): { tokens: number; field: string } | undefined {
    const { max_tokens: tokens } = this.#body as { max_tokens?: number };
    return tokens === undefined ? undefined : { tokens, field: "max_tokens" };
  }

  /** Tools that Anthropic's servers run; an engine that speaks chat has none of them. */
  protected get unsaid(): readonly string[] {
    return ((this.#body["tools"] ?? []) as Json[]).flatMap((tool, place) =>
      isServerTool(tool) ? [`tools[${place}].${String(tool["type"])}`] : [],
    );
  }

  protected copy(): MessagesCall {
    const copy = new MessagesCall(this.#body, this.received, this.headers);
    copy.#messages = this.#messages;
    copy.#outline = this.#outline;
    copy.#tools = this.#tools;
    return copy;
  }

  /**
   * The body with the one limit of output. A limit that the budget lowered below the client's budget of thought lowers that too, because
   * Anthropic refuses a budget of thought that is not below the limit.
   */
  protected ownBody({ model, outputTokens, stream }: Omit<BodyWish, "shape">): Json {
    const thinking = this.#body["thinking"] as Json | null | undefined;
    const budget = thinking?.["budget_tokens"];
    const isOver = outputTokens !== undefined && typeof budget === "number" && budget >= outputTokens;
    return copied(this.#body, {
      model,
      ...(outputTokens !== undefined && { max_tokens: outputTokens }),
      ...(stream === true && { stream }),
      ...(isOver && { thinking: { ...thinking, budget_tokens: Math.max(thoughtLeast, outputTokens - 1) } }),
    });
  }

  protected refuseOwn(endpoint: RegisteredEndpoint): void {
    refuseDenied(deniedMessages(this.#body, this.headers, endpoint.allowFields), endpoint);
  }

  /** Media at any depth, those in documents and results included: Anthropic would fetch an address from its own network. */
  protected override mediaIn(): readonly Medium[] {
    const found = mediaIn(this.#body["system"], outlineOf(this.#body, "messages"));
    const isWhole = found.length === 0 || !hasOutline(this.#body, "messages");
    return isWhole ? found : mediaIn(this.#body["system"], this.#body["messages"]);
  }

  protected withData(data: ReadonlyMap<string, string>): MessagesCall {
    return new MessagesCall(withData(this.#body, data) as CallBody, this.received, this.headers);
  }

  protected partsPath(message: number): string {
    const hasSystem = partsOf(this.#body["system"] ?? undefined).length > 0;
    if (hasSystem && message === 0) return "system";
    return `messages[${message - (hasSystem ? 1 : 0)}].content`;
  }

  protected refuseFields(): void {
    for (const field in this.#body) {
      if (known.has(field)) continue;
      const value = this.#body[field];
      if (value === null || value === undefined) continue;
      const why = refusedFields(field, value);
      if (why !== undefined) throw unknownKey(field, why);
    }
    for (const [place, tool] of ((this.#body["tools"] ?? []) as Json[]).entries())
      if (isClientTool(tool))
        throw unknownKey(
          `tools[${place}].type`,
          `only Anthropic's models know \`${String(tool["type"]).slice(0, 40)}\`; describe it as a tool with an input_schema`,
        );
    const choice = this.toolChoice;
    const named = typeof choice === "object" && "name" in choice ? choice.name : undefined;
    if (named !== undefined && this.tools.find(({ name }) => name === named)?.opaque)
      throw unknownKey("tool_choice.name", `the engine of this model does not run \`${named.slice(0, 40)}\``);
  }

  /** Server tools of earlier turns are left out, because what they found stands in the text that followed. */
  protected refuseOpaque(item: Json, path: string): void {
    const type = String(item["type"]).slice(0, 40);
    if (type === "server_tool_use" || type === "mcp_tool_use" || type.endsWith("_tool_result")) return;
    const source = item["source"] as Json | undefined;
    if (source?.["type"] === "file")
      throw unknownKey(
        `${path}.source.file_id`,
        "it names a file that Anthropic keeps. Send the file itself in base64",
      );
    throw unknownKey(`${path}.type`, `\`${type}\` is known to Anthropic's models alone`);
  }
}

/** Throws a 400 where the body asks for a tool that it does not define. */
export function checkToolChoice(body: CallBody): void {
  const choice = body["tool_choice"] as WireChoice | null | undefined;
  if (!choice || choice.type === "auto" || choice.type === "none") return;
  const names = ((body["tools"] ?? []) as Json[]).map(({ name }) => name);
  if (names.length === 0) throw invalidValue("tool_choice", "`tool_choice` asks for a tool, yet `tools` is empty.");
  if (choice.type === "tool" && !names.includes(choice.name))
    throw invalidValue(
      "tool_choice.name",
      `\`tool_choice\` names ${choice.name}, which is not in \`tools\` (${names.join(", ").slice(0, 500)}).`,
    );
}
