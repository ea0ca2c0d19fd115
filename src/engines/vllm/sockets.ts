// The way to one publisher of KV events: a SUB socket for what happens, and a DEALER that asks its ROUTER for what happened.
// vLLM's side is `ZmqEventPublisher`; SGLang's is a copy of it.
//
// libzmq opens its sockets itself, so this is a second door to the network, under the rules of the first (egress/): the host is the
// engine's own, never one that the engine names; it is resolved and judged, and the socket gets the literal address that was judged.
// libzmq's own reconnecting is off, because a watcher has to know of every break, and a name may resolve anew.
import type { Dealer, Subscriber } from "zeromq";
import { messageSequence } from "./kvWire.ts";
import { EgressError, judgedAddress } from "../../egress/index.ts";
import { asEngineError } from "../send.ts";
import { EngineError } from "../types.ts";
import { limits } from "./limits.ts";

export interface KvAddress {
  /** The engine's host, as its URL has it. */
  host: string;
  port: number;
  /** Port of the replay socket, where the engine has one. */
  replayPort?: number;
}

/** Messages are frames: topic, sequence (8 bytes, big-endian), msgpack payload. */
export interface KvConnection {
  /** Whether the past can be asked for. */
  readonly replays: boolean;
  /** What is published from now on; ends when the connection does. */
  live(): AsyncIterable<Uint8Array[]>;
  /**
   * Messages from `from` on, as far back as the engine still has them, without holes after the first one. Throws EngineError
   * when the engine does not answer, or forgets faster than it tells.
   */
  replay(from: number): AsyncIterable<Uint8Array[]>;
  close(): void;
}

type Zmq = typeof import("zeromq");
let library: Promise<Zmq> | undefined;

/** Loaded at its first use: most instances have no such engine. */
function zmq(): Promise<Zmq> {
  return (library ??= import("zeromq").catch((cause: unknown) => {
    throw new EngineError({
      status: 501,
      code: "kv_events_unsupported",
      message: "KV events cannot be received here: ZeroMQ has no binary for this platform.",
      hint: "Run Lineshaft on Linux, macOS or Windows; without events, caches are learned from usage.",
      retryable: false,
      cause,
    });
  }));
}

const common = {
  linger: 0,
  reconnectInterval: -1,
  connectTimeout: limits.connectMs,
  handshakeInterval: limits.connectMs,
  heartbeatInterval: limits.heartbeatMs,
  heartbeatTimeout: limits.heartbeatTimeoutMs,
  maxMessageSize: limits.messageBytes,
  receiveHighWaterMark: limits.unreadMessages,
};

/** Connects; resolves when the publisher has greeted. Throws EngineError when it does not greet, or its address is refused. */
export async function connectKvEvents(address: KvAddress, signal?: AbortSignal): Promise<KvConnection> {
  const { Dealer: DealerSocket, Subscriber: SubscriberSocket } = await zmq();
  const { literal, family } = await judgedAddress(address.host).catch((error: unknown) => {
    throw error instanceof EgressError ? asEngineError(error) : error;
  });
  signal?.throwIfAborted();
  const endpoint = (port: number) => `tcp://${family === 6 ? `[${literal}]` : literal}:${port}`;
  const options = { ...common, ipv6: family === 6 };
  const subscriber = new SubscriberSocket(options);
  const connection = new Connection(subscriber, address.replayPort, (port) => {
    const dealer = new DealerSocket({
      ...options,
      receiveHighWaterMark: limits.replayMessages,
      sendTimeout: limits.connectMs,
    });
    onBreak(dealer, () => dealer.close());
    dealer.connect(endpoint(port));
    return dealer;
  });
  const where = `${address.host}:${address.port}`;
  const greeted = new Promise<void>((resolve, reject) => {
    subscriber.events.on("handshake", () => resolve());
    // A reader sees the end of its messages: a closed socket has no more.
    onBreak(subscriber, () => {
      connection.close();
      reject(unreachable(where, "it closed the connection"));
    });
  });
  subscriber.subscribe();
  subscriber.connect(endpoint(address.port));
  try {
    await within(greeted, limits.connectMs, () => unreachable(where, "no ZeroMQ publisher answered"), signal);
  } catch (error) {
    connection.close();
    throw error;
  }
  return connection;
}

/** Calls back when the connection could not be made, or is no more. */
function onBreak(socket: Subscriber | Dealer, broken: () => void): void {
  for (const type of [
    "close",
    "disconnect",
    "handshake:error:protocol",
    "handshake:error:auth",
    "handshake:error:other",
  ])
    socket.events.on(type as "disconnect", broken);
}

/** The promise's outcome, unless the time is over or the signal aborts before. */
async function within(promise: Promise<void>, ms: number, late: () => Error, signal?: AbortSignal): Promise<void> {
  let give = () => {};
  const ending = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(late()), ms);
    const abort = () => reject(signal!.reason as Error);
    signal?.addEventListener("abort", abort, { once: true });
    give = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
  });
  try {
    await Promise.race([promise, ending]);
  } finally {
    give();
  }
}

class Connection implements KvConnection {
  readonly replays: boolean;
  readonly #subscriber: Subscriber;
  readonly #replayPort: number | undefined;
  readonly #open: (port: number) => Dealer;
  readonly #dealers = new Set<Dealer>();

  constructor(subscriber: Subscriber, replayPort: number | undefined, open: (port: number) => Dealer) {
    this.replays = replayPort !== undefined;
    this.#subscriber = subscriber;
    this.#replayPort = replayPort;
    this.#open = open;
  }

  async *live(): AsyncGenerator<Uint8Array[], void, void> {
    for (;;) {
      const frames = await received(this.#subscriber);
      if (frames === undefined) return;
      yield frames;
    }
  }

  async *replay(from: number): AsyncGenerator<Uint8Array[], void, void> {
    if (this.#replayPort === undefined) return;
    const dealer = this.#open(this.#replayPort);
    this.#dealers.add(dealer);
    try {
      let next = from;
      let begun = false;
      for (let stalls = 0; stalls < limits.replayStalls;) {
        await asked(dealer, next);
        dealer.receiveTimeout = limits.replayMs;
        // The ROUTER drops what a full pipe does not take, and says nothing: what is missing is asked for again.
        let complete = true;
        let brought = 0;
        for (;;) {
          const answer = await received(dealer);
          if (answer === undefined) complete = false;
          if (answer === undefined || isEnd(answer)) break;
          dealer.receiveTimeout = limits.replaySilenceMs;
          const frames = answer.slice(1);
          const sequence = messageSequence(frames);
          // Only the very first message may begin later than asked: the engine has forgotten what came before.
          if (complete && (begun ? sequence === next : sequence >= next)) {
            begun = true;
            next = sequence + 1;
            brought++;
            yield frames;
          } else if (sequence > next) {
            complete = false;
          }
        }
        if (complete) return;
        stalls = brought === 0 ? stalls + 1 : 0;
      }
      throw unreachable(`port ${this.#replayPort}`, "the replay brought nothing more");
    } finally {
      this.#dealers.delete(dealer);
      dealer.close();
    }
  }

  close(): void {
    this.#subscriber.close();
    for (const dealer of this.#dealers) dealer.close();
  }
}

/** The next message; undefined when the socket was closed or has waited for too long. */
async function received(socket: Subscriber | Dealer): Promise<Uint8Array[] | undefined> {
  try {
    return await socket.receive();
  } catch {
    return undefined;
  }
}

async function asked(dealer: Dealer, from: number): Promise<void> {
  const start = Buffer.alloc(8);
  start.writeBigUInt64BE(BigInt(from));
  try {
    await dealer.send([Buffer.alloc(0), start]);
  } catch {
    throw unreachable("its replay socket", "it took no request");
  }
}

/** The replay's last message has -1 for a sequence. */
function isEnd(answer: Uint8Array[]): boolean {
  const sequence = answer.at(-2);
  return sequence !== undefined && sequence.length === 8 && sequence.every((byte) => byte === 0xff);
}

function unreachable(where: string, why: string): EngineError {
  return new EngineError({
    status: 502,
    code: "kv_events_unreachable",
    message: `KV events cannot be read from ${where}: ${why}.`,
    hint: "vLLM listens only where the endpoint in --kv-events-config has a *, such as tcp://*:5557; the port must be open to Lineshaft.",
  });
}
