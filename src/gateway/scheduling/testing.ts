// Engines without a network for tests of what happens between the scheduler and them: each does what it is told and remembers
// what it was asked.
import { chunkOf, EngineError, EngineRegistry } from "../../engines/index.ts";
import type {
  EndpointFacts,
  EndpointRole,
  Engine,
  EngineAnswer,
  EngineRequest,
  FactReceipt,
  KvEngine,
  KvEvent,
  KvHint,
  Prefilled,
  RuntimeFact,
  Usage,
} from "../../engines/index.ts";
import { Alarms, createLogger, createMetrics } from "../../telemetry/index.ts";
import { Dispatcher } from "./dispatcher.ts";

export const usage: Usage = {
  promptTokens: 200,
  cachedTokens: 128,
  outputTokens: 3,
  reasoningTokens: 0,
  source: "engine",
};

const noChunks: EngineAnswer["chunks"] = {
  take: () => undefined,
  leave: () => undefined,
  [Symbol.asyncIterator]: async function* () {},
};

/** What the engine was asked, in order, over all engines of a test. */
type Asked = string[];

export class PuppetEngine implements Engine, KvEngine {
  readonly kind = "puppet";
  readonly kv: KvEngine = this;
  readonly facts: EndpointFacts;
  readonly hints: KvHint[] = [];
  readonly requests: EngineRequest[] = [];
  watches = 0;
  /** What `prefill` answers, or throws. */
  prefilled: () => Promise<Prefilled> = async () => ({
    state: "state-1",
    tokens: 200,
    leaseMs: 60_000,
    timings: {},
    usage: { ...usage, cachedTokens: 64, outputTokens: 0 },
  });
  /** What an attempt that must pull KV gets of it; undefined: it is lost. */
  pulls: number | undefined = 200;
  readonly #name: string;
  readonly #asked: Asked;
  readonly #events: KvEvent[] = [];
  #wake: (() => void) | undefined;

  constructor(name: string, asked: Asked, slots: number) {
    this.#name = name;
    this.#asked = asked;
    this.facts = {
      models: ["m"],
      contextTokens: 4096,
      blockTokens: 64,
      epoch: name,
      slots,
      kv: {
        bytesPerToken: 23_040,
        deviceTokens: slots * 4096,
        totalTokens: slots * 16_384,
        pool: "folder",
        reloadMsPerToken: { disk: 0.01 },
      },
      capabilities: {
        tokenize: true,
        takesTokens: true,
        kvEvents: true,
      },
    };
  }

  async probe(): Promise<EndpointFacts> {
    return this.facts;
  }

  async open({ hints }: EngineRequest): Promise<EngineAnswer> {
    this.#asked.push(`${this.#name} open ${hints.attempt}${hints.transfer ? ` pulls ${hints.transfer.state}` : ""}`);
    if (hints.transfer && this.pulls === undefined)
      throw new EngineError({ status: 409, code: "kv_lost", message: "The state is gone.", retryable: true });
    return {
      status: 200,
      chunks: noChunks,
      whole: async () => chunkOf("chat", { choices: [] }),
      usage: () => usage,
      timings: () => ({}),
      outputSoFar: () => 0,
      pulledTokens: () => (hints.transfer ? this.pulls : undefined),
      cancel: async () => {
        this.#asked.push(`${this.#name} cancel ${hints.attempt}`);
        return usage;
      },
    };
  }

  async prefill({ hints }: EngineRequest, signal?: AbortSignal): Promise<Prefilled> {
    this.#asked.push(`${this.#name} prefill ${hints.attempt}`);
    const prefilled = await this.prefilled();
    return signal?.aborted ? { ...prefilled, state: undefined } : prefilled;
  }

  async release(state: string): Promise<void> {
    this.#asked.push(`${this.#name} release ${state}`);
  }

  async tokenize() {
    return { count: 200, tokens: Array.from({ length: 200 }, (_, at) => at) };
  }

  async tell(facts: readonly RuntimeFact[]): Promise<FactReceipt[]> {
    return facts.map(({ type: fact, program }) => ({ fact, program, honoured: true, action: "none" }));
  }

  async eraseProject(project: string): Promise<boolean> {
    this.#asked.push(`${this.#name} erase ${project}`);
    return true;
  }

  async hint(hints: readonly KvHint[]) {
    this.hints.push(...hints);
    for (const { verb, program } of hints) this.#asked.push(`${this.#name} ${verb} ${program}`);
    return hints.map((hint) => ({ ...hint, honoured: true, tokens: 1 }));
  }

  /** Sends an event to every watcher. */
  send(event: KvEvent): void {
    this.#events.push(event);
    this.#wake?.();
  }

  async *watch(_since: unknown, signal: AbortSignal): AsyncGenerator<KvEvent, void, void> {
    this.watches++;
    while (!signal.aborted) {
      yield* this.#events.splice(0);
      if (signal.aborted || this.#events.length > 0) continue;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  async close(): Promise<void> {}
}

export interface Stage extends Disposable {
  engines: EngineRegistry;
  dispatcher: Dispatcher;
  asked: Asked;
  alarms: Alarms;
  puppets: Record<string, PuppetEngine>;
  /** Adds an endpoint of the deployment `m`. */
  add(name: string, options?: { slots?: number; role?: EndpointRole; kind?: "embedded" | "openai" }): PuppetEngine;
}

export function stage(policy?: string): Stage {
  const engines = new EngineRegistry();
  const asked: Asked = [];
  const puppets: Record<string, PuppetEngine> = {};
  const metrics = createMetrics({ process: false });
  const log = createLogger({ level: "silent" });
  const alarms = new Alarms({ log, metrics });
  const dispatcher = new Dispatcher({ engines, metrics, log, alarms, gateway: "gtw_test", policy });
  return {
    engines,
    dispatcher,
    asked,
    alarms,
    puppets,
    add(name, { slots = 8, role = "both", kind = "embedded" } = {}) {
      const engine = new PuppetEngine(name, asked, slots);
      engines.add("m", engine, { kind, model: "m", endpoint: name, role, facts: engine.facts });
      return (puppets[name] = engine);
    },
    [Symbol.dispose]: () => dispatcher.close(),
  };
}
