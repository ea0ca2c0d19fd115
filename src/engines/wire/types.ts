// A wire format: how the answers of one API are read (`WireReader`, which an exchange needs: exchange.ts), and how calls of other APIs are
// written in it (`WireWriter`: writers.ts). Neither has a policy: bounds, counting, cancelling and credentials are the exchange's, and what
// may be lost of a call is judged by the gateway.
import type { Asked, Shape } from "../asked.ts";
import type { Capabilities, EngineChunk, EngineError, Usage } from "../types.ts";
import type { ProgressField } from "./progress.ts";

type Json = Record<string, unknown>;

/** Reads the answers of one API. `State`: what it remembers of one answer from event to event. */
export interface WireReader<State = unknown> {
  readonly shape: Shape;
  /**
   * Characters of the prompt in a body that was sent, for engines that do not count it. `receivedBytes`: length of the client's body, where
   * the body is passed on.
   */
  promptCharacters(body: Json, receivedBytes: number | undefined): number;
  /** Whether the object is a whole answer. */
  isAnswer(data: Json): boolean;
  /**
   * Begins an answer. `streams`: it comes as the events of a stream, and not whole. `taken`: a count that is taken out of every event before it
   * is read.
   */
  begin(streams: boolean, taken?: ProgressField["field"]): State;
  /**
   * One event of a stream, or a whole answer. `event`: name of the event, where the API names events. `text`: its JSON, where that may be
   * passed on unchanged. Throws EngineError where the event says that the answer has failed.
   */
  read(data: Json, event: string | undefined, text: string | undefined, state: State): EngineChunk;
  /** Learns from an event how others that `again` reads will look. `text`: its JSON as it came. */
  learn?(text: string, chunk: EngineChunk, state: State): void;
  /**
   * An event of a stream that differs in nothing but its text, and the count that is taken out, from one that was learned from, without its
   * JSON being parsed: it says nothing of an end. Undefined where it has to be parsed.
   */
  again?(text: string, state: State): RepeatedChunk | undefined;
  /** Whether the engine says with it how an answer ended (`answer`), or that nothing follows (`stream`). */
  ends(data: Json, event: string | undefined): "no" | "answer" | "stream";
  /** The usage so far, where the object says something of it. It is asked for before the object is read. */
  usage(data: Json, state: State): Usage | undefined;
  /**
   * Whether the report of usage in it is the one of the whole answer, in place of earlier ones that only estimated it. Absent: reports of an
   * answer only grow.
   */
  isLastReport?(data: Json): boolean;
  /** A refusal in this API's words; absent: OpenAI's and their kin (chat/usage.ts). `text` holds no credential. */
  refusal?(status: number, text: string, retryAfterSeconds: number | undefined): EngineError;
}

/** An event that was not parsed. `count`: the object with the count, which was. */
export interface RepeatedChunk {
  chunk: EngineChunk;
  count: Json | undefined;
}

/** What of a call a wire format has no word for. */
export interface Unsaid {
  /** Where it stands in the client's body, as `tools[3].type`. */
  path: string;
  /** Why, as the end of a sentence that begins with the path. */
  reason: string;
  /** It asks for nothing that the answer would miss, so that it may be left out. */
  isHint: boolean;
}

/** How the engine is asked. */
export interface WriteWish {
  /** The engine's own name of the model. */
  model: string;
  /** The one limit of output. */
  outputTokens?: number;
  /** The engine is asked to stream, whatever the client wants. */
  stream?: boolean;
  /** What the engine says of itself, where an endpoint was chosen. */
  capabilities?: Capabilities | undefined;
}

/** Writes calls in one format. */
export interface WireWriter {
  /** What would be lost, refusals before hints. Empty: the format says all of the call. */
  unsaid(asked: Asked, capabilities: Capabilities): readonly Unsaid[];
  /** The body of the call. */
  write(asked: Asked, of: WriteWish): Json;
}

/** What of a call is not passed on to an engine although it speaks the call's own API. */
export interface Denied {
  /** Where it stands in the client's body, or the header's name. */
  path: string;
  /** Why, as the end of a sentence that begins with the path. */
  reason: string;
  /** The field that an owner may allow (`--allow-field`), where the owner's price covers it. */
  allowedAs?: string;
}
