// Reading the bodies of answers within bounds: whole ones, the start of errors, and the JSON objects in them. What cannot be read becomes
// an EngineError, and no error repeats the credential that was sent.
import { JsonMeter, processMemory } from "../../bounded/index.ts";
import { withoutCredential, type EgressResponse } from "../../egress/index.ts";
import { limits } from "../limits.ts";
import type { Shape } from "../asked.ts";
import { EngineError, type SaidByEngine } from "../types.ts";
import { refusalOf, retryAfterSeconds } from "./chat/usage.ts";
import type { WireReader } from "./types.ts";
import { aboutAccount, object } from "./values.ts";

/** How an engine's refusals are read. */
export interface RefusalReading {
  /** What was sent as credential: some engines repeat it in their errors. */
  credential: string | undefined;
  /** The API's own reading; absent: that of OpenAI and its kin. */
  refusal?: WireReader["refusal"] | undefined;
  /** The API whose clients may be shown the engine's own words; absent: none are. */
  saysAs?: Shape | undefined;
  /** Where the engine was asked: its host may be a name inside the installation. */
  url?: string;
}

/** The refusal in an answer, as an error without the credential. */
export async function readRefusal(response: EgressResponse, reading: RefusalReading): Promise<EngineError> {
  const { credential, refusal = refusalOf } = reading;
  const { status, headers } = response;
  const text = withoutCredential(await readStart(response, limits.errorBytes).catch(() => ""), credential);
  const error = refusal(status, text, retryAfterSeconds(headers["retry-after"]));
  return withWords(error, saidByEngine(reading, status, text, headers["content-type"]));
}

/** The same error with the engine's own words. What is about our key, account or route has none. */
function withWords(error: EngineError, said: SaidByEngine | undefined): EngineError {
  if (!said || aboutUs.has(error.code)) return error;
  const { message, code, hint, param, retryable, retryAfterSeconds: retryAfter } = error;
  return new EngineError({
    message,
    status: error.status,
    code,
    retryable,
    said,
    ...(hint !== undefined && { hint }),
    ...(param !== undefined && { param }),
    ...(retryAfter !== undefined && { retryAfterSeconds: retryAfter }),
  });
}

/** Errors that say something of this installation, and nothing of the request. */
const aboutUs = new Set(["engine_auth_failed", "engine_quota", "engine_model_missing", "engine_redirected"]);

/** Statuses by which an engine speaks of the request or of its load. Others are about our key, our account or a route, or no answer at all. */
const spokenStatuses = new Set([400, 408, 409, 413, 422, 429, 500, 503, 504, 529]);

/** Names of the account at the provider, which some providers put into their refusals. */
const accountNames = /\b(org|proj|acct|wrkspc)[-_][A-Za-z0-9]{8,}\b|\borg(anization)?[ :=]+[0-9a-f-]{36}\b/gi;

/** The engine's own words, where they may be shown: a JSON object about the request, without the names of our account. */
function saidByEngine(
  { saysAs: shape, url }: RefusalReading,
  status: number,
  text: string,
  type: string | string[] | undefined,
): SaidByEngine | undefined {
  if (shape === undefined || !spokenStatuses.has(status)) return undefined;
  const named = Array.isArray(type) ? type[0] : type;
  // DeepSeek says that its errors are octets. What can be read as JSON is JSON.
  const contentType = named !== undefined && /^application\/json\b/i.test(named) ? named : "application/json";
  try {
    const error = object(object(JSON.parse(text))?.["error"]);
    const about = `${String(error?.["code"])} ${String(error?.["type"])}`;
    if (!error || /quota|billing|credit/i.test(about) || aboutAccount.test(String(error["message"]))) return undefined;
  } catch {
    return undefined;
  }
  const hosts = url === undefined ? [] : [new URL(url).host, new URL(url).hostname];
  const shown = hosts.reduce((left, host) => left.replaceAll(host, "…"), text.replace(accountNames, "…"));
  return { shape, status, text: shown, contentType };
}

/** The error in an answer of 200 that is no stream although one was asked for: some engines send their errors like this. */
export async function readUnstreamed(response: EgressResponse, reading: RefusalReading): Promise<EngineError> {
  const { credential, refusal = refusalOf } = reading;
  const text = withoutCredential(await readStart(response, limits.errorBytes).catch(() => ""), credential);
  return refusal(502, text, undefined);
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

/**
 * A whole body as text, at once where all of it has come. Throws EngineError past the bound of bytes or of JSON values, and reads no further
 * then.
 */
export function readText(response: EgressResponse, mostBytes: number): string | Promise<string> {
  const pieces = response.body.now();
  if (!pieces) return readTextAsItComes(response, mostBytes);
  const whole = new WholeText(mostBytes);
  try {
    for (const piece of pieces) whole.add(piece);
    return whole.text();
  } finally {
    whole.release();
  }
}

async function readTextAsItComes(response: EgressResponse, mostBytes: number): Promise<string> {
  const whole = new WholeText(mostBytes);
  try {
    for await (const piece of response.body) whole.add(piece);
    return whole.text();
  } finally {
    whole.release();
  }
}

/** The pieces of a body, within its bounds. JSON of a large one is counted while it comes. */
class WholeText {
  readonly #mostBytes: number;
  readonly #pieces: Uint8Array[] = [];
  readonly #held = processMemory.open();
  #meter: JsonMeter | undefined;
  #bytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  add(piece: Uint8Array): void {
    this.#bytes += piece.length;
    if (this.#bytes > this.#mostBytes) throw invalidAnswer(`it is longer than ${this.#mostBytes} bytes`);
    this.#held.add("answers", heldPerByte * piece.length, false);
    this.#pieces.push(piece);
    if (this.#bytes <= limits.largeTextCharacters) return;
    const uncounted = this.#meter ? [piece] : this.#pieces;
    const meter = (this.#meter ??= newMeter());
    for (const one of uncounted) counted(() => meter.push(one));
  }

  text(): string {
    const [first] = this.#pieces;
    const whole = this.#pieces.length === 1 ? first! : Buffer.concat(this.#pieces);
    const text = Buffer.from(whole.buffer, whole.byteOffset, whole.byteLength).toString("utf8");
    if (!this.#meter) counted(() => newMeter().push(whole));
    return text;
  }

  release(): void {
    this.#held.release();
  }
}

function newMeter(): JsonMeter {
  const { jsonDepth: depth, jsonValues: values, jsonNumbers: numbers } = limits;
  return new JsonMeter({ depth, values, numbers });
}

/** Throws EngineError where the count finds more than JSON of an answer may hold. */
function counted(count: () => void): void {
  try {
    count();
  } catch (error) {
    throw invalidAnswer(`it ${(error as Error).message}`, error);
  }
}

/** An object of an answer from its JSON text. Throws EngineError where the text is no JSON object, passes a bound, or holds an error. */
export function parseChunk(text: string, reading: RefusalReading): Record<string, unknown> {
  // A whole body was counted while it was read. A large event is counted here.
  if (text.length > limits.largeTextCharacters) counted(() => newMeter().push(Buffer.from(text)));
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    throw invalidAnswer("it is not JSON", error);
  }
  if (data === null || typeof data !== "object" || Array.isArray(data)) throw invalidAnswer("it is not a JSON object");
  if ((data as Record<string, unknown>)["error"] !== undefined && (data as Record<string, unknown>)["error"] !== null)
    throw refusalInside(text, reading);
  return data as Record<string, unknown>;
}

/** The same error where its words do not hold the credential, else one without it. */
export function withoutCredentialIn(error: unknown, credential: string | undefined): unknown {
  if (!(error instanceof EngineError) || credential === undefined) return error;
  const { status, code, message, hint, param, retryable, retryAfterSeconds } = error;
  if (!`${message} ${code} ${hint} ${param}`.includes(credential)) return error;
  const shown = (text: string) => withoutCredential(text, credential);
  return new EngineError({
    status,
    code: shown(code),
    message: shown(message),
    retryable,
    ...(hint !== undefined && { hint: shown(hint) }),
    ...(param !== undefined && { param: shown(param) }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
}

/** An error inside an answer, which has no status of its own. */
function refusalInside(text: string, reading: RefusalReading): EngineError {
  const { credential, refusal = refusalOf } = reading;
  const shown = withoutCredential(text, credential);
  const error = refusal(502, shown, undefined);
  return withWords(error, saidByEngine(reading, error.status === 502 ? 500 : error.status, shown, "application/json"));
}

/** The error of an answer that cannot be read. */
export function invalidAnswer(why: string, cause?: unknown): EngineError {
  return new EngineError({
    status: 502,
    code: "engine_invalid_answer",
    message: `The engine's answer cannot be read: ${why}.`,
    hint: "Check that the engine's address is right, and that it was added as what it is (--kind).",
    cause,
  });
}
