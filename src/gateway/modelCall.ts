// A call as the gateway knows it, whatever protocol it came by (DESIGN section 4, decode): what is asked of a model (engines/asked.ts), and
// what only the gateway needs of it. The gateway reads these fields and no JSON of a protocol: what a client's body means is decided
// once, by its protocol's `decode`.
import type { Asked, EngineRequest, MediaKind, RegisteredEndpoint, Shape, WriteWish } from "../engines/index.ts";

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

export interface ModelCall extends Asked {
  /** The reader of a stream wants the usage at its end. */
  readonly streamUsage: boolean;
  /**
   * Whether its whole answer can be put together from a stream. It cannot where engines choose among more answers than they give
   * (`best_of`), say something of the prompt, or answer several prompts.
   */
  readonly streamsFaithfully: boolean;
  /** Where the client's body says what the answer has to be (`format`), for errors; absent: `response_format`. */
  readonly formatPath?: string | undefined;
  /** The answer's text begins with the prompt. */
  readonly repeatsPrompt: boolean;
  /** The limit of output is the client program's usual one, and no person chose it: it is cut to the room that the context leaves. */
  readonly limitIsUsual?: boolean;
  /** A message holds something that is not text. */
  readonly hasMedia: boolean;
  /** Most tokens that the prompt can have: no text makes more tokens than it has bytes. */
  readonly promptTokensMost: number;
  /**
   * The prompt as it stands in the received bytes, in pieces: equal beginnings of two prompts have equal bytes, and a conversation that grows
   * begins with the bytes that it had. Undefined where not all of the prompt came as bytes.
   */
  promptBytes(): readonly Uint8Array[] | undefined;
  /**
   * Most output tokens that the caller wants of one answer, and the field that says so; undefined where it is left open. Throws a 400
   * where two fields say so and differ.
   */
  outputLimit(): { tokens: number; field: string } | undefined;

  /**
   * The call as an engine is asked it, in a format that the engine speaks (`shapeFor`): under the engine's own name of the model, and with
   * `outputTokens` as the one limit of output. `stream`: the engine is asked to stream, whatever the caller wants.
   */
  engineBody(of: BodyWish): EngineRequest["body"];
  /**
   * The same call as this endpoint can be asked it. Fields that ask for nothing are left out where the endpoint does not take them; any
   * other field that it does not take is refused by name, with a 400. The call that is answered knows its media.
   */
  fitted(endpoint: RegisteredEndpoint): ModelCall;
  /** Media of its messages, once it was fitted. */
  readonly media: readonly Medium[];
  /** The same call with `data:` addresses in place of these media's own; `data` has them by the address that stood there. */
  withMedia(media: readonly Medium[], data: ReadonlyMap<string, string>): ModelCall;
  /** What was left out because no engine here runs it, by its place in the body: `tools[8].web_search`. */
  readonly leftOut?: readonly string[];
}

/** How an engine is asked a call: the format, and what the writers of formats need to know of the engine. */
export interface BodyWish extends WriteWish {
  shape: Shape;
}
