// The seam between clients and the gateway: a protocol is four verbs. A new one is a folder here and a line in registry.ts, and it
// passes suite.ts; nothing else has to know it.
//
//   decode   a request's body becomes a ModelCall, or is refused by the name of the field at fault
//   whole    an answer becomes the body of a response
//   events   a stream's chunks become text on the wire, event names and framing included
//   error    a failure becomes a body, or an event where the answer has begun
import type { LineshaftError } from "../../errors/index.ts";
import type { EngineRegistry } from "../../engines/index.ts";
import type { Action, Principal } from "../../governance/index.ts";
import type { ModelCall } from "../modelCall.ts";
import type { AnswerChunk } from "../types.ts";

/** A request's body as it came. Some protocols name the model in the path. */
interface Received {
  path: string;
  bytes: Uint8Array;
  text: string;
  /** What was parsed from `text`. */
  json: unknown;
}

/** Encodes one stream: takes each chunk, and undefined for its end; answers what is written, which may be nothing. */
type StreamEncoder = (chunk: AnswerChunk | undefined) => string;

/** A request that calls no model: a list of models, say. */
export interface Question {
  readonly method: "GET" | "POST";
  /** One that ends with a slash stands for every path below it. */
  readonly path: string;
  /** What it does, on the caller's organisation; the server asks governance before it is answered. */
  readonly action: Action;
  /** Throws LineshaftError. `name`: what follows the slash. */
  answer(asked: { engines: EngineRegistry; principal: Principal; name: string }): Record<string, unknown>;
}

export interface Protocol {
  readonly name: string;
  /** Requests that are calls. */
  readonly calls: { readonly method: "POST"; readonly path: string };
  /** Requests that are not, answered in this protocol's shapes. */
  readonly questions: readonly Question[];
  /** Header in which its clients look for the id of their request. */
  readonly requestIdHeader: string;
  /** Content type of its streams. */
  readonly streamType: string;

  /** Throws a 400 that names the first field at fault. */
  decode(received: Received): ModelCall;
  /** JSON text of a whole answer. */
  whole(answer: AnswerChunk): string;
  /** The encoder of one stream. */
  events(): StreamEncoder;
  /** JSON text of a failure; of one inside a stream (`stream`), the event that ends it. */
  error(failure: LineshaftError, place: "body" | "stream"): string;
}
