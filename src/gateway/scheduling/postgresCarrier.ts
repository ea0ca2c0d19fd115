// Load between gateways over Postgres LISTEN/NOTIFY: what every gateway has anyway. Messages may be lost (a connection that
// broke, a payload that is too long); the scheduler's sequence numbers see that, and its totals repair it.
//
// Only endpoints that several gateways can reach are told of: a worker on this machine is nobody else's. While no other gateway
// is heard, nothing but a sign of life is sent.
import type { Carrier, LoadMessage } from "../../scheduler/index.ts";
import { endClient, newId } from "../../store/index.ts";
import type { Database, Listener } from "../../store/index.ts";
import type { Logger } from "../../telemetry/index.ts";

/** Postgres refuses payloads of 8,000 bytes and more. */
const payloadBytes = 7_900;
/** Who was heard within this time is taken to be there; who hears nobody tells this often that it is. */
const peerMs = 15_000;
const aliveMs = 4_000;
const reconnectMs = 1_000;
/** Messages on their way to a database that does not answer; further ones are lost, which the next total repairs. */
const toldAtMost = 256;
export const loadChannel = "lineshaft_load";

export interface PostgresCarrierOptions {
  db: Database;
  log: Logger;
  /** Whether other gateways can reach the endpoint too. */
  isShared: (endpoint: string) => boolean;
}

export class PostgresCarrier implements Carrier {
  /** Its name among the gateways. */
  readonly gateway = newId("gtw");
  readonly #options: PostgresCarrierOptions;
  readonly #hearers = new Set<(message: LoadMessage) => void>();
  #client: Listener | undefined;
  #listening = false;
  #heardMs = Number.NEGATIVE_INFINITY;
  #toldMs = Number.NEGATIVE_INFINITY;
  #telling = Promise.resolve();
  #untold = 0;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  /** Resolves when it has begun to listen. */
  readonly ready: Promise<void>;

  constructor(options: PostgresCarrierOptions) {
    this.#options = options;
    this.ready = this.#listen();
  }

  publish(message: LoadMessage): void {
    const deltas = message.deltas.filter(({ endpoint }) => this.#options.isShared(endpoint));
    const now = performance.now();
    // Alone, a sign of life is enough to be found by: who hears it waits for the next total.
    if (now - this.#heardMs > peerMs && now - this.#toldMs < aliveMs) return;
    if (!this.#client || !this.#listening || this.#untold >= toldAtMost) return;
    this.#toldMs = now;
    const text = JSON.stringify({ ...message, deltas });
    if (Buffer.byteLength(text) > payloadBytes)
      return this.#options.log.warn("too many endpoints for one message of load");
    // By the one connection, one after another: messages arrive in the order in which they were told.
    const client = this.#client;
    this.#untold++;
    this.#telling = this.#telling
      .then(() => client.query("select pg_notify($1, $2)", [loadChannel, text]))
      .then(
        () => {},
        (error: Error) => this.#options.log.debug({ err: error.message }, "load was not told"),
      )
      .finally(() => this.#untold--);
  }

  subscribe(hear: (message: LoadMessage) => void): () => void {
    this.#hearers.add(hear);
    return () => this.#hearers.delete(hear);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    if (this.#client) await endClient(this.#client);
  }

  async #listen(): Promise<void> {
    const client = this.#options.db.listener();
    this.#client = client;
    const again = () => {
      if (this.#closed || this.#client !== client) return;
      this.#client = undefined;
      this.#listening = false;
      this.#retry = setTimeout(() => void this.#listen(), reconnectMs);
      this.#retry.unref();
    };
    client.on("error", again);
    client.on("end", again);
    client.on("notification", ({ payload }) => this.#heard(payload));
    try {
      await client.connect();
      await client.query(`listen ${loadChannel}`);
      this.#listening = true;
    } catch (error) {
      this.#options.log.debug({ err: (error as Error).message }, "load of other gateways cannot be heard");
      again();
    }
  }

  #heard(payload: string | undefined): void {
    let message: LoadMessage;
    try {
      message = JSON.parse(payload ?? "") as LoadMessage;
    } catch {
      return;
    }
    if (message.gateway === this.gateway) return;
    this.#heardMs = performance.now();
    // Every process has a clock of its own; the way takes milliseconds.
    for (const hear of this.#hearers) hear({ ...message, atMs: this.#heardMs });
  }
}
