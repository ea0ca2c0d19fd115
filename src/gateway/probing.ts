// Probes the engines that were added, at intervals, so that a dead engine is known before a call meets it and a returned one is used
// again. Workers of this machine are watched by their supervisor and are not probed here.
//
// The number of probes at once is bounded, and each has its own time limit (engines/limits.ts). An endpoint that is away is probed less
// and less often. An endpoint that serves a call now is not probed, because the call says more.
import type { EngineRegistry, RegisteredEndpoint } from "../engines/index.ts";
import { limits } from "./limits.ts";

interface Known {
  /** On the prober's clock: when it is asked next. */
  dueMs: number;
  /** Questions in a row without an answer. */
  failures: number;
  asking: boolean;
}

export class EngineProber {
  readonly #engines: EngineRegistry;
  /** Keyed by the endpoint object, so that an endpoint that is added again begins anew. */
  readonly #known = new WeakMap<RegisteredEndpoint, Known>();
  #asking = 0;

  constructor(engines: EngineRegistry) {
    this.#engines = engines;
  }

  /** Asks every endpoint whose time has come, as far as the bound allows; resolves when all of them have answered or failed. */
  async round(nowMs: number): Promise<void> {
    const due = this.#engines
      .list()
      .filter((one) => one.kind !== "embedded" && one.running === 0)
      .map((endpoint) => ({ endpoint, known: this.#knownOf(endpoint, nowMs) }))
      .filter(({ known }) => !known.asking && known.dueMs <= nowMs)
      .toSorted((a, b) => a.known.dueMs - b.known.dueMs);
    await Promise.all(
      due.slice(0, limits.probesAtOnce - this.#asking).map(({ endpoint, known }) => this.#ask(endpoint, known, nowMs)),
    );
  }

  async #ask(endpoint: RegisteredEndpoint, known: Known, nowMs: number): Promise<void> {
    known.asking = true;
    this.#asking++;
    try {
      await this.#engines.probe(endpoint);
      known.failures = 0;
    } catch {
      // The registry remembers why it does not answer.
      known.failures++;
    } finally {
      known.asking = false;
      this.#asking--;
      known.dueMs = nowMs + Math.min(limits.probeMostMs, limits.probeEveryMs * 2 ** Math.max(0, known.failures - 1));
    }
  }

  /** An endpoint that is new here was probed when it was added. */
  #knownOf(endpoint: RegisteredEndpoint, nowMs: number): Known {
    let known = this.#known.get(endpoint);
    if (!known) {
      known = { dueMs: endpoint.up ? nowMs + limits.probeEveryMs : nowMs, failures: 0, asking: false };
      this.#known.set(endpoint, known);
    }
    return known;
  }
}

/** Probes the registry's engines in the background (`EngineProber`). Returns the function that stops it. */
export function keepProbing(engines: EngineRegistry): () => void {
  const prober = new EngineProber(engines);
  const timer = setInterval(() => void prober.round(performance.now()), limits.probeTickMs);
  timer.unref();
  return () => clearInterval(timer);
}
