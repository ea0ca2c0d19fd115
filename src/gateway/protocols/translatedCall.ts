// A call of an API that is not OpenAI's chat. At an engine of the same API it leaves as it came, but for the model's name and the limit;
// what would change the price or the payer is refused by name. At an engine that speaks chat it is written as a chat completion from the
// typed view and judged by the rules of every chat call (fields, media, bounds). At any other engine the typed view is written in that
// engine's format. Refusals name fields as the client wrote them.
import { writeChat, writerOf } from "../../engines/index.ts";
import type {
  AnswerFormat,
  EngineRequest,
  Message,
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
import {
  holdMedia,
  mediaAmong,
  placesOf,
  promptTokensByBytes,
  refuseMedia,
  tokensBesideChat,
  type PlacedPart,
} from "./partMedia.ts";
import { bytesOfMembers } from "./promptBytes.ts";
import { leftOutIn, shapeAt } from "./spoken.ts";

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
  /** Fields that the fitted endpoint is not sent, by the client's names. */
  #leftOut: readonly string[] | undefined;
  /** The call as a chat completion: once an endpoint that speaks chat was fitted, the one that it takes. */
  #chat: ModelCall | undefined;

  constructor(received: Received | undefined) {
    this.received = received;
  }

  /**
   * Parts of the call that only engines of its own API can be asked and whose loss changes nothing else, by their paths in the client's
   * body.
   */
  protected abstract readonly unsaid: readonly string[];
  /** Chat's fields that the client's software sends unasked: where an endpoint does not take one it is left out, and not refused. */
  protected readonly hints: readonly string[] = [];
  /** The same call with nothing fitted. */
  protected abstract copy(): TranslatedCall;
  /** Throws a 400 at the first field that only engines of its own API can be asked, by the name that the client gave it. */
  protected abstract refuseFields(): void;
  /** Throws a 400 at the first thing that an engine of the call's own API must not be asked. */
  protected abstract refuseOwn(endpoint: RegisteredEndpoint): void;
  /** What an engine of the call's own API is not sent and whose loss changes nothing else, by its path in the client's body. */
  protected get ownLeftOut(): readonly string[] {
    return [];
  }
  /** The body for an engine of the call's own API. Values that need not change are the received ones. */
  protected abstract ownBody(of: Omit<BodyWish, "shape">): Json;
  /** The same call with data in place of these addresses of media. */
  protected abstract withData(data: ReadonlyMap<string, string>): TranslatedCall;
  /** The client's own names of chat's fields. */
  protected abstract readonly ownNames: Readonly<Record<string, string>>;
  /** Throws a 400 where leaving the item out would change what the model is told. */
  protected abstract refuseOpaque(item: Json, path: string): void;
  /** The path of a message's parts in the client's body, by the message's place in `prompt`. */
  protected abstract partsPath(message: number): string;
  /** Member of a tool's result that holds its parts. */
  protected abstract readonly resultMember: string;
  /** Members of the client's body that the prompt is made of, the conversation last. */
  protected abstract readonly promptMembers: readonly string[];

  get formatPath(): string | undefined {
    return this.ownNames["response_format"];
  }

  get leftOut(): readonly string[] {
    return this.#leftOut ?? this.unsaid;
  }

  /**
   * The messages of a long conversation by their outline (bounded/jsonLazy.ts): long texts are ".". Undefined where the conversation has
   * none. It decides what does not depend on what a long text says.
   */
  protected get outline(): readonly Message[] | undefined {
    return undefined;
  }

  get hasMedia(): boolean {
    return holdMedia(this.outline ?? this.#messages);
  }

  get promptTokensMost(): number {
    if (this.outline && !this.hasMedia) return promptTokensByBytes(this, this.outline, this.received!.bytes.length);
    return this.#asChat.promptTokensMost + tokensBesideChat(this.tools, this.#places());
  }

  get promptCharacters(): number {
    return this.outline ? this.received!.bytes.length : this.#asChat.promptCharacters;
  }

  promptBytes(): readonly Uint8Array[] | undefined {
    return bytesOfMembers(this.received, this.promptMembers);
  }

  get media(): readonly Medium[] {
    return this.#leftOut === undefined ? [] : this.mediaIn();
  }

  /** Every medium of the prompt, at its place in the client's body. */
  protected mediaIn(): readonly Medium[] {
    if (this.outline && !this.hasMedia) return [];
    return mediaAmong(this.#places());
  }

  engineBody(of: BodyWish): EngineRequest["body"] {
    const { shape, ...wish } = of;
    if (shape === "chat") return this.#asChat.engineBody(of);
    return shape === this.shape ? this.ownBody(wish) : writerOf(shape)!.write(this, wish);
  }

  fitted(endpoint: RegisteredEndpoint): ModelCall {
    const shape = shapeAt(this, endpoint);
    const isOwn = shape === this.shape && shape !== "chat";
    if (isOwn) this.refuseOwn(endpoint);
    else this.refuseFields();
    this.#refuseParts(endpoint, isOwn);
    const fitted = this.copy();
    if (isOwn) fitted.#leftOut = this.ownLeftOut;
    else if (shape === "chat") this.#fitChat(fitted, endpoint);
    else fitted.#leftOut = [...this.unsaid, ...leftOutIn(shape, this, endpoint)];
    return fitted;
  }

  #fitChat(fitted: TranslatedCall, endpoint: RegisteredEndpoint): void {
    try {
      const body = this.#chatBody(honoured("cache_control", endpoint));
      const untaken = this.hints.filter((field) => Object.hasOwn(body, field) && !honoured(field, endpoint));
      for (const field of untaken) delete body[field];
      fitted.#leftOut = [...this.unsaid, ...untaken.map((field) => this.ownNames[field] ?? field)];
      fitted.#chat = new ChatCall(body as CallBody, undefined).fitted(endpoint);
    } catch (error) {
      throw error instanceof LineshaftError ? this.#inOwnNames(error) : error;
    }
  }

  withMedia(_media: readonly Medium[], data: ReadonlyMap<string, string>): ModelCall {
    return this.withData(data);
  }

  /** Every part of the prompt with its path in the client's body. */
  #places(messages = this.#messages): PlacedPart[] {
    return placesOf(messages, (message) => this.partsPath(message), this.resultMember);
  }

  get #messages(): readonly Message[] {
    const { prompt } = this;
    return prompt.kind === "messages" ? prompt.messages : [];
  }

  /** Throws a 400 at the first part that the engine does not read. */
  #refuseParts(endpoint: RegisteredEndpoint, isOwn: boolean): void {
    if (isOwn && endpoint.facts?.capabilities.media === undefined) return;
    if (this.outline) {
      // It decides where all is well. What is to be told is read from the messages themselves.
      try {
        return this.#refuseAmong(this.#places(this.outline), endpoint, isOwn);
      } catch {
        // Told below.
      }
    }
    this.#refuseAmong(this.#places(), endpoint, isOwn);
  }

  #refuseAmong(places: readonly PlacedPart[], endpoint: RegisteredEndpoint, isOwn: boolean): void {
    for (const { part, path } of places) if (part.kind === "opaque" && !isOwn) this.refuseOpaque(part.item, path);
    refuseMedia(places, endpoint);
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
