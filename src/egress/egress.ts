// The only door to the network for every room: calls, tools, media and downloads leave here. The one exception is ZeroMQ, whose library
// opens its own sockets, at addresses that are judged by the same rules.
//
// Requests go through undici's `Pool.dispatch` without its stream wrappers. Of Node's ways to make a request this one takes the least
// CPU: 39 us a proxied call, against 72 with Node's own client and 540 with global fetch, which is forbidden. Redirects are never
// followed, addresses are judged when they are resolved (addresses.ts), the caller names every header, and backpressure goes through: a
// reader that stops reading stops the sender.
import { isIP } from "node:net";
import type { LookupFunction } from "node:net";
import { buildConnector, errors, Pool } from "undici";
import type { Dispatcher } from "undici";
import { atEndOfTurn, iterated, later, processMemory, type Taken } from "../bounded/index.ts";
import { checkedLookup, isNotPublic, isRefusedAddress, publicLookup } from "./addresses.ts";
import { limits } from "./limits.ts";
import { EgressError } from "./errors.ts";

export interface EgressRequest {
  method: "GET" | "POST" | "DELETE";
  url: string;
  /** Flat list, name and value in turn; nothing is added but host, content-length and connection. */
  headers: string[];
  /** Pieces are sent one after the other, without being copied together. */
  body?: string | Uint8Array | Uint8Array[] | undefined;
  signal?: AbortSignal | undefined;
  /** `configured`: an address that an owner configured, which may be on a private network. `public`: one that a caller named. */
  reach?: "configured" | "public";
  /** Says a failure in the words of the room that knows what stands at the address; without it EgressError is thrown. */
  translate?: ((error: EgressError) => Error) | undefined;
  /** Milliseconds to the answer's headers, and between two pieces of its body; 0 for no bound. Rounded to a second by undici. */
  firstByteMs?: number;
  silenceMs?: number;
  /** Milliseconds to open a connection to a configured address; `limits.connectMs` where absent. */
  connectMs?: number | undefined;
  /** Milliseconds between two pieces of the body once the first has come. Time that the reader does not read is not counted. */
  idleMs?: number | undefined;
}

export interface EgressResponse {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: ByteStream;
}

/**
 * Bytes of an answer, read once: by `now`, by `take`, or as an iterable. `abort` closes the connection, and a reader that leaves early does
 * the same.
 */
export interface ByteStream extends AsyncIterable<Uint8Array> {
  /** All pieces that have come, as `Arrivals.take`. Throws what the request failed with. */
  take(wake: () => void): Taken<Uint8Array[]>;
  /**
   * All of it, where it has come to its end already: the usual short answer, which comes in one packet with its headers. It is read then.
   * Undefined where more may come or it has failed: then it is iterated.
   */
  now(): Uint8Array[] | undefined;
  abort(): void;
}

const pools = new Map<string, Pool>();
/** Connects on the address that was judged, where it is not refused. A literal address is not looked up, so it is judged here. */
function judging(
  lookup: LookupFunction,
  isRefused: (address: string) => boolean,
  connectMs: number = limits.connectMs,
): buildConnector.connector {
  const connect = buildConnector({ timeout: connectMs, lookup, keepAlive: true });
  return (options, callback) => {
    const host = options.hostname.replace(/^\[|\]$/g, "");
    if (isIP(host) !== 0 && isRefused(host))
      callback(
        new EgressError({ code: "address_refused", message: `${host} is an address that may not be connected to.` }),
        null,
      );
    else connect(options, callback);
  };
}

const connectToConfigured = judging(checkedLookup, isRefusedAddress);
const connectToPublic = judging(publicLookup, isNotPublic);

/** The time to connect belongs to a pool, so an origin has one for each such time that its callers ask for. */
function poolOf(origin: string, connectMs: number | undefined): Pool {
  const key = connectMs === undefined ? origin : `${connectMs} ${origin}`;
  let pool = pools.get(key);
  if (!pool) {
    pool = new Pool(origin, {
      connections: limits.connectionsPerOrigin,
      pipelining: 1,
      keepAliveTimeout: 30_000,
      connect: connectMs === undefined ? connectToConfigured : judging(checkedLookup, isRefusedAddress, connectMs),
    });
    pools.set(key, pool);
  }
  return pool;
}

/**
 * Sends a request; resolves at the answer's headers. Throws EgressError, or what `translate` makes of it: `endpoint_unreachable`,
 * `endpoint_timeout`, `address_refused`, `aborted`. The body's iterator throws the same.
 */
export function send(request: EgressRequest): Promise<EgressResponse> {
  const split = request.url.indexOf("/", 8);
  const origin = split < 0 ? request.url : request.url.slice(0, split);
  const path = split < 0 ? "/" : request.url.slice(split);
  return new Promise((resolve, reject) => {
    const exchange = new Exchange(request, resolve, reject);
    const { body = null, headers } = request;
    // An address that a caller named is used once. Its connection is not kept, because callers' addresses would fill the memory.
    const once =
      request.reach === "public" ? new Pool(origin, { connections: 1, connect: connectToPublic }) : undefined;
    (once ?? poolOf(origin, request.connectMs)).dispatch(
      {
        method: request.method,
        path,
        headers: Array.isArray(body) ? [...headers, "content-length", lengthOf(body)] : headers,
        body: Array.isArray(body) ? (body as Iterable<Uint8Array> as Dispatcher.DispatchOptions["body"]) : body,
        headersTimeout: request.firstByteMs ?? limits.firstByteMs,
        bodyTimeout: request.silenceMs ?? limits.silenceMs,
      },
      exchange,
    );
    // Closes when the exchange has ended.
    void once?.close().catch(() => {});
  });
}

const lengthOf = (pieces: Uint8Array[]): string => String(pieces.reduce((sum, piece) => sum + piece.length, 0));

/** Closes every connection, for the end of the process and of tests. */
export async function closeEgress(): Promise<void> {
  const open = [...pools.values()];
  pools.clear();
  await Promise.all(open.map((pool) => pool.destroy()));
}

/** One request under way: undici's handler on one side, an iterator of bytes with backpressure on the other. */
class Exchange implements Dispatcher.DispatchHandler, ByteStream {
  readonly #signal: AbortSignal | undefined;
  readonly #translate: EgressRequest["translate"];
  readonly #idleMs: number | undefined;
  /** Runs from the first piece of the body on, where the silence between pieces is bounded. */
  #idle: NodeJS.Timeout | undefined;
  /** Pieces that have come. */
  #arrivals = 0;
  #resolve: (response: EgressResponse) => void;
  #reject: (error: Error) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #started = false;
  #aborted = false;
  #unread: Uint8Array[] = [];
  #unreadBytes = 0;
  #ended = false;
  /** Its reader has left: what still comes is dropped. */
  #abandoned = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  readonly #onAbort = () => this.abort();

  constructor(
    { signal, translate, idleMs }: EgressRequest,
    resolve: (response: EgressResponse) => void,
    reject: (error: Error) => void,
  ) {
    this.#signal = signal;
    this.#translate = translate;
    this.#idleMs = idleMs;
    this.#resolve = resolve;
    this.#reject = reject;
    if (signal?.aborted) this.#aborted = true;
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  abort(): void {
    this.#aborted = true;
    // Its reader may never come back, so what it has not read is dropped here.
    this.#abandoned = true;
    this.#forget();
    if (!this.#ended) this.#controller?.abort(new errors.RequestAbortedError());
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#aborted) controller.abort(new errors.RequestAbortedError());
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    this.#controller = controller;
    this.#started = true;
    this.#resolve({ status, headers, body: this });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // undici hands over an empty piece where it is resumed with nothing at hand. To pause for it would be to be resumed at once, for ever.
    if (this.#abandoned || chunk.length === 0) return;
    if (this.#idleMs !== undefined) this.#heard(this.#idleMs);
    this.#arrivals++;
    this.#unread.push(chunk);
    this.#unreadBytes += chunk.length;
    processMemory.count("streams", chunk.length);
    if (this.#unreadBytes > limits.unreadBytes || processMemory.tight) controller.pause();
    this.#wakeUp();
  }

  onResponseEnd(): void {
    this.#ended = true;
    this.#close();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const failure = asEgressError(error, this.#aborted);
    this.#failure = this.#translate?.(failure) ?? failure;
    this.#ended = true;
    if (!this.#started) this.#reject(this.#failure);
    this.#close();
  }

  /** A piece has come: the next one has its time from now on. */
  #heard(idleMs: number): void {
    if (this.#idle) this.#idle.refresh();
    else this.#idle = setTimeout(() => this.#silent(), idleMs).unref();
  }

  #silent(): void {
    // Timers fire before sockets are read: after a stall of this process, what the sender sent in time is read first.
    const arrivals = this.#arrivals;
    setImmediate(() => {
      if (this.#ended || this.#arrivals !== arrivals) return;
      // What waits for its reader says nothing of the sender.
      if (this.#unreadBytes > 0 || this.#controller?.paused) this.#idle?.refresh();
      else this.#controller?.abort(new errors.BodyTimeoutError());
    });
  }

  #close(): void {
    clearTimeout(this.#idle);
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#wakeUp();
  }

  /** Not at once: undici is in the middle of its work here. */
  #wakeUp(): void {
    const wake = this.#wake;
    if (wake === undefined) return;
    this.#wake = undefined;
    atEndOfTurn(wake);
  }

  #forget(): void {
    processMemory.release("streams", this.#unreadBytes);
    this.#unread = [];
    this.#unreadBytes = 0;
  }

  now(): Uint8Array[] | undefined {
    if (!this.#ended || this.#failure || this.#abandoned) return undefined;
    const pieces = this.#unread;
    this.#forget();
    return pieces;
  }

  take(wake: () => void): Taken<Uint8Array[]> {
    const pieces = this.#unread;
    if (pieces.length > 0) {
      this.#forget();
      if (this.#controller?.paused) {
        // The sender has waited for the reader: it has its whole time from now on.
        this.#idle?.refresh();
        this.#controller.resume();
      }
      return pieces;
    }
    if (!this.#ended) {
      this.#wake = wake;
      return later;
    }
    if (this.#failure) throw this.#failure;
    return undefined;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    /** Pieces that were taken together, the last one first. */
    let taken: Uint8Array[] = [];
    return iterated({
      take: (wake: () => void) => {
        if (taken.length === 0) {
          const pieces = this.take(wake);
          if (pieces === undefined || pieces === later) return pieces;
          taken = pieces.reverse();
        }
        return taken.pop();
      },
      leave: () => {
        taken = [];
        this.abort();
        return undefined;
      },
    });
  }
}

function asEgressError(error: Error, aborted: boolean): EgressError {
  if (error instanceof EgressError) return error;
  if (aborted) return new EgressError({ code: "aborted", message: "The request was given up.", cause: error });
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT")
    return new EgressError({
      code: "endpoint_timeout",
      message: "The endpoint was silent for too long.",
      hint: "Look at its log and load.",
      cause: error,
    });
  return new EgressError({
    code: "endpoint_unreachable",
    message: `The endpoint cannot be reached: ${reasonOf(error)}.`,
    hint: "Check that it runs and that its address is right.",
    cause: error,
  });
}

/** Why a connection failed, as the end of a sentence, without the stack of errors that sockets wrap it in. */
export function reasonOf(error: Error): string {
  const code = (error as NodeJS.ErrnoException).code;
  const known: Record<string, string> = {
    ECONNREFUSED: "nothing listens there",
    ENOTFOUND: "the name is not known",
    EAI_AGAIN: "the name could not be looked up",
    ECONNRESET: "it closed the connection",
    UND_ERR_SOCKET: "it closed the connection",
    UND_ERR_CONNECT_TIMEOUT: "no answer to the connection",
    EHOSTUNREACH: "no way to the host",
    ENETUNREACH: "no way to its network",
  };
  return (code && known[code]) ?? error.message.replace(/\.$/, "");
}
