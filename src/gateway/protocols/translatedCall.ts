// A call of an API that is not OpenAI's, for engines that speak chat completions: it is written as a chat completion from the typed view,
// and judged by the rules of every chat call (fields, media, bounds). Refusals name fields as the client wrote them.
import { writeChat, writerOf } from "../../engines/index.ts";
import type {
  AnswerFormat,
  EngineRequest,
  Part,
  Prompt,
  Received,
  RegisteredEndpoint,
  Sampling,
  Shape,
  Thinking,
  Tool,
  ToolChoice,
} from "../../engines/index.ts";
import { LineshaftError } from "../../errors/index.ts";
import type { BodyWish, Medium, ModelCall } from "../modelCall.ts";
import { ChatCall } from "./chat/call.ts";
import type { CallBody } from "./openai/bodies.ts";
import { honoured } from "./openai/fields.ts";

type Json = Record<string, unknown>;

export abstract class TranslatedCall implements ModelCall {
  abstract readonly shape: Shape;
  abstract readonly model: string;
  abstract readonly stream: boolean;
  abstract readonly prompt: Prompt;
  abstract readonly tools: readonly Tool[];
  abstract readonly toolChoice: ToolChoice | undefined;
  abstract readonly parallelTools: boolean | undefined;
  abstract readonly format: AnswerFormat | undefined;
  abstract readonly sampling: Sampling;
  abstract readonly thinking: Thinking;
  abstract readonly extensions: Readonly<Json>;
  abstract readonly headers: readonly (readonly [name: string, value: string])[];
  abstract readonly cacheTtlSeconds: number | undefined;
  abstract outputLimit(): { tokens: number; field: string } | undefined;

  readonly kind = "generate";
  /** The last event of a stream says what was used, in all of these APIs. */
  readonly streamUsage = true;
  readonly streamsFaithfully = true;
  readonly repeatsPrompt = false;
  readonly answersPerPrompt: number = 1;
  readonly verbosity = undefined;
  readonly cacheKey = undefined;
  readonly received: Received | undefined;
  /** Hints that the fitted endpoint does not take, by the client's names. */
  #untaken: readonly string[] = [];
  /** The chat call that engines are asked: once an endpoint was fitted, the one that it takes. */
  #chat: ModelCall | undefined;

  constructor(received: Received | undefined) {
    this.received = received;
  }

  /** Parts of the call that no chat engine can be asked and whose loss changes nothing else, by their paths in the client's body. */
  protected abstract readonly unsaid: readonly string[];
  /** Chat's fields that the client's software sends unasked: where an endpoint does not take one it is left out, and not refused. */
  protected readonly hints: readonly string[] = [];
  /** The same call with nothing fitted. */
  protected abstract copy(): TranslatedCall;
  /** Throws a 400 at the first field that a chat engine cannot be asked, by the name that the client gave it. */
  protected abstract refuseFields(): void;
  /** The client's own names of chat's fields. */
  protected abstract readonly ownNames: Readonly<Record<string, string>>;
  /** Throws a 400 where leaving the item out would change what the model is told. */
  protected abstract refuseOpaque(item: Json, path: string): void;
  /** The path of a message's parts in the client's body, by the message's place in `prompt`. */
  protected abstract partsPath(message: number): string;
  /** Member of a tool's result that holds its parts. */
  protected abstract readonly resultMember: string;

  get leftOut(): readonly string[] {
    return this.#untaken.length === 0 ? this.unsaid : [...this.unsaid, ...this.#untaken];
  }

  get hasMedia(): boolean {
    return this.#asChat.hasMedia;
  }

  get promptTokensMost(): number {
    return this.#asChat.promptTokensMost;
  }

  get promptCharacters(): number {
    return this.#asChat.promptCharacters;
  }

  get media(): readonly Medium[] {
    const media = this.#asChat.media;
    if (media.length === 0) return media;
    const paths = new Map(this.#places().flatMap(({ part, path }) => ("url" in part ? [[part.url, path]] : [])));
    return media.map((medium) => ({ ...medium, path: paths.get(medium.url) ?? medium.path }));
  }

  engineBody(of: BodyWish): EngineRequest["body"] {
    return of.shape === "chat" ? this.#asChat.engineBody(of) : writerOf(of.shape)!.write(this, of);
  }

  fitted(endpoint: RegisteredEndpoint): ModelCall {
    this.refuseFields();
    this.#refuseParts(endpoint);
    try {
      const fitted = this.copy();
      const body = this.#chatBody(honoured("cache_control", endpoint));
      const untaken = this.hints.filter((field) => Object.hasOwn(body, field) && !honoured(field, endpoint));
      for (const field of untaken) delete body[field];
      fitted.#untaken = untaken.map((field) => this.ownNames[field] ?? field);
      fitted.#chat = new ChatCall(body as CallBody, undefined).fitted(endpoint);
      return fitted;
    } catch (error) {
      throw error instanceof LineshaftError ? this.#inOwnNames(error) : error;
    }
  }

  withMedia(media: readonly Medium[], data: ReadonlyMap<string, string>): ModelCall {
    const copy = this.copy();
    copy.#untaken = this.#untaken;
    copy.#chat = this.#asChat.withMedia(media, data);
    return copy;
  }

  /** Every part of the prompt with its path in the client's body, those inside results of tools included. */
  #places(): { part: Part; path: string }[] {
    if (this.prompt.kind !== "messages") return [];
    return this.prompt.messages.flatMap(({ parts }, message) => {
      const outer = this.partsPath(message);
      return parts.flatMap((part, place) => {
        const path = `${outer}[${place}]`;
        const inner = part.kind === "tool_result" ? part.parts : [];
        const within = inner.map((one, at) => ({ part: one, path: `${path}.${this.resultMember}[${at}]` }));
        return [{ part, path }, ...within];
      });
    });
  }

  /** Throws a 400 at the first part that the engine does not read. */
  #refuseParts({ name, facts }: RegisteredEndpoint): void {
    const reads = facts?.capabilities.media;
    for (const { part, path } of this.#places()) {
      if (part.kind === "opaque") this.refuseOpaque(part.item, path);
      if (!("url" in part) || reads === undefined || reads.includes(part.kind)) continue;
      const hint = "Send text, or ask a model that reads it.";
      throw new LineshaftError({
        code: "media_not_read",
        param: path,
        message: `${path}: the engine of ${name} does not read parts of the kind ${part.kind}. ${hint}`,
        hint,
      });
    }
  }

  get #asChat(): ModelCall {
    return (this.#chat ??= new ChatCall(this.#chatBody(false) as CallBody, undefined));
  }

  /** `marks`: the engine reads marks of its prompt cache. To other engines they are a hint that means nothing. */
  #chatBody(marks: boolean): Json {
    const body = writeChat(this, { model: this.model, stream: this.stream, marks });
    const effort = chatEffort(this.thinking);
    if (effort === undefined) delete body["reasoning_effort"];
    else body["reasoning_effort"] = effort;
    return body;
  }

  /** A refusal of chat's fields and places in the names that the client wrote. */
  #inOwnNames(error: LineshaftError): LineshaftError {
    const { param } = error;
    if (param === undefined) return error;
    const [first] = /^\w+/.exec(param) ?? [""];
    const own = Object.hasOwn(this.ownNames, first) ? this.ownNames[first] : undefined;
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
}

/** How much to think, in the words that every chat engine knows: three of them. A budget of tokens becomes the nearest word. */
function chatEffort({ asked, effort, budgetTokens }: Thinking): string | undefined {
  if (!asked) return undefined;
  if (effort === "none") return undefined;
  if (effort === "minimal") return "low";
  if (effort === "xhigh" || effort === "max") return "high";
  if (effort !== undefined || budgetTokens === undefined) return effort;
  if (budgetTokens <= 4_096) return "low";
  return budgetTokens <= 16_384 ? "medium" : "high";
}
