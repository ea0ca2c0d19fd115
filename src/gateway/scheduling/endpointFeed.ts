// Tells the scheduler which endpoints join and leave, how each of them is, and what each has cached. It listens to the
// registry and to every engine's stream of KV events.
import { setTimeout as pause } from "node:timers/promises";
import type { EngineRegistry, RegisteredEndpoint } from "../../engines/index.ts";
import type { EndpointHealth, SchedulerEvent } from "../../scheduler/index.ts";
import type { Logger } from "../../telemetry/index.ts";
import { limits } from "../limits.ts";
import { specOf } from "./specs.ts";

type EventBody = SchedulerEvent extends infer Event ? (Event extends unknown ? Omit<Event, "at"> : never) : never;

interface Known {
  endpoint: RegisteredEndpoint;
  /** The spec that the scheduler was told, as JSON. */
  spec: string;
  health: EndpointHealth;
  watching: AbortController | undefined;
}

export class EndpointFeed {
  readonly #engines: EngineRegistry;
  readonly #log: Logger;
  readonly #apply: (event: EventBody) => void;
  readonly #known = new Map<string, Known>();
  readonly #stop: () => void;
  #closed = false;

  constructor(engines: EngineRegistry, log: Logger, apply: (event: EventBody) => void) {
    this.#engines = engines;
    this.#log = log;
    this.#apply = apply;
    this.#stop = engines.onChange((change) => {
      if (change.type === "removed") this.#left(change.endpoint);
      else if (change.type !== "configured") this.#seen(change.endpoint);
    });
  }

  /** The scheduler has missed an event of this endpoint, so its events are read again from the beginning. */
  replay(endpoint: string): void {
    const known = this.#known.get(endpoint);
    if (known?.watching) this.#watch(known);
  }

  close(): void {
    this.#closed = true;
    this.#stop();
    for (const known of this.#known.values()) known.watching?.abort();
  }

  #seen(endpoint: RegisteredEndpoint): void {
    const spec = specOf(endpoint);
    // The cost of reading a state back changes from call to call; that is no reason to forget what the endpoint holds.
    const text = JSON.stringify({ ...spec, speed: undefined });
    let known = this.#known.get(endpoint.endpoint);
    if (known?.endpoint !== endpoint || known.spec !== text) {
      known?.watching?.abort();
      known = { endpoint, spec: text, health: "ready", watching: undefined };
      this.#known.set(endpoint.endpoint, known);
      this.#apply({ type: "endpoint_joined", spec });
      if (endpoint.facts?.capabilities.kvEvents) this.#watch(known);
    }
    this.#tellHealth(endpoint.name);
  }

  #left(endpoint: RegisteredEndpoint): void {
    const known = this.#known.get(endpoint.endpoint);
    if (known?.endpoint !== endpoint) return;
    known.watching?.abort();
    this.#known.delete(endpoint.endpoint);
    this.#apply({ type: "endpoint_left", endpoint: endpoint.endpoint });
    this.#tellHealth(endpoint.name);
  }

  /**
   * An embedded worker that did not answer is started again by the supervisor. Until it is back it counts as starting, and calls wait
   * for it. Any other endpoint that did not answer is passed over while another endpoint of the deployment takes calls. Where none does,
   * all are tried, because one failure must not close a deployment until the next probe.
   */
  #tellHealth(deployment: string): void {
    const all = [...this.#known.values()].filter(({ endpoint }) => endpoint.name === deployment);
    for (const known of all) {
      const { role, up, endpoint } = known.endpoint;
      const others = all.some((other) => other.endpoint.role === role && other.endpoint.up !== false);
      const restarts = known.endpoint.kind === "embedded";
      const health = up !== false ? "ready" : restarts ? "starting" : others ? "down" : "ready";
      if (health === known.health) continue;
      known.health = health;
      if (health === "starting") void this.#recheck(known);
      this.#apply({ type: "endpoint_health", endpoint, health });
    }
  }

  /** Asks a worker that broke off repeatedly, since only its connection may have broken. A restarted worker is registered anew. */
  async #recheck(known: Known): Promise<void> {
    const { recheckMs } = limits;
    const { endpoint } = known;
    for (let times = 0; ; times++) {
      await pause(recheckMs[Math.min(times, recheckMs.length - 1)]!, undefined, { ref: false });
      if (this.#closed || this.#known.get(endpoint.endpoint) !== known || known.health !== "starting") return;
      // The registry notes either result; an answer ends the wait.
      await this.#engines.probe(endpoint).catch(() => {});
    }
  }

  /** Follows an endpoint's events until it leaves, or the scheduler asks for them anew. */
  #watch(known: Known): void {
    known.watching?.abort();
    const watching = new AbortController();
    known.watching = watching;
    void this.#follow(known.endpoint, watching.signal).catch((error: Error) => {
      if (!watching.signal.aborted)
        this.#log.warn({ endpoint: known.endpoint.endpoint, err: error.message }, "KV events have ended");
    });
  }

  async #follow({ endpoint, engine }: RegisteredEndpoint, signal: AbortSignal): Promise<void> {
    for await (const event of engine.kv?.watch(undefined, signal) ?? []) {
      if (signal.aborted) return;
      this.#apply({ type: "kv", endpoint, rank: 0, event });
    }
  }
}
