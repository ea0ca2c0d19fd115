// WebSockets: GET /v1/responses with `upgrade: websocket` is the Responses API with one connection for many turns, as Codex and OpenAI's
// SDKs speak it. A connection is authenticated as a request is, before it is opened, and each turn once more. Any other upgrade is
// answered as if it was not asked for, because some HTTP clients ask for h2c with every request.
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { LineshaftError } from "../../errors/index.ts";
import { asLineshaftError } from "../../gateway/errors.ts";
import { newId } from "../../store/index.ts";
import { responses } from "../../gateway/protocols/responses/index.ts";
import { shuttingDown } from "../../gateway/refusals.ts";
import type { ResponsesState } from "../../gateway/responses/state.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { limits } from "../limits.ts";
import { authenticate } from "./authenticate.ts";
import type { BodyBudget } from "./bodies.ts";
import { explained, retryHeaders } from "./respond.ts";
import { SocketConnection } from "./socketConnection.ts";

const path = "/v1/responses";

interface SocketParts {
  dependencies: ServerDependencies;
  stored: ResponsesState;
  bodies: BodyBudget;
}

/** Whether a request asks for a WebSocket that is served here. */
export function asksForSocket({ method, url = "", headers }: IncomingMessage): boolean {
  return method === "GET" && url.split("?", 1)[0] === path && headers.upgrade?.toLowerCase() === "websocket";
}

/** The WebSockets of one server. */
class ResponseSockets {
  readonly #parts: SocketParts;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: limits.bodyBytes,
    perMessageDeflate: false,
  });
  readonly #connections = new Set<SocketConnection>();
  readonly #ofKey = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(parts: SocketParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => this.tick(performance.now()), limits.socketTickMs).unref();
    parts.dependencies.gateway.closing.addEventListener("abort", () => this.#stop(), { once: true });
  }

  /** Opens a connection, or answers why not. */
  async open(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => {});
    try {
      const header = (name: string) => {
        const value = request.headers[name];
        return typeof value === "string" ? value : undefined;
      };
      const { identity, gateway } = this.#parts.dependencies;
      const authenticated = () => authenticate(identity, header);
      const principal = await authenticated();
      if (gateway.closing.aborted) throw shuttingDown();
      this.#makeRoom(principal.key);
      if (socket.destroyed) return;
      this.#sockets.handleUpgrade(request, socket, head, (ws) => {
        const count = (change: number) => {
          const now = (this.#ofKey.get(principal.key) ?? 0) + change;
          if (now > 0) this.#ofKey.set(principal.key, now);
          else this.#ofKey.delete(principal.key);
        };
        count(1);
        const connection = new SocketConnection({
          ws,
          socket,
          key: principal.key,
          gateway,
          stored: this.#parts.stored,
          bodies: this.#parts.bodies,
          headers: request.headers,
          nowMs: performance.now(),
          stillAuthenticated: () => (identity.isConfirmed(principal) ? principal : authenticated()),
          explained: (error) => this.#explained(error),
          onClose: () => {
            this.#connections.delete(connection);
            count(-1);
          },
        });
        this.#connections.add(connection);
      });
    } catch (error) {
      refuse(socket, this.#explained(error));
    }
  }

  /** Looks at every connection; `nowMs` on the clock of `performance.now`. */
  tick(nowMs: number): void {
    for (const connection of this.#connections) connection.tick(nowMs);
  }

  /** Ends what is left of the connections. */
  close(): void {
    clearInterval(this.#timer);
    for (const connection of this.#connections) connection.terminate();
  }

  #stop(): void {
    for (const connection of this.#connections) connection.stop();
  }

  #makeRoom(key: string): void {
    const ofKey = this.#ofKey.get(key) ?? 0;
    if (ofKey < limits.socketsPerKey && this.#connections.size < limits.socketsMost) return;
    const whose = ofKey >= limits.socketsPerKey ? `This key has ${limits.socketsPerKey}` : "This process has as many";
    throw new LineshaftError({
      code: "too_many_streams",
      message: `${whose} WebSockets open as it may.`,
      hint: "Close some, or use those that are open.",
      retryAfterSeconds: 5,
    });
  }

  #explained(error: unknown): LineshaftError {
    const { storage, log } = this.#parts.dependencies;
    const failure = explained(asLineshaftError(error), storage);
    if (failure.code === "internal_error") log.error({ err: (error as Error).stack }, "a WebSocket failed");
    return failure;
  }
}

const socketsOfServers = new WeakMap<Server, ResponseSockets>();

/** Serves WebSockets at a server. */
export function serveSockets(server: Server, parts: SocketParts): void {
  const sockets = new ResponseSockets(parts);
  socketsOfServers.set(server, sockets);
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    void sockets.open(request, socket, head);
  });
}

export const socketsOf = (server: Server): ResponseSockets => socketsOfServers.get(server)!;

/** Answers a request that is not upgraded, as HTTP, and closes its connection. */
function refuse(socket: Duplex, failure: LineshaftError): void {
  if (socket.destroyed) return;
  const body = responses.error(failure, "body");
  const headers = {
    [responses.requestIdHeader]: newId("req"),
    "content-type": "application/json; charset=utf-8",
    "content-length": String(Buffer.byteLength(body)),
    connection: "close",
    ...retryHeaders(failure),
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${failure.status} Refused\r\n${lines.join("")}\r\n${body}`);
}
