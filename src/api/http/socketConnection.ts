// One WebSocket of the Responses API: its bounds, and whose turn it is. One turn runs at a time; what comes meanwhile is refused. Frames
// are counted while they come, as bodies are, and a frame that comes too slowly or is too large ends the connection.
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { LineshaftError } from "../../errors/index.ts";
import { clientGone, shuttingDown } from "../../gateway/refusals.ts";
import { errorFrame } from "../../gateway/protocols/responses/frames.ts";
import { limits } from "../limits.ts";
import type { BodyBudget, HeldBody } from "./bodies.ts";
import { drained } from "./drained.ts";
import { retryHeaders } from "./respond.ts";
import { SocketTurns, type TurnParts } from "./socketTurns.ts";

/** Close codes of RFC 6455, section 7.4.1, and of its registry. */
const closed = { done: 1000, unsupported: 1003, policy: 1008, restarts: 1012, later: 1013 } as const;

interface ConnectionParts extends Omit<TurnParts, "send"> {
  ws: WebSocket;
  socket: Duplex;
  key: string;
  bodies: BodyBudget;
  nowMs: number;
  onClose: () => void;
}

export class SocketConnection {
  readonly key: string;
  readonly #ws: WebSocket;
  readonly #socket: Duplex;
  readonly #bodies: BodyBudget;
  readonly #turns: SocketTurns;
  readonly #gone = new AbortController();
  readonly #openedMs: number;
  /** Bytes of the frame that is coming. */
  #incoming: HeldBody;
  #incomingBytes = 0;
  #incomingBefore = 0;
  #incomingSinceMs: number | undefined;
  #busy = false;
  #refusedWhileBusy = 0;
  #activeMs: number;
  #pingedMs: number;
  #heardMs: number;
  #nowMs: number;
  #stopping = false;

  constructor(parts: ConnectionParts) {
    const { ws, socket, key, bodies, nowMs, onClose } = parts;
    this.key = key;
    this.#ws = ws;
    this.#socket = socket;
    this.#bodies = bodies;
    this.#incoming = bodies.open(key);
    this.#openedMs = nowMs;
    this.#activeMs = nowMs;
    this.#pingedMs = nowMs;
    this.#heardMs = nowMs;
    this.#nowMs = nowMs;
    this.#turns = new SocketTurns({ ...parts, send: (frames) => this.#send(frames) });
    // Before the library's own listener, so that a frame's bytes are counted when it is complete.
    socket.prependListener("data", (piece: Buffer) => this.#count(piece.length));
    ws.on("error", () => {});
    ws.on("ping", (data: Buffer) => this.#control(data));
    ws.on("pong", (data: Buffer) => {
      this.#control(data);
      this.#heardMs = this.#nowMs;
    });
    ws.on("message", (data: Buffer, isBinary: boolean) => void this.#take(data, isBinary));
    ws.on("close", () => {
      this.#gone.abort(clientGone());
      this.#incoming.release();
      this.#turns.close();
      onClose();
    });
  }

  /** Looks at what is due: a ping, a frame that comes too slowly, a connection that is silent, unused or old. */
  tick(nowMs: number): void {
    // What comes next came no earlier, also where ticks come out of order.
    this.#nowMs = Math.max(this.#nowMs, nowMs);
    if (nowMs - this.#heardMs > limits.socketSilentMs) return this.#ws.terminate();
    if (nowMs - this.#pingedMs >= limits.socketPingMs) {
      this.#pingedMs = nowMs;
      this.#ws.ping();
    }
    if (this.#isSlow(nowMs)) return this.#ws.close(closed.policy, "the message came too slowly");
    if (this.#busy) return;
    if (nowMs - this.#openedMs >= limits.socketLifeMs) this.#endOfLife();
    else if (nowMs - this.#activeMs >= limits.socketIdleMs) this.#ws.close(closed.done, "idle");
  }

  /** The server stops: a turn that runs is ended by the gateway, and its client reads how. */
  stop(): void {
    this.#stopping = true;
    if (!this.#busy) this.#ws.close(closed.restarts, "the server stops");
  }

  terminate(): void {
    this.#ws.terminate();
  }

  #count(bytes: number): void {
    this.#incomingBytes += bytes;
    try {
      this.#incoming.add(bytes);
    } catch (error) {
      // What follows belongs to the same frame, so nothing more is read, and the client has a moment to read why.
      const failure = error as LineshaftError;
      void this.#send([refusal(failure)]);
      this.#ws.close(closed.later, failure.code);
      this.#ws.pause();
      setTimeout(() => this.#ws.terminate(), limits.lastWordsMs);
    }
  }

  /** A control frame has come, which is part of no message: six bytes and its data. */
  #control(data: Buffer): void {
    this.#incomingBytes = Math.max(0, this.#incomingBytes - 6 - data.length);
  }

  #isSlow(nowMs: number): boolean {
    if (this.#incomingBytes === 0) {
      this.#incomingSinceMs = undefined;
      return false;
    }
    if (this.#incomingSinceMs === undefined) {
      this.#incomingSinceMs = nowMs;
      this.#incomingBefore = this.#incomingBytes;
      return false;
    }
    if (nowMs - this.#incomingSinceMs < limits.slowBodyMs) return false;
    const came = this.#incomingBytes - this.#incomingBefore;
    this.#incomingSinceMs = nowMs;
    this.#incomingBefore = this.#incomingBytes;
    return came < limits.slowBodyBytes;
  }

  async #take(data: Buffer, isBinary: boolean): Promise<void> {
    const held = this.#incoming;
    this.#incoming = this.#bodies.open(this.key);
    this.#incomingBytes = 0;
    this.#incomingSinceMs = undefined;
    this.#activeMs = this.#nowMs;
    try {
      if (isBinary) return this.#ws.close(closed.unsupported, "messages are text");
      if (this.#busy) return this.#refuse();
      if (this.#stopping) return void this.#send([refusal(shuttingDown())]);
      await this.#turn(data, held);
    } finally {
      held.release();
    }
  }

  async #turn(data: Buffer, held: HeldBody): Promise<void> {
    this.#busy = true;
    try {
      await this.#turns.serve(data, held, this.#gone.signal);
    } catch (error) {
      this.#ws.close(closed.policy, (error as LineshaftError).code);
    } finally {
      this.#busy = false;
      this.#refusedWhileBusy = 0;
      this.#activeMs = this.#nowMs;
      if (this.#stopping) this.#ws.close(closed.restarts, "the server stops");
    }
  }

  #refuse(): void {
    if (++this.#refusedWhileBusy > limits.framesWhileBusy)
      return this.#ws.close(closed.policy, "response_already_in_flight");
    void this.#send([refusal(alreadyInFlight())]);
  }

  #endOfLife(): void {
    void this.#send([refusal(lifeIsOver())]);
    this.#ws.close(closed.done, "websocket_connection_limit_reached");
  }

  #send(frames: readonly string[]): Promise<void> | undefined {
    if (this.#ws.readyState !== this.#ws.OPEN || frames.length === 0) return undefined;
    // Frames of one chunk leave in one write.
    this.#socket.cork();
    for (const frame of frames) this.#ws.send(frame);
    process.nextTick(() => this.#socket.uncork());
    return this.#socket.writableNeedDrain ? drained(this.#socket) : undefined;
  }
}

const refusal = (failure: LineshaftError): string => errorFrame(failure, retryHeaders(failure));

const alreadyInFlight = (): LineshaftError =>
  new LineshaftError({
    code: "response_already_in_flight",
    message: "A response is already in flight on this connection. Wait for its end, or open another connection.",
  });

const lifeIsOver = (): LineshaftError =>
  new LineshaftError({
    code: "websocket_connection_limit_reached",
    message: `Responses websocket connection limit reached (${limits.socketLifeMs / 60_000} minutes).`,
    hint: "Create a new websocket connection to continue.",
  });
