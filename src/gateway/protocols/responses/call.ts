// A Responses body as a ModelCall. Engines that speak chat are asked by a chat completion, which is written once, when an endpoint is
// fitted; the checks of chat's fields and media are those of every chat call.
import { deniedResponses, writeChat, writerOf } from "../../../engines/index.ts";
import type {
  AnswerFormat,
  Asked,
  EngineRequest,
  Message,
  Prompt,
  Received,
  RegisteredEndpoint,
  Sampling,
  Thinking,
  Tool,
  Shape,
  ToolChoice,
} from "../../../engines/index.ts";
import { LineshaftError } from "../../../errors/index.ts";
import type { BodyWish, Medium, ModelCall } from "../../modelCall.ts";
import { invalidValue } from "../../refusals.ts";
import { unknownKey } from "../openai/keys.ts";
import type { CallBody } from "../openai/bodies.ts";
import { ChatCall } from "../chat/call.ts";
import {
  mediaAmong,
  placesOf,
  promptTokensByBytes,
  refuseMedia,
  tokensBesideChat,
  withFetched,
  type PlacedPart,
} from "../partMedia.ts";
import { bytesOfMembers } from "../promptBytes.ts";
import { ReadPrompt } from "../readPrompt.ts";
import { leftOutIn, refuseDenied, shapeAt } from "../spoken.ts";
import { formatOf, samplingOf, thinkingOf } from "./asked.ts";
import { inOwnNames, known, ownNames, refuseUnsaid, textIn } from "./fields.ts";
import { checkResults, kindOf, messagesOf } from "./items.ts";
import { keptItem } from "./keptItem.ts";
import { ToolNames } from "./names.ts";
import type { OutputWishes } from "./output.ts";
import { billedTools, ownBody, withFetchedItems } from "./own.ts";
import { choiceOf, toolsOf, type Choice } from "./tools.ts";
import { usualItems } from "./usual.ts";

type Json = Record<string, unknown>;

/** What stored state gives to a call. */
export interface Earlier {
  /** Items of the turns before this one. */
  items: readonly Json[];
  /** Items that the input names, by their ids. */
  references: ReadonlyMap<string, Json>;
  /** The items are stored nowhere, so a response that is stored keeps them as input of its own turn. */
  isUnstored?: true;
}

/** What is known of stored state when a body is decoded. */
export interface State {
  /** Responses can be kept here. */
  keeps: boolean;
  earlier?: Earlier | undefined;
  /** The answer is a summary, told as an item of a response or as an object of its own (compact.ts). */
  compacts?: "item" | "object";
}

/** Members of the body that the prompt is made of. */
const promptMembers = ["tools", "instructions", "input"];

const stateless: State = { keeps: false };

export class ResponsesCall implements ModelCall {
  readonly shape = "responses";
  readonly kind = "generate";
  readonly headers = [];
  /** The reader of a stream is always told the usage: it stands in the last event. */
  readonly streamUsage = true;
  readonly answersPerPrompt = 1;
  readonly streamsFaithfully = true;
  readonly repeatsPrompt = false;
  readonly formatPath = ownNames["response_format"];
  readonly received: Received | undefined;
  readonly #body: CallBody;
  readonly #state: State;
  /** The chat call that engines are asked, once an endpoint was fitted. */
  readonly #chat: ModelCall | undefined;
  #messages: readonly Message[] | undefined;
  #usual: { items: readonly Json[] | undefined } | undefined;
  #choice: Choice | undefined;
  #translated: ChatCall | undefined;
  /** Data of media by the addresses that the client gave. */
  #fetched: ReadonlyMap<string, string> | undefined;
  /** What is left out at an endpoint that is asked in another format than chat; undefined where none was fitted. */
  #leftOut: readonly string[] | undefined;

  constructor(body: CallBody, received: Received | undefined, state: State = stateless, chat?: ModelCall) {
    this.#body = body;
    this.received = received;
    this.#state = state;
    this.#chat = chat;
  }

  get model(): string {
    return this.#body.model;
  }

  get stream(): boolean {
    return this.#body.stream === true;
  }

  /**
   * The outline of the conversation, where it is a long and usual one that is not parsed yet (usual.ts). It decides what does not depend on
   * what a long text says.
   */
  get #outline(): readonly Json[] | undefined {
    if (this.#state.earlier || !this.received) return undefined;
    return (this.#usual ??= { items: usualItems(this.#body) }).items;
  }

  /** The items, or their outline, for what looks at their kinds. */
  get #kinds(): readonly Json[] {
    return this.#outline ?? this.#items;
  }

  /** Items of the input, those of earlier turns first. */
  get #items(): readonly Json[] {
    const { earlier } = this.#state;
    return earlier ? [...earlier.items, ...this.#own] : this.#own;
  }

  get #own(): readonly Json[] {
    const { input } = this.#body as { input?: string | Json[] | null };
    if (typeof input === "string") return [{ type: "message", role: "user", content: input }];
    const references = this.#state.earlier?.references;
    if (!references || references.size === 0) return input ?? [];
    return (input ?? []).map((item) =>
      kindOf(item) === "item_reference" ? (references.get(item["id"] as string) ?? item) : item,
    );
  }

  /** The input items of this turn as they are kept under this response: each with an id and a kind. */
  ownItems(response: string): Json[] {
    return this.#own.map((item, place) => keptItem(item, response, place));
  }

  /** The input items that are kept under this response: those of this turn, and earlier ones that are stored nowhere else. */
  keptItems(response: string): Json[] {
    const { earlier } = this.#state;
    const own = this.ownItems(response);
    return earlier?.isUnstored ? [...earlier.items, ...own] : own;
  }

  /** The stored response that it goes on from. */
  get keptPrevious(): string | undefined {
    return this.#state.earlier?.isUnstored ? undefined : this.previous;
  }

  /** The response or the conversation that it goes on from. */
  get previous(): string | undefined {
    return textIn(this.#body, "previous_response_id");
  }

  get conversation(): string | undefined {
    return textIn(this.#body, "conversation") ?? textIn(this.#body["conversation"], "id");
  }

  get prompt(): Prompt {
    return new ReadPrompt(() => this.#said);
  }

  get #said(): readonly Message[] {
    const { instructions } = this.#body as { instructions?: string | null };
    const fetched = this.#fetched;
    const read = () => messagesOf(instructions, this.#items);
    return (this.#messages ??= fetched ? withFetched(read(), fetched) : read());
  }

  /** Tools and choice belong together, because a choice may leave some of the tools. */
  get #chosen(): Choice {
    if (this.#choice) return this.#choice;
    const own = (this.#body["tools"] ?? []) as Json[];
    // Codex hands the tools of known models over as an item of the input.
    const added = this.#kinds.filter((item) => kindOf(item) === "additional_tools");
    const tools = toolsOf([...own, ...added.flatMap((item) => item["tools"] as Json[])]);
    return (this.#choice = choiceOf(this.#body["tool_choice"], tools));
  }

  /** How its answer is told, where that is a summary. */
  get compacts(): State["compacts"] {
    return this.#state.compacts;
  }

  /** Messages of the user, as a compaction repeats them. */
  userMessages(response: string): Json[] {
    const own = this.ownItems(response).slice(0, -1);
    return [...(this.#state.earlier?.items ?? []), ...own].filter(
      (item) => kindOf(item) === "message" && item["role"] === "user",
    );
  }

  /** It runs on when its request was answered. */
  get isBackground(): boolean {
    return this.#body["background"] === true;
  }

  /** Throws a 400 where the body asks for a tool that it does not define, or goes on from what is not here. */
  check(): void {
    const from = this.previous ?? this.conversation;
    if (from !== undefined && !this.#state.earlier)
      throw invalidValue(
        this.previous === undefined ? "conversation" : "previous_response_id",
        "This request cannot go on from a stored response. Send the whole conversation as `input`.",
      );
    if (this.isBackground && this.#body["store"] === false)
      throw invalidValue(
        "background",
        "`background` and `store: false` exclude each other: a background response is stored.",
      );
    const include = (this.#body["include"] ?? []) as string[];
    if (include.includes("message.output_text.logprobs"))
      throw unknownKey("include", "log probabilities are not given here");
    if (this.conversation !== undefined && this.#body["store"] === false)
      throw invalidValue(
        "store",
        "`store: false` and `conversation` exclude each other: a conversation keeps what is said in it.",
      );
    if (this.#body["tool_choice"] !== undefined) void this.#chosen;
    const outline = this.#outline;
    if (outline) checkResults(outline, outline);
    else checkResults(this.#own, this.#items);
  }

  get tools(): readonly Tool[] {
    return this.#chosen.tools;
  }

  get toolChoice(): ToolChoice | undefined {
    return this.#chosen.choice;
  }

  get parallelTools(): boolean | undefined {
    return (this.#body["parallel_tool_calls"] ?? undefined) as boolean | undefined;
  }

  get format(): AnswerFormat | undefined {
    return formatOf(this.#body);
  }

  get sampling(): Sampling {
    return samplingOf(this.#body);
  }

  get thinking(): Thinking {
    return thinkingOf(this.#body);
  }

  get verbosity(): string | undefined {
    return textIn(this.#body["text"], "verbosity");
  }

  get cacheKey(): string | undefined {
    return textIn(this.#body, "prompt_cache_key");
  }

  get cacheTtlSeconds(): number | undefined {
    const ttl = textIn(this.#body["prompt_cache_options"], "ttl");
    return ttl === "1h" ? 3600 : ttl === "5m" ? 300 : undefined;
  }

  get extensions(): Json {
    const fields = Object.keys(this.#body).filter((field) => !known.has(field));
    return Object.fromEntries(fields.map((field) => [field, this.#body[field]]));
  }

  get hasMedia(): boolean {
    if (this.#outline) return false;
    return this.#chatCall.hasMedia;
  }

  get promptTokensMost(): number {
    if (this.#outline) {
      const { instructions } = this.#body as { instructions?: string | null };
      return promptTokensByBytes(this, messagesOf(instructions, this.#outline), this.received!.bytes.length);
    }
    return this.#chatCall.promptTokensMost + tokensBesideChat(this.tools, this.#places);
  }

  get promptCharacters(): number {
    return this.#state.earlier || !this.received ? this.#chatCall.promptCharacters : this.received.bytes.length;
  }

  promptBytes(): readonly Uint8Array[] | undefined {
    return this.#state.earlier ? undefined : bytesOfMembers(this.received, promptMembers);
  }

  outputLimit(): { tokens: number; field: string } | undefined {
    const tokens = this.#body["max_output_tokens"] as number | null | undefined;
    return tokens === null || tokens === undefined ? undefined : { tokens, field: "max_output_tokens" };
  }

  get media(): readonly Medium[] {
    if (this.#outline) return [];
    if (this.#leftOut === undefined) return this.#chatCall.media;
    return mediaAmong(this.#places);
  }

  get #places(): PlacedPart[] {
    return placesOf(this.#said, () => "input", "output");
  }

  engineBody(of: BodyWish): EngineRequest["body"] {
    const { shape, ...wish } = of;
    if (shape === "chat") return this.#chatCall.engineBody(of);
    return shape === this.shape ? this.#ownBody(wish) : writerOf(shape)!.write(this, wish);
  }

  #ownBody(wish: Omit<BodyWish, "shape">): Json {
    const { earlier } = this.#state;
    const isMade = earlier !== undefined || (this.#fetched?.size ?? 0) > 0;
    const items = isMade ? withFetchedItems(this.#items, this.#fetched) : undefined;
    return ownBody({ body: this.#body, items, stores: this.stores, thinks: this.thinking.asked }, wish);
  }

  fitted(endpoint: RegisteredEndpoint): ModelCall {
    const shape = shapeAt(this, endpoint);
    if (shape === this.shape) return this.#fittedToOwn(endpoint);
    refuseUnsaid(this.#body, this, this.#kinds);
    if (shape !== "chat") return this.#fittedTo(shape, endpoint);
    try {
      return this.#again(this.#chatCall.fitted(endpoint));
    } catch (error) {
      throw error instanceof LineshaftError ? inOwnNames(error) : error;
    }
  }

  /** The call for an engine that is asked it in another format than chat: it is written from the typed view. */
  #fittedTo(shape: Shape, endpoint: RegisteredEndpoint): ModelCall {
    for (const [field, value] of Object.entries(this.extensions))
      if (value !== null && value !== undefined) throw unknownKey(field, "the engine of this model has no word for it");
    return this.#copy([...this.#unrun, ...leftOutIn(shape, this, endpoint)], endpoint);
  }

  /** The call for an engine that speaks Responses: it leaves as it came, without what would change the price. */
  #fittedToOwn(endpoint: RegisteredEndpoint): ModelCall {
    refuseDenied(deniedResponses(this.#body, endpoint.allowFields), endpoint);
    const unknown = this.#kinds.findIndex((item) => kindOf(item) === "item_reference");
    if (unknown >= 0) throw unknownKey(`input[${unknown}]`, "it names an item that is not stored here");
    return this.#copy(billedTools(this.#body), endpoint);
  }

  /** Throws a 400 where the engine does not read a medium of the input. */
  #copy(leftOut: readonly string[], endpoint: RegisteredEndpoint): ModelCall {
    if (!this.#outline) refuseMedia(this.#places, endpoint);
    const fitted = this.#again();
    fitted.#leftOut = leftOut;
    return fitted;
  }

  /** The same call once more, with what was read of it. */
  #again(chat?: ModelCall): ResponsesCall {
    const again = new ResponsesCall(this.#body, this.received, this.#state, chat);
    again.#fetched = this.#fetched;
    again.#messages = this.#messages;
    again.#usual = this.#usual;
    again.#choice = this.#choice;
    return again;
  }

  withMedia(_media: readonly Medium[], data: ReadonlyMap<string, string>): ModelCall {
    const call = new ResponsesCall(this.#body, this.received, this.#state);
    call.#fetched = data;
    return call;
  }

  get #chatCall(): ModelCall {
    return (
      this.#chat ??
      (this.#translated ??= new ChatCall(writeChat(this as Asked, { model: this.model }) as CallBody, undefined))
    );
  }

  /** Server tools that the engine does not run (`tools[8].web_search`), and what the engine's format has no word for. */
  get leftOut(): readonly string[] {
    return this.#leftOut ?? this.#unrun;
  }

  /** What only an engine that speaks Responses does: its own tools, and compaction once a prompt has become long. */
  get #unrun(): readonly string[] {
    const managed = this.#body["context_management"] ?? undefined;
    return managed === undefined ? this.#serverTools : [...this.#serverTools, "context_management"];
  }

  get #serverTools(): readonly string[] {
    return ((this.#body["tools"] ?? []) as Json[]).flatMap(({ type }, place) =>
      type === "function" || type === "custom" || type === "namespace" ? [] : [`tools[${place}].${String(type)}`],
    );
  }

  /** The body as the response object repeats it. */
  get shown(): Json {
    return this.#body;
  }

  /** Whether the response is kept for later requests. */
  get stores(): boolean {
    return this.#state.keeps && this.#body["store"] !== false;
  }

  /** Its client takes it for kept, and it cannot be. */
  get isUnkept(): boolean {
    return !this.#state.keeps && this.#body["store"] !== false;
  }

  get outputWishes(): Omit<OutputWishes, "tail"> {
    const include = (this.#body["include"] ?? []) as string[];
    return {
      names: new ToolNames(this.tools),
      summary: this.thinking.show === "summary",
      encrypted: include.includes("reasoning.encrypted_content"),
      compacts: this.compacts !== undefined,
    };
  }
}
