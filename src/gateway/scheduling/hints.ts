// Carries out the scheduler's hints for programs' KV: each is sent to the endpoint, answered by a receipt, and counted. A hint that is not
// honoured does no harm, because KV events say where the KV really is.
import type { EngineRegistry, KvHint } from "../../engines/index.ts";
import type { Logger, Metrics } from "../../telemetry/index.ts";

export class KvHinter {
  readonly #engines: EngineRegistry;
  readonly #metrics: Metrics;
  readonly #log: Logger;

  constructor(rooms: { engines: EngineRegistry; metrics: Metrics; log: Logger }) {
    this.#engines = rooms.engines;
    this.#metrics = rooms.metrics;
    this.#log = rooms.log;
  }

  /** Resolves when the endpoint has answered; never throws. */
  async send(endpoint: string, { verb, program }: KvHint): Promise<void> {
    const kv = this.#engines.get(endpoint)?.engine.kv;
    if (!kv) return;
    try {
      for (const receipt of await kv.hint([{ verb, program }])) {
        this.#metrics.kvHint(verb, receipt.honoured);
        this.#log.debug({ endpoint, ...receipt }, "KV hint");
      }
    } catch (error) {
      this.#metrics.kvHint(verb, false);
      this.#log.debug({ endpoint, verb, program, err: (error as Error).message }, "KV hint");
    }
  }
}
