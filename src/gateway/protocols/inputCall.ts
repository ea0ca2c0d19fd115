// A call whose model reads its input and writes no text: embeddings, rerank. It has no output, so its hold covers its input, nothing of its
// answer is cut, and it is never streamed. Its body reaches an engine as it came, with the fields that every engine of its API takes.
import type {
  EngineRequest,
  Prompt,
  Received,
  RegisteredEndpoint,
  Sampling,
  Shape,
  Thinking,
} from "../../engines/index.ts";
import { neverAllowed } from "../../engines/index.ts";
import type { ModelCall } from "../modelCall.ts";
import { limits } from "../limits.ts";
import { unknownKey } from "./openai/keys.ts";
import { shapeAt } from "./spoken.ts";

type Json = Record<string, unknown>;

/** What stands for the values that such a call cannot have. */
const noSampling: Sampling = {};
const noThinking: Thinking = { asked: false, tokensBeside: 0 };

export abstract class InputCall implements ModelCall {
  abstract readonly shape: Shape;
  abstract readonly kind: "embed" | "rerank";
  abstract readonly prompt: Prompt;
  /** Fields that every engine of the API is sent. */
  protected abstract readonly sent: readonly string[];
  /** Fields that ask for nothing, or that the gateway answers itself. */
  protected abstract readonly ours: readonly string[];
  /** The texts that the model reads, one after the other; each token list is one text. */
  protected abstract texts(): readonly (string | readonly number[])[];
  protected abstract with(body: Json): ModelCall;

  readonly stream = false;
  readonly streamUsage = false;
  readonly streamsFaithfully = false;
  readonly repeatsPrompt = false;
  readonly hasMedia = false;
  readonly tools = [];
  readonly toolChoice = undefined;
  readonly parallelTools = undefined;
  readonly format = undefined;
  readonly sampling = noSampling;
  readonly thinking = noThinking;
  readonly verbosity = undefined;
  readonly cacheKey = undefined;
  readonly cacheTtlSeconds = undefined;
  readonly answersPerPrompt = 1;
  readonly extensions = {};
  readonly headers = [];
  readonly media = [];

  readonly body: Json & { model: string };
  readonly received: Received | undefined;

  constructor(body: Json, received: Received | undefined) {
    this.body = body as Json & { model: string };
    this.received = received;
  }

  get model(): string {
    return this.body.model;
  }

  get promptTokensMost(): number {
    return this.texts().reduce(
      (sum, text) =>
        sum + limits.templateTokensPerMessage + (typeof text === "string" ? Buffer.byteLength(text) : text.length),
      0,
    );
  }

  /** No prompt of such a call goes on from another. */
  promptBytes(): undefined {
    return undefined;
  }

  get promptCharacters(): number {
    // A token has four characters in the usual guess.
    return this.texts().reduce((sum, text) => sum + (typeof text === "string" ? text.length : 4 * text.length), 0);
  }

  /** It has no output. */
  outputLimit(): { tokens: number; field: string } {
    return { tokens: 0, field: "max_tokens" };
  }

  engineBody({ model }: { model: string }): EngineRequest["body"] {
    return { ...this.body, model };
  }

  /** Throws a 400 where the endpoint takes no such calls, or that names the first field that it is not sent. */
  fitted(endpoint: RegisteredEndpoint): ModelCall {
    // An endpoint that was not asked yet judges the call itself.
    if (endpoint.facts) shapeAt(this, endpoint);
    const { allowFields } = endpoint;
    let body: Json | undefined;
    for (const field in this.body) {
      const isSent = this.sent.includes(field) || (allowFields.includes(field) && neverAllowed(field) === undefined);
      const asksNothing = this.body[field] === null || this.body[field] === undefined || this.ours.includes(field);
      if (isSent && this.body[field] !== null) continue;
      if (!asksNothing) throw unknownKey(field, "engines are not sent it in a call of this kind");
      body ??= { ...this.body };
      delete body[field];
    }
    return body === undefined ? this : this.with(body);
  }

  withMedia(): ModelCall {
    return this;
  }
}
