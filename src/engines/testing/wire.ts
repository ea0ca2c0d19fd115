// What makes the scripted engine speak an API: how it knows its calls, and how it writes the answers that scripts ask for.
import type { ServerResponse } from "node:http";
import type { Script } from "../testing.ts";

type Json = Record<string, unknown>;

export interface ScriptedWire {
  /** Whether a POST to the path is a call. */
  isCall(path: string): boolean;
  /** Whether its answer streams. */
  streams(path: string, body: Json): boolean;
  /** The list of models, where it is not OpenAI's. */
  models?(names: readonly string[]): object;
  /** A whole answer. */
  whole(script: Script): Json;
  /** Writes a stream, from its head to its end. */
  stream(response: ServerResponse, script: Script): Promise<void>;
  /** The body of a refusal that the script gives none for; OpenAI's where absent. */
  refusal?(status: number): Json;
}
