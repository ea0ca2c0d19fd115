// A call as the gateway knows it, whatever protocol it came by (DESIGN section 4, decode). The gateway reads these fields and no JSON of
// a protocol: what a client's body means is decided once, by its protocol's `decode`.
//
// Fields are read when they are asked for. A body of 400 KB whose bytes are passed on never becomes 400 messages in memory, because
// nothing on its way needs them.
import type { Endpoint, EngineRequest, MediaKind, RegisteredEndpoint } from "../engines/index.ts";

/** What a message may hold. */
export type Part =
  | { kind: "text"; text: string; cacheMark?: boolean }
  /** `url`: an address, or `data:` with the medium itself. */
  | { kind: "image" | "audio" | "video" | "file"; url: string; cacheMark?: boolean }
  /** What the model thought in an earlier turn; `signature` proves that a provider wrote it. */
  | { kind: "reasoning"; text: string; signature?: string }
  | { kind: "refusal"; text: string };

interface MessageToolCall {
  id: string;
  name: string;
  /** JSON text, as the model wrote it. */
  arguments: string;
}

export interface Message {
  role: "system" | "developer" | "user" | "assistant" | "tool" | "function";
  parts: readonly Part[];
  name?: string;
  /** Of an assistant's message. */
  toolCalls?: readonly MessageToolCall[];
  /** Of a tool's message: the call that it answers. */
  toolCallId?: string;
}

export type Prompt =
  | { kind: "messages"; messages: readonly Message[] }
  | { kind: "text"; text: string }
  | { kind: "tokens"; tokens: readonly number[] }
  /** Several prompts in one call, each answered by itself. */
  | { kind: "list"; prompts: readonly (string | readonly number[])[] };

export interface Tool {
  name: string;
  description?: string;
  /** JSON Schema of its arguments. */
  parameters?: Record<string, unknown>;
  strict?: boolean;
}

/** `required`: the model must call a tool; `{ name }`: this one. */
export type ToolChoice = "none" | "auto" | "required" | { name: string };

/** What the answer's text has to be. `json`: an object of any shape. */
export type AnswerFormat =
  | { kind: "json" }
  | { kind: "schema"; schema: Record<string, unknown> | boolean | undefined; name?: string; strict?: boolean };

export interface Sampling {
  temperature?: number;
  topP?: number;
  seed?: number;
  stop?: readonly string[];
  presencePenalty?: number;
  frequencyPenalty?: number;
}

/** A medium of a message: where it stands, and what is written there. */
export interface Medium {
  kind: MediaKind;
  /** As the protocol names the place, such as `messages[0].content[1].image_url.url`. */
  path: string;
  message: number;
  part: number;
  /** An address, or `data:` with the medium itself. */
  url: string;
}

export interface ModelCall {
  /** The engine's route that serves it: a conversation, or a text to go on with. */
  readonly endpoint: Endpoint;
  /** As the caller names it. */
  readonly model: string;
  readonly stream: boolean;
  /** The reader of a stream wants the usage at its end. */
  readonly streamUsage: boolean;

  readonly prompt: Prompt;
  readonly tools: readonly Tool[];
  readonly toolChoice: ToolChoice | undefined;
  readonly format: AnswerFormat | undefined;
  readonly sampling: Sampling;
  /** Answers that are computed for each prompt; the caller may get fewer of them (`best_of`). */
  readonly answersPerPrompt: number;
  /**
   * Whether its whole answer can be put together from a stream. It cannot where engines choose among more answers than they give
   * (`best_of`), say something of the prompt, or answer several prompts.
   */
  readonly streamsFaithfully: boolean;
  /** The answer's text begins with the prompt. */
  readonly repeatsPrompt: boolean;
  /** Whether the model is asked to think first, and the tokens that this may take beside the limit of output. */
  readonly reasoning: { asked: boolean; tokensBeside: number };
  /** Fields that only some engines know, by their names on the wire. */
  readonly extensions: Readonly<Record<string, unknown>>;

  /** A message holds something that is not text. */
  readonly hasMedia: boolean;
  /** Most tokens that the prompt can have: no text makes more tokens than it has bytes. */
  readonly promptTokensMost: number;
  /** Characters of the prompt, tools included, as a guess of its length. */
  readonly promptCharacters: number;
  /**
   * Most output tokens that the caller wants of one answer, and the field that says so; undefined where it is left open. Throws a 400
   * where two fields say so and differ.
   */
  outputLimit(): { tokens: number; field: string } | undefined;

  /**
   * The call as an engine is asked it, in the shape of the engine seam (engines/types.ts): under the engine's own name of the model,
   * and with `outputTokens` as the one limit of output. `stream`: the engine is asked to stream, whatever the caller wants.
   */
  engineBody(of: { model: string; outputTokens?: number; stream?: boolean }): EngineRequest["body"];
  /**
   * The same call as this endpoint can be asked it. Fields that ask for nothing are left out where the endpoint does not take them; any
   * other field that it does not take is refused by name, with a 400. The call that is answered knows its media.
   */
  fitted(endpoint: RegisteredEndpoint): ModelCall;
  /** Media of its messages, once it was fitted. */
  readonly media: readonly Medium[];
  /** The same call with `data:` addresses in place of these media's own; `data` has them by the address that stood there. */
  withMedia(media: readonly Medium[], data: ReadonlyMap<string, string>): ModelCall;

  /** The body as it came, while its values may still be passed on as the bytes that they came as. */
  readonly received: EngineRequest["source"];
}
