// How the answers of one API are read: the part of a wire format that an exchange needs (exchange.ts). It has no policy: bounds, counting,
// cancelling and credentials are the exchange's.
import type { Shape } from "../asked.ts";
import type { EngineChunk, Usage } from "../types.ts";

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
  /** Begins an answer. */
  begin(): State;
  /**
   * One event of a stream, or a whole answer. `event`: name of the event, where the API names events. `text`: its JSON, where that may be
   * passed on unchanged. Throws EngineError where the event says that the answer has failed.
   */
  read(data: Json, event: string | undefined, text: string | undefined, state: State): EngineChunk;
  /** Whether the engine says with it how an answer ended (`answer`), or that nothing follows (`stream`). */
  ends(data: Json, event: string | undefined): "no" | "answer" | "stream";
  /** The usage so far, where the object says something of it. It is asked for before the object is read. */
  usage(data: Json, state: State): Usage | undefined;
}
