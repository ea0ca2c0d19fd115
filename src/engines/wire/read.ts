// Reading the bodies of answers within bounds: whole ones, the start of errors, and the JSON objects in them. What cannot be read becomes
// an EngineError, and no error repeats the credential that was sent.
import { JsonMeter, processMemory } from "../../bounded/index.ts";
import { withoutCredential, type EgressResponse } from "../../egress/index.ts";
import { limits } from "../limits.ts";
import { EngineError } from "../types.ts";
import { refusalOf, retryAfterSeconds } from "./chat/usage.ts";

/** The refusal in an answer, as an error, without the credential that some engines repeat in it. */
export async function readRefusal(response: EgressResponse, credential?: string): Promise<EngineError> {
  const text = withoutCredential(await readStart(response, limits.errorBytes).catch(() => ""), credential);
  return refusalOf(response.status, text, retryAfterSeconds(response.headers["retry-after"]));
}

/** The error in an answer of 200 that is no stream although one was asked for: some engines send their errors like this. */
export async function readUnstreamed(response: EgressResponse, credential: string | undefined): Promise<EngineError> {
  const text = withoutCredential(await readStart(response, limits.errorBytes).catch(() => ""), credential);
  return refusalOf(502, text, undefined);
}

/** The start of an error's body as text; the rest is not read. */
async function readStart(response: EgressResponse, mostBytes: number): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > mostBytes) break;
  }
  return Buffer.concat(pieces).toString("utf8", 0, Math.min(bytes, mostBytes));
}

/** Memory that a byte of a whole answer takes while it is read: the pieces, and at the end the whole, its text and its values. */
const heldPerByte = 4;

/** A whole body as text. Throws EngineError past the bound of bytes or of JSON values, and reads no further then. */
export async function readText(response: EgressResponse, mostBytes: number): Promise<string> {
  const pieces: Uint8Array[] = [];
  const { jsonDepth: depth, jsonValues: values, jsonNumbers: numbers } = limits;
  const meter = new JsonMeter({ depth, values, numbers });
  let bytes = 0;
  const held = processMemory.open();
  try {
    for await (const piece of response.body) {
      bytes += piece.length;
      if (bytes > mostBytes) throw invalidAnswer(`it is longer than ${mostBytes} bytes`);
      held.add("answers", heldPerByte * piece.length, false);
      countJson(meter, piece);
      pieces.push(piece);
    }
    return Buffer.concat(pieces).toString("utf8");
  } finally {
    held.release();
  }
}

function countJson(meter: JsonMeter, piece: Uint8Array): void {
  try {
    meter.push(piece);
  } catch (error) {
    throw invalidAnswer(`it ${(error as Error).message}`, error);
  }
}

/** An object of an answer from its JSON text. Throws EngineError where the text is no JSON object, passes a bound, or holds an error. */
export function parseChunk(text: string, credential: string | undefined): Record<string, unknown> {
  // A whole body was counted while it was read. A large event is counted here.
  if (text.length > limits.largeTextCharacters) {
    const { jsonDepth: depth, jsonValues: values, jsonNumbers: numbers } = limits;
    countJson(new JsonMeter({ depth, values, numbers }), Buffer.from(text));
  }
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    throw invalidAnswer("it is not JSON", error);
  }
  if (data === null || typeof data !== "object" || Array.isArray(data)) throw invalidAnswer("it is not a JSON object");
  if ((data as Record<string, unknown>)["error"] !== undefined && (data as Record<string, unknown>)["error"] !== null)
    throw refusalOf(502, withoutCredential(text, credential), undefined);
  return data as Record<string, unknown>;
}

/** The error of an answer that cannot be read. */
export function invalidAnswer(why: string, cause?: unknown): EngineError {
  return new EngineError({
    status: 502,
    code: "engine_invalid_answer",
    message: `The engine's answer cannot be read: ${why}.`,
    hint: "Check that the address belongs to an OpenAI-compatible endpoint.",
    cause,
  });
}
