// One watcher's reading of vLLM's KV events, as the seam wants them: epochs, and numbers from 0 without gaps.
//
//   connected -> caught up -> following --gap, restart--> caught up
//        ^                        |
//        +---- after a pause -----+ connection lost
//
// vLLM numbers its messages from 0 since its start and keeps the last ten thousand for replay. It has no snapshot and no epoch. So each
// time a message may have been missed, the replay is asked for from the last message seen, that one included. If it has the same bytes
// (they hold its time), the engine has not restarted and no message in between is lost. If it differs or is gone, a new epoch begins with
// `cleared` and everything that the engine can still replay. Without a replay, every doubt begins a new epoch.
import { isMalformed, messageSequence, VllmKvDecoder } from "./kvWire.ts";
import type { VllmEvent } from "./kvWire.ts";
import { pause as pauseFor } from "../pause.ts";
import { EngineError } from "../types.ts";
import type { KvEvent } from "../kv.ts";
import { limits } from "./limits.ts";
import type { KvConnection } from "./sockets.ts";
import type { KvChange } from "./translate.ts";

interface KvStreamOptions {
  connect(signal: AbortSignal): Promise<KvConnection>;
  /** A name for every epoch, never the same again. */
  newEpoch(): string;
  /** What the event says at the seam; undefined where it is of no concern. */
  translate(event: VllmEvent): KvChange | undefined;
  pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** The last message that was passed on whole. */
interface Seen {
  sequence: number;
  at: number;
  payload: Uint8Array;
}

export class KvStream {
  readonly #options: KvStreamOptions;
  readonly #decoder = new VllmKvDecoder();
  #epoch = "";
  #next = 0;
  #seen: Seen | undefined;
  /** Whether everything of `#seen` was taken by the reader, and nothing after it. */
  #whole = true;
  #fresh = true;
  #connection: KvConnection | undefined;

  constructor(options: KvStreamOptions) {
    this.#options = options;
  }

  /** Whether a reader that has seen everything before `position` can go on with this stream. */
  continues(position: { epoch: string; sequence: number }): boolean {
    return this.#whole && !this.#fresh && position.epoch === this.#epoch && position.sequence === this.#next;
  }

  /** Begins a new epoch and tells all again: what is known of the engine, or of salts, has changed. */
  reread(): void {
    this.#fresh = true;
    this.#connection?.close();
  }

  /** Events until the signal aborts, across broken connections. Throws EngineError where it can never succeed. */
  async *read(signal: AbortSignal): AsyncGenerator<KvEvent, void, void> {
    const { connect, pause = pauseFor } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const connection = await connect(signal);
        const close = () => connection.close();
        this.#connection = connection;
        signal.addEventListener("abort", close, { once: true });
        try {
          yield* this.#catchUp(connection);
          failures = 0;
          yield* this.#follow(connection);
        } finally {
          signal.removeEventListener("abort", close);
          connection.close();
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof EngineError && !error.retryable) throw error;
        failures++;
      }
      // It has been away for too long: what it still holds is not known.
      if (failures === limits.failuresUntilCleared && !this.#fresh && !signal.aborted) yield this.#begin();
      await pause(limits.reconnectMs[Math.min(failures, limits.reconnectMs.length - 1)]!, signal);
    }
  }

  /** What happened since the last message seen, or a new epoch with all that the engine can tell. */
  async *#catchUp(connection: KvConnection): AsyncGenerator<KvEvent, void, void> {
    const seen = this.#fresh ? undefined : this.#seen;
    if (seen !== undefined && connection.replays) {
      let same: boolean | undefined;
      for await (const frames of connection.replay(seen.sequence)) {
        if (same !== undefined) yield* this.#accept(frames);
        else same = messageSequence(frames) === seen.sequence && Buffer.compare(frames.at(-1)!, seen.payload) === 0;
        if (!same) break;
      }
      if (same) return;
    }
    yield this.#begin();
    for await (const frames of connection.replay(0)) yield* this.#accept(frames);
  }

  async *#follow(connection: KvConnection): AsyncGenerator<KvEvent, void, void> {
    for await (const frames of connection.live()) {
      const sequence = messageSequence(frames);
      const last = this.#seen;
      // Where the replay brought nothing, nothing was published before it; without a replay the first message says where the stream begins.
      const due = last !== undefined ? last.sequence + 1 : connection.replays ? 0 : sequence;
      if (sequence !== due) {
        // The stream began before the replay ended: both tell what was published meanwhile.
        if (last !== undefined && sequence <= last.sequence && this.#timeOf(frames) <= last.at) continue;
        yield* this.#catchUp(connection);
        if (this.#seen !== undefined && sequence <= this.#seen.sequence) continue;
      }
      yield* this.#accept(frames);
    }
  }

  /** The events of one message, numbered. A message that cannot be read begins a new epoch. */
  *#accept(frames: Uint8Array[]): Generator<KvEvent, void, void> {
    const payload = frames.at(-1)!;
    let events: VllmEvent[] = [];
    let at = this.#seen?.at ?? 0;
    try {
      ({ events, at } = this.#decoder.decode(frames));
    } catch (error) {
      if (!isMalformed(error)) throw error;
      yield this.#begin();
    }
    const changes = events.map((event) => this.#options.translate(event)).filter((change) => change !== undefined);
    const seen = { sequence: messageSequence(frames), at, payload };
    this.#whole = false;
    for (const change of changes) {
      // A reader that takes the last change and leaves has had the whole message.
      if (change === changes.at(-1)) this.#take(seen);
      yield { ...change, epoch: this.#epoch, sequence: this.#next++ };
    }
    if (changes.length === 0) this.#take(seen);
  }

  #take(seen: Seen): void {
    this.#seen = seen;
    this.#whole = true;
  }

  #timeOf(frames: Uint8Array[]): number {
    try {
      return this.#decoder.decode(frames).at;
    } catch {
      return Infinity;
    }
  }

  #begin(): KvEvent {
    this.#epoch = this.#options.newEpoch();
    this.#next = 1;
    this.#seen = undefined;
    this.#fresh = false;
    return { type: "cleared", epoch: this.#epoch, sequence: 0 };
  }
}
