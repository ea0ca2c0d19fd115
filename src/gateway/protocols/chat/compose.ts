// A call that is made inside the process (an agent's step) instead of coming over HTTP: composed from typed parts. Like a call of any other
// API it is written in the format of the engine that serves it, so that chat completions are written in one place (engines/wire/chat).
import type { AnswerFormat, Message, Prompt, Sampling, Tool, ToolChoice } from "../../../engines/index.ts";
import type { ModelCall } from "../../modelCall.ts";
import { withFetched } from "../partMedia.ts";
import { TranslatedCall } from "../translatedCall.ts";

type Json = Record<string, unknown>;

export interface ChatParts {
  /** Name of a deployment or of an engine, as clients write it. */
  model: string;
  messages: readonly Message[];
  tools?: readonly Tool[];
  toolChoice?: ToolChoice;
  format?: AnswerFormat;
  sampling?: Sampling;
  /** Most output tokens of the answer; the protocol's default where absent. */
  outputTokens?: number;
}

/** Composes a conversation as a call that does not stream. Nothing is checked: the parts are the process's own. */
export const chatCall = (parts: ChatParts): ModelCall => new ComposedCall(parts);

class ComposedCall extends TranslatedCall {
  readonly shape = "chat";
  readonly stream = false;
  readonly headers = [];
  readonly parallelTools = undefined;
  readonly cacheTtlSeconds = undefined;
  readonly extensions: Readonly<Json> = {};
  readonly thinking = { asked: false, tokensBeside: 0 };
  protected readonly unsaid = [];
  protected readonly ownNames = {};
  protected readonly resultMember = "content";
  protected readonly promptMembers = [];
  readonly #parts: ChatParts;

  constructor(parts: ChatParts) {
    super(undefined);
    this.#parts = parts;
  }

  get model(): string {
    return this.#parts.model;
  }

  get prompt(): Prompt {
    return { kind: "messages", messages: this.#parts.messages };
  }

  get tools(): readonly Tool[] {
    return this.#parts.tools ?? [];
  }

  get toolChoice(): ToolChoice | undefined {
    return this.#parts.toolChoice;
  }

  get format(): AnswerFormat | undefined {
    return this.#parts.format;
  }

  get sampling(): Sampling {
    return this.#parts.sampling ?? {};
  }

  outputLimit(): { tokens: number; field: string } | undefined {
    const { outputTokens: tokens } = this.#parts;
    return tokens === undefined ? undefined : { tokens, field: "max_tokens" };
  }

  protected copy(): ComposedCall {
    return new ComposedCall(this.#parts);
  }

  protected withData(data: ReadonlyMap<string, string>): ComposedCall {
    const messages = withFetched(this.#parts.messages, data);
    return new ComposedCall({ ...this.#parts, messages });
  }

  protected partsPath(message: number): string {
    return `messages[${message}].content`;
  }

  /** It is a chat completion where an engine speaks chat, and has no body of its own. */
  protected ownBody(): Json {
    throw new TypeError("A composed call is written as a chat completion.");
  }

  protected refuseOwn(): void {}
  protected refuseFields(): void {}
  protected refuseOpaque(): void {}
}
