// Reads the bodies of requests, and counts how many bytes of them the process holds. A body is held from its first byte until its request
// has been answered, as bytes, as text and parsed. A key has a bound of that memory, and all that the process buffers has one
// (bounded/memory.ts). Only bytes that have come count, and only after authentication, so a slow sender and a sender without a key take no memory from others.
import type { IncomingMessage } from "node:http";
import { LineshaftError } from "../../errors/index.ts";
import {
  JsonBoundError,
  JsonMeter,
  parseLazily,
  parseParts,
  parsePartsInTurns,
  Pieces,
  processMemory,
  textOf,
  type Bytes,
  type JsonBounds,
  type JsonMembers,
  type Memory,
} from "../../bounded/index.ts";
import { limits as protocolLimits } from "../../gateway/limits.ts";
import { limits } from "../limits.ts";
import { decompressorOf, type Decompress } from "./encodings.ts";
import { bodyTooLarge, clientGone, invalidJson } from "../../gateway/refusals.ts";

interface BodyBounds {
  /** Memory for bodies of one key. */
  keyBytes: number;
  memory: Memory;
}

/** Counts the bytes of bodies that are held. */
export class BodyBudget {
  readonly #bounds: BodyBounds;
  readonly #keys = new Map<string, number>();

  constructor({
    memory = processMemory,
    keyBytes = Math.min(limits.heldBytesPerKey, memory.newMostBytes / 2),
  }: Partial<BodyBounds> = {}) {
    this.#bounds = { keyBytes, memory };
  }

  /** What one request of a key holds. `release` it in a `finally`; a second time does nothing. */
  open(key: string): HeldBody {
    let bytes = 0;
    let released = false;
    const held = this.#bounds.memory.open();
    return {
      add: (more) => {
        if (released) return;
        const cost = more * limits.heldPerBodyByte;
        const ofKey = (this.#keys.get(key) ?? 0) + cost;
        if (ofKey > this.#bounds.keyBytes) throw tooManyOfKey(this.#bounds.keyBytes);
        held.add("bodies", cost, true);
        bytes += cost;
        this.#keys.set(key, ofKey);
      },
      release: () => {
        if (released) return;
        released = true;
        held.release();
        const left = (this.#keys.get(key) ?? 0) - bytes;
        if (left > 0) this.#keys.set(key, left);
        else this.#keys.delete(key);
      },
    };
  }
}

export interface HeldBody {
  /** Counts more bytes. Throws 429 past the key's bound and 503 past the process'. */
  add(bytes: number): void;
  release(): void;
}

function tooManyOfKey(most: number): LineshaftError {
  const megabytes = Math.round(most / limits.heldPerBodyByte / 1e6);
  return new LineshaftError({
    code: "bodies_held",
    message: `The requests of this key that are under way have more than ${megabytes} MB of bodies together. Wait until some have ended, then try again.`,
    retryAfterSeconds: 2,
  });
}

/** A sender holds what its request takes for too long. */
export function tooSlow(): LineshaftError {
  return new LineshaftError({
    code: "body_too_slow",
    message: `Less than ${limits.slowBodyBytes} bytes of the body came within ${limits.slowBodyMs / 1000} s. Send it faster, or less at once.`,
  });
}

/** A body of JSON, as it came. */
interface ReadBody {
  bytes: Bytes;
  /** Where the members of its outermost object lie in the bytes; undefined where a name is given twice. */
  members: JsonMembers | undefined;
  /** The JSON without the long texts of a list, where the body is long and has such a list. */
  outline?: { name: string; text: string } | undefined;
}

interface ReadOptions {
  mostBytes: number;
  json: JsonBounds;
  held: HeldBody;
  /** A list of the outermost object that is parsed when it is read, where the body is long. */
  outlined?: string | undefined;
}

/**
 * The whole body, counted while it comes. Throws 413 past the bound of bytes, 400 past those of JSON, 429 and 503 past those of memory,
 * 408 for a sender that is too slow, 415 for a compression that is not known, and 499 for a client that has gone, each without keeping
 * what comes after. A compressed body is answered decompressed; the bounds are those of what comes and of what it decompresses to.
 */
export async function readBody(request: IncomingMessage, options: ReadOptions): Promise<ReadBody> {
  // A destroyed request emits no further event, so nothing would end the wait.
  if (request.destroyed) throw clientGone();
  if (Number(request.headers["content-length"] ?? 0) > options.mostBytes) {
    discard(request);
    throw bodyTooLarge(options.mostBytes);
  }
  let decompress: Decompress | undefined;
  try {
    decompress = decompressorOf(request.headers["content-encoding"]);
  } catch (error) {
    discard(request);
    throw error;
  }
  const taker = new Taker(options, decompress !== undefined);
  // A request is told of with its head. What came in the same packet is there once the parser has gone on.
  if (!request.complete) await undefined;
  if (request.destroyed) throw clientGone();
  if (request.complete || isHere(request)) {
    taker.take((request.read() as Buffer | null) ?? Buffer.alloc(0));
    // Its end is still to be told, which the connection's next request waits for.
    if (!request.complete) request.resume();
  } else await readAsItComes(request, taker);
  if (!decompress) return taker.whole();
  const inside = new Taker(options, false);
  await decompress(taker.packed(), (piece) => inside.take(piece));
  return inside.whole();
}

/** Whether all of a body has come, before the parser says that it has ended. */
const isHere = ({ readableLength, headers }: IncomingMessage): boolean =>
  readableLength > 0 && readableLength === Number(headers["content-length"]);

/** Keeps the pieces of a body within its bounds. The JSON of a long body is counted while it comes, and refused before all of it is here. */
class Taker {
  readonly #options: ReadOptions;
  /** The bytes are no JSON yet. */
  readonly #isPacked: boolean;
  readonly #pieces: Buffer[] = [];
  #meter: JsonMeter | undefined;
  bytes = 0;

  constructor(options: ReadOptions, isPacked: boolean) {
    this.#options = options;
    this.#isPacked = isPacked;
  }

  /** Throws LineshaftError past a bound. */
  take(piece: Buffer): void {
    this.bytes += piece.length;
    if (this.bytes > this.#options.mostBytes) throw bodyTooLarge(this.#options.mostBytes);
    this.#options.held.add(piece.length);
    this.#pieces.push(piece);
    if (this.#isPacked || this.bytes <= shortBytes) return;
    if (this.#meter) return this.#count((meter) => meter.push(piece));
    const { json, outlined } = this.#options;
    this.#meter = new JsonMeter(json, true, { outlined });
    for (const one of this.#pieces) this.#count((meter) => meter.push(one));
  }

  /** The bytes as they came. */
  packed(): Buffer {
    return this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces);
  }

  /** The bytes, which are of JSON. Throws LineshaftError past a bound. */
  whole(): ReadBody {
    const [first] = this.#pieces;
    const bytes = this.#pieces.length === 1 ? first! : this.#meter ? new Pieces(this.#pieces) : this.packed();
    const { json, outlined } = this.#options;
    if (!this.#meter) {
      this.#meter = new JsonMeter(json, true);
      this.#count((meter) => meter.push(bytes as Uint8Array));
    }
    const { members, outline: text } = this.#meter;
    const outline = text !== undefined && outlined !== undefined ? { name: outlined, text } : undefined;
    return { bytes, members, outline };
  }

  #count(push: (meter: JsonMeter) => void): void {
    try {
      push(this.#meter!);
    } catch (error) {
      throw error instanceof JsonBoundError ? tooMuchJson(error) : error;
    }
  }
}

/** Resolves when all of it has come. */
function readAsItComes(request: IncomingMessage, taker: Taker): Promise<void> {
  return new Promise((resolve, reject) => {
    let before = 0;
    const pace = setInterval(() => {
      if (taker.bytes - before < limits.slowBodyBytes) fail(tooSlow());
      before = taker.bytes;
    }, limits.slowBodyMs);
    const fail = (error: unknown) => {
      clearInterval(pace);
      request.off("data", onData);
      discard(request);
      reject(error);
    };
    const onData = (piece: Buffer) => {
      try {
        taker.take(piece);
      } catch (error) {
        fail(error);
      }
    };
    request.on("data", onData);
    request.once("end", () => {
      clearInterval(pace);
      resolve();
    });
    request.once("error", (error) => {
      clearInterval(pace);
      reject(error);
    });
    request.once("close", () => {
      clearInterval(pace);
      if (!request.complete) reject(clientGone());
    });
  });
}

/** Reads and drops the rest of a refused body, so that its sender reads the answer. Closes the connection when too much of it comes. */
export function discard(request: IncomingMessage): void {
  let left: number = limits.discardedBytes;
  const timer = setTimeout(() => request.complete || request.destroy(), limits.discardMs).unref();
  request.on("data", (piece: Buffer) => {
    left -= piece.length;
    if (left < 0) request.destroy();
  });
  request.once("close", () => clearTimeout(timer));
  request.resume();
}

function tooMuchJson(error: JsonBoundError): LineshaftError {
  return new LineshaftError({
    code: "invalid_value",
    message: `The body ${error.message}. Send less at once.`,
    cause: error,
  });
}

/** Bounds of JSON in bodies on /v1. */
export const protocolJson: JsonBounds = {
  depth: protocolLimits.bodyDepth,
  values: protocolLimits.bodyValues,
  numbers: protocolLimits.bodyNumbers,
};

/** Bounds of JSON in a body with many requests, each of which is read alone within those above. */
export const requestsJson: JsonBounds = {
  depth: protocolLimits.bodyDepth + 3,
  values: limits.requestsValues,
  numbers: limits.requestsValues,
};

/** A body that did not come as a request's: within the bounds of JSON on /v1, and parsed. Throws 400. */
export async function parseBody(bytes: Buffer): Promise<unknown> {
  const meter = new JsonMeter(protocolJson, true);
  try {
    meter.push(bytes);
  } catch (error) {
    throw error instanceof JsonBoundError ? tooMuchJson(error) : error;
  }
  return jsonOf({ bytes, members: meter.members });
}

/**
 * A body as a value; the event loop has its turns between the parts of a large one, of which therefore no list is left to be parsed when
 * it is read. Throws 400.
 */
export function jsonOf({ bytes, members, outline }: ReadBody): unknown {
  try {
    if (bytes.length <= shortBytes) return JSON.parse(textOf(bytes));
    if (!isLarge(bytes)) {
      const lazy = outline && members && parseLazily(bytes, members, outline.name, outline.text);
      return lazy ?? parseParts(bytes, members);
    }
  } catch {
    throw invalidJson();
  }
  return parsePartsInTurns(bytes, members).catch(() => {
    throw invalidJson();
  });
}

/** Bytes from which on a body is worked on in several turns of the event loop: each step over 32 MB takes tens of milliseconds. */
const largeBytes = 512 * 1024;
/** Bytes up to which a body is read as one text. A longer text would be a large object of its own in memory, which costs more than parsing it. */
const shortBytes = 32 * 1024;

/** Whether a body is so large that the event loop has a turn between two steps over it. */
export const isLarge = ({ length }: Bytes): boolean => length > largeBytes;
