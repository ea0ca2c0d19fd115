// A publisher of KV events on real ZeroMQ sockets, for tests: PUB and ROUTER as vLLM's `ZmqEventPublisher` has them, a ring of
// past messages, and the faults that tests need. What it publishes is given to it: recorded frames of the real engine, or
// messages in vLLM's map form or SGLang's array form.
import { encode } from "@msgpack/msgpack";
import { Router, XPublisher } from "zeromq";
import type { KvAddress } from "./sockets.ts";

interface PublisherOptions {
  /** Messages kept for replay; 0 opens no replay socket. */
  ring?: number;
  topic?: string;
  /** Replies without a topic frame, as vLLM did until July 2026. */
  bareReplies?: boolean;
}

export interface TestPublisher extends AsyncDisposable {
  readonly address: KvAddress;
  /**
   * Resolves when the first subscription has arrived. A subscriber sends it after the handshake that tells it of its connection, so what
   * is published between the two reaches it by replay alone.
   */
  readonly subscribed: Promise<void>;
  /** Publishes a payload under the next number; events are packed with a time that rises. */
  publish(payload: Uint8Array | unknown[]): Promise<void>;
  /** Takes a number and keeps the message for replay, but does not publish it. */
  lose(payload: Uint8Array | unknown[]): void;
  /** Counts from 0 again with an empty ring, as an engine that has restarted. */
  restart(): void;
  /** The next replay leaves these numbers out once, as a full pipe does. */
  dropOnce(...sequences: number[]): void;
  /** First numbers that replays were asked for. */
  readonly asked: number[];
}

const empty = Buffer.alloc(0);

/** Eight bytes, big-endian. */
function sequenceFrame(sequence: number): Buffer {
  const frame = Buffer.alloc(8);
  frame.writeBigInt64BE(BigInt(sequence));
  return frame;
}

export async function testPublisher(options: PublisherOptions = {}): Promise<TestPublisher> {
  const { ring = 1000 } = options;
  const topic = Buffer.from(options.topic ?? "kv@test@model");
  // An XPUB is a PUB that also tells of subscriptions.
  const publisher = new XPublisher({ linger: 0 });
  const router = ring > 0 ? new Router({ linger: 0 }) : undefined;
  await publisher.bind("tcp://127.0.0.1:*");
  await router?.bind("tcp://127.0.0.1:*");
  const portOf = (endpoint: string | null) => Number(endpoint!.slice(endpoint!.lastIndexOf(":") + 1));
  let kept: [number, Uint8Array][] = [];
  let next = 0;
  let time = 1_000;
  const dropped = new Set<number>();
  const asked: number[] = [];

  const take = (payload: Uint8Array | unknown[]): [number, Uint8Array] => {
    const bytes = payload instanceof Uint8Array ? payload : encode([time++, payload], { useBigInt64: true });
    const entry: [number, Uint8Array] = [next++, bytes];
    kept = [...kept, entry].slice(-Math.max(ring, 1));
    return entry;
  };

  const serve = async (socket: Router) => {
    for await (const [client, , start] of socket) {
      const from = Number(start!.readBigUInt64BE());
      asked.push(from);
      for (const [sequence, bytes] of kept) {
        if (sequence < from || dropped.delete(sequence)) continue;
        await socket.send([client!, empty, ...(options.bareReplies ? [] : [topic]), sequenceFrame(sequence), bytes]);
      }
      await socket.send([client!, empty, ...(options.bareReplies ? [] : [empty]), sequenceFrame(-1), empty]);
    }
  };
  if (router) void serve(router).catch(() => {});
  const subscribed = publisher.receive().then(
    () => {},
    // Closed before anyone subscribed.
    () => {},
  );

  return {
    address: {
      host: "127.0.0.1",
      port: portOf(publisher.lastEndpoint),
      ...(router && { replayPort: portOf(router.lastEndpoint) }),
    },
    asked,
    subscribed,
    async publish(payload) {
      const [sequence, bytes] = take(payload);
      await publisher.send([topic, sequenceFrame(sequence), bytes]);
    },
    lose: (payload) => void take(payload),
    restart() {
      next = 0;
      kept = [];
    },
    dropOnce: (...sequences) => sequences.forEach((sequence) => dropped.add(sequence)),
    async [Symbol.asyncDispose]() {
      // The port stays open until closing has ended, so it is unbound first.
      await publisher.unbind(publisher.lastEndpoint!);
      publisher.close();
      router?.close();
    },
  };
}

let lastHash = 0x1000_0000_0000_0000n;

/** A stored event in map form; its blocks have hashes of their own. */
export function storedEvent(tokens: number[], blockTokens: number, more: Record<string, unknown> = {}) {
  const block_hashes = Array.from({ length: tokens.length / blockTokens }, () => ++lastHash);
  return {
    type: "BlockStored",
    block_hashes,
    parent_block_hash: null,
    token_ids: tokens,
    block_size: blockTokens,
    lora_id: null,
    medium: "GPU",
    lora_name: null,
    ...more,
  };
}
