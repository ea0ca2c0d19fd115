// Which engines serve what. A deployment is the name that callers write as `model`; behind it stand one or more endpoints (replicas), each
// an engine of its own with its own address and state. What starts or adds an engine registers it here, and the gateway asks only here.
import type { Engine } from "./engine.ts";
import type { AddedKind } from "./kinds.ts";
import type { EndpointBounds, EndpointFacts } from "./types.ts";

/** `embedded`: a worker of this installation. Any other kind was added by its users. */
type EngineKind = "embedded" | AddedKind;

interface EndpointOptions {
  kind: EngineKind;
  /** The engine's own name of the model. */
  model: string;
  /** Name of this replica, unique in the registry; the deployment's name when there is only one. */
  endpoint?: string;
  /** Set when it serves one organisation only; absent: everybody. */
  organisation?: string;
  /** What it does for a call; `both` unless given. */
  role?: EndpointRole;
  /** Fields beyond those of its software that its owner lets it be sent. */
  allowFields?: readonly string[];
  /** Machine it runs on, where that is known: KV moves fastest within one. */
  node?: string;
  facts?: EndpointFacts;
  bounds?: EndpointBounds;
  /** What its owner stored of it, as a text: another text is another engine of the same name. Absent for workers. */
  revision?: string;
}

/** Prefill and decode in one place, or one of the two (PD). */
export type EndpointRole = "both" | "prefill" | "decode";

/** `health`: `up` or `facts` may have changed. `configured`: how a deployment is to be served has changed. */
type RegistryChange =
  | { type: "added" | "removed" | "health"; endpoint: Endpoint }
  | { type: "configured"; deployment: string; settings: DeploymentSettings };

/** How a deployment is to be served, whichever endpoints stand behind it. */
interface DeploymentSettings {
  /** Name of the placement policy; the gateway's default where absent. */
  placement?: string;
  /** How long a first token may take before the call goes to another endpoint; derived from the prompt where absent. */
  firstTokenMs?: number;
}

export interface Endpoint {
  /** Name that callers ask for. */
  readonly name: string;
  readonly endpoint: string;
  readonly kind: EngineKind;
  readonly model: string;
  readonly organisation: string | undefined;
  readonly role: EndpointRole;
  readonly node: string | undefined;
  readonly allowFields: readonly string[];
  readonly bounds: EndpointBounds;
  readonly engine: Engine;
  readonly revision: string | undefined;
  readonly addedAt: Date;
  /** What it last said of itself. */
  facts: EndpointFacts | undefined;
  /** Whether it answered last time; undefined until it was asked. */
  up: boolean | undefined;
  lastError: string | undefined;
  /** Whether calls are let to it: `ejected` while its last ones speak against it, `trial` while one finds out how it is. */
  standing: "serving" | "ejected" | "trial";
  /** Calls of this process that it is serving now. */
  running: number;
  /** When it last sent a part of an answer, on this process's monotonic clock. */
  aliveMs: number;
  /** The longest that one of its streams has taken to its first token. */
  longestFirstTokenMs: number;
}

/** The endpoints of this process by deployment. `add`, `remove` and changes of health are told to listeners at once and in order. */
export class EngineRegistry {
  readonly #endpoints = new Map<string, Endpoint>();
  /** Endpoints that were removed while calls ran at them. */
  readonly #leaving = new Set<Endpoint>();
  readonly #settings = new Map<string, DeploymentSettings>();
  readonly #listeners = new Set<(change: RegistryChange) => void>();
  /**
   * Answers of `endpoints` since the last change, by organisation and model: each call asks for one. Names that nothing serves are not
   * kept.
   */
  readonly #serving = new Map<string, readonly Endpoint[]>();

  /** Tells of every deployment that is configured and every endpoint that is here already, then of every change. Answers how to stop. */
  onChange(listener: (change: RegistryChange) => void): () => void {
    for (const [deployment, settings] of this.#settings) listener({ type: "configured", deployment, settings });
    for (const endpoint of this.#endpoints.values()) listener({ type: "added", endpoint });
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(type: "added" | "removed" | "health", endpoint: Endpoint): void {
    this.#serving.clear();
    for (const listener of this.#listeners) listener({ type, endpoint });
  }

  /**
   * Says how a deployment is to be served, before or after its endpoints come. Replaces what was said; listeners are told of changes alone.
   */
  configure(deployment: string, settings: DeploymentSettings): void {
    const { placement, firstTokenMs } = this.settingsOf(deployment);
    if (placement === settings.placement && firstTokenMs === settings.firstTokenMs) return;
    this.#settings.set(deployment, settings);
    for (const listener of this.#listeners) listener({ type: "configured", deployment, settings });
  }

  /** How each deployment is to be served of which something was said. */
  settings(): (DeploymentSettings & { deployment: string })[] {
    return [...this.#settings].map(([deployment, { placement, firstTokenMs }]) => ({
      deployment,
      ...(placement !== undefined && { placement }),
      ...(firstTokenMs !== undefined && { firstTokenMs }),
    }));
  }

  /** How a deployment is to be served; empty where nothing was said. */
  settingsOf(deployment: string): DeploymentSettings {
    return this.#settings.get(deployment) ?? {};
  }

  /** Registers an endpoint; one of the same name is replaced (a worker that came back at another address). */
  add(name: string, engine: Engine, options: EndpointOptions): Endpoint {
    const endpoint: Endpoint = {
      name,
      endpoint: options.endpoint ?? name,
      kind: options.kind,
      model: options.model,
      organisation: options.organisation,
      role: options.role ?? "both",
      node: options.node,
      allowFields: options.allowFields ?? [],
      bounds: options.bounds ?? {},
      engine,
      revision: options.revision,
      addedAt: new Date(),
      facts: options.facts,
      up: options.facts ? true : undefined,
      lastError: undefined,
      standing: "serving",
      running: 0,
      aliveMs: 0,
      longestFirstTokenMs: 0,
    };
    const replaced = this.#endpoints.get(endpoint.endpoint);
    this.#endpoints.set(endpoint.endpoint, endpoint);
    if (replaced) this.#tell("removed", replaced);
    this.#tell("added", endpoint);
    if (replaced && replaced.engine !== engine) void replaced.engine.close().catch(() => {});
    return endpoint;
  }

  /** Removes a deployment with all its endpoints, or one endpoint of that name; true when there was one. */
  remove(name: string): boolean {
    const gone = [...this.#endpoints.values()].filter((one) => one.name === name || one.endpoint === name);
    for (const one of gone) {
      this.#endpoints.delete(one.endpoint);
      if (one.running > 0) this.#leaving.add(one);
      this.#tell("removed", one);
      void one.engine.close().catch(() => {});
    }
    return gone.length > 0;
  }

  /** Calls of this process under way at an endpoint, those of one that was removed while they ran too. */
  running(endpoint: string): number {
    let running = this.#endpoints.get(endpoint)?.running ?? 0;
    for (const one of this.#leaving) {
      if (one.running === 0) this.#leaving.delete(one);
      else if (one.endpoint === endpoint) running += one.running;
    }
    return running;
  }

  /** The endpoint of that name, or undefined. */
  get(endpoint: string): Endpoint | undefined {
    return this.#endpoints.get(endpoint);
  }

  /** The first endpoint that serves a model, or undefined. */
  resolve(model: string, organisation?: string): Endpoint | undefined {
    return this.endpoints(model, organisation)[0];
  }

  /** Every endpoint that serves a model to an organisation, in the order they were added; those known to be down come last. */
  endpoints(model: string, organisation?: string): readonly Endpoint[] {
    const key = `${organisation ?? ""}\n${model}`;
    const known = this.#serving.get(key);
    if (known) return known;
    const serving = this.list(organisation)
      .filter((one) => one.name === model)
      .toSorted((a, b) => Number(a.up === false) - Number(b.up === false));
    if (serving.length > 0) this.#serving.set(key, serving);
    return serving;
  }

  /** Every endpoint, or those that an organisation may use. */
  list(organisation?: string): Endpoint[] {
    return [...this.#endpoints.values()].filter(
      (one) => organisation === undefined || one.organisation === undefined || one.organisation === organisation,
    );
  }

  /** Asks an endpoint what it is and remembers it. Throws EngineError when it cannot be reached. */
  async probe(endpoint: Endpoint, signal?: AbortSignal): Promise<EndpointFacts> {
    try {
      endpoint.facts = await endpoint.engine.probe(signal);
      this.answered(endpoint);
      return endpoint.facts;
    } catch (error) {
      this.lost(endpoint, (error as Error).message);
      throw error;
    }
  }

  /** It has answered: it is up. */
  answered(endpoint: Endpoint): void {
    endpoint.up = true;
    endpoint.lastError = undefined;
    this.#tell("health", endpoint);
  }

  /** It did not answer, and why. */
  lost(endpoint: Endpoint, why: string): void {
    endpoint.up = false;
    endpoint.lastError = why;
    this.#tell("health", endpoint);
  }

  async close(): Promise<void> {
    const all = [...this.#endpoints.values()];
    this.#endpoints.clear();
    for (const one of all) this.#tell("removed", one);
    await Promise.all(all.map((one) => one.engine.close().catch(() => {})));
  }
}
