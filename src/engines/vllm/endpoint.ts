// What only vLLM has, beside OpenAI's routes: facts about its cache, salts that keep projects out of each other's cache, and KV events.
// The adapter of OpenAI-compatible endpoints (openai/adapter.ts) uses it once an endpoint turns out to be vLLM.
//
// As a KvEngine it publishes events alone: vLLM takes no hints, and prefill for another endpoint needs a connector that is not driven
// from here.
import type { VllmEvent } from "./kvWire.ts";
import { EngineError } from "../types.ts";
import type { FactReceipt, KvEngine, KvEvent, KvHint, KvPosition, KvReceipt, Prefilled, RuntimeFact } from "../kv.ts";
import type { OpenServer, OpenServerAddress, ServerFacts } from "../openServer.ts";
import type { CallHints } from "../types.ts";
import { askVllm } from "./facts.ts";
import { limits } from "./limits.ts";
import { Salts } from "./salts.ts";
import { connectKvEvents, type KvAddress } from "./sockets.ts";
import { KvStream } from "./stream.ts";
import { type KvChange, translate } from "./translate.ts";

type Json = Record<string, unknown>;

/**
 * Fields of vLLM's that move KV or change the order of its queue. They are set here or not at all; the gateway refuses them from clients.
 */
const engineOnly = ["kv_transfer_params", "ec_transfer_params", "kv_hints", "priority"];

/** Why a hint or a fact was not honoured. */
const reason = "vLLM takes no hints about its cache";

export class VllmEndpoint implements OpenServer, KvEngine {
  readonly #address: OpenServerAddress;
  /** The engine's own name of the model, where that is an adapter (LoRA) on a base model. */
  readonly #adapter: string | undefined;
  readonly #salts: Salts;
  readonly #closed = new AbortController();
  readonly #streams = new Set<KvStream>();
  /** The stream that was read last. A reader that asks for the position after it goes on with this stream. */
  #left: KvStream | undefined;
  #epochs = 0;
  #started: string | undefined;
  #events: KvAddress | undefined;
  /** Tokens of a block, as its events show it. */
  #blockTokens: number | undefined;
  #rereading: NodeJS.Timeout | undefined;

  constructor(address: OpenServerAddress) {
    this.#address = address;
    this.#adapter = typeof address.listed["parent"] === "string" ? address.model : undefined;
    this.#salts = new Salts(() => this.#rereadSoon());
  }

  get kv(): KvEngine {
    return this;
  }

  /** Every call carries its salt, those whose model writes no text as well. */
  prepare(_shape: unknown, _body: Json, { cacheSalt }: CallHints): Json {
    return {
      ...Object.fromEntries(engineOnly.map((field) => [field, undefined])),
      cache_salt: this.#salts.of(cacheSalt),
    };
  }

  /** A call of this salt follows, so events may name its owner from now on. */
  expect(cacheSalt: string): void {
    this.#salts.of(cacheSalt);
  }

  /** Asks what it is. Throws EngineError when it does not say its version. */
  async probe(signal?: AbortSignal): Promise<ServerFacts> {
    const said = await askVllm(this.#address, signal);
    if (said.epoch !== undefined && this.#started !== undefined && said.epoch !== this.#started) {
      this.#blockTokens = undefined;
      this.#reread();
    }
    this.#started = said.epoch;
    const reached = said.events !== undefined && (await this.#reaches(said.events, signal));
    this.#events = reached ? said.events : undefined;
    const blockTokens = this.#blockTokens ?? said.blockTokens;
    return {
      kvEvents: reached,
      ...(said.speaks && { capabilities: { speaks: said.speaks } }),
      ...(blockTokens !== undefined && { blockTokens }),
      ...(said.epoch !== undefined && { epoch: said.epoch }),
      ...(said.slots !== undefined && { slots: said.slots }),
      ...(said.kvTokens !== undefined && {
        kv: {
          bytesPerToken: said.kvBytes === undefined ? 0 : Math.floor(said.kvBytes / said.kvTokens),
          deviceTokens: said.kvTokens,
          totalTokens: said.kvTokens,
          reloadMsPerToken: {},
        },
      }),
    };
  }

  async *watch(since: KvPosition | undefined, signal: AbortSignal): AsyncGenerator<KvEvent, void, void> {
    if (this.#events === undefined) return;
    const stream = since && this.#left?.continues(since) ? this.#left : this.#newStream();
    this.#left = undefined;
    this.#streams.add(stream);
    try {
      yield* stream.read(AbortSignal.any([signal, this.#closed.signal]));
    } finally {
      this.#streams.delete(stream);
      this.#left = stream;
    }
  }

  async tell(facts: readonly RuntimeFact[]): Promise<FactReceipt[]> {
    return facts.map(({ type: fact, program }) => ({ fact, program, honoured: false, action: "none", reason }));
  }

  async hint(hints: readonly KvHint[]): Promise<KvReceipt[]> {
    return hints.map((hint) => ({ ...hint, honoured: false, tokens: 0, reason }));
  }

  async prefill(): Promise<Prefilled> {
    throw new EngineError({
      status: 501,
      code: "kv_unsupported",
      message: "vLLM is not asked to prefill for another endpoint.",
      retryable: false,
    });
  }

  async release(): Promise<void> {}

  /** vLLM's cache has no projects: blocks of a salt are evicted when others need the room. */
  async eraseProject(): Promise<boolean> {
    return false;
  }

  close(): void {
    clearTimeout(this.#rereading);
    this.#closed.abort();
  }

  /** Whether events can be had: a publisher may be configured at an address that cannot be connected to. */
  async #reaches(address: KvAddress, signal?: AbortSignal): Promise<boolean> {
    const known = this.#events;
    if (known && known.port === address.port && known.replayPort === address.replayPort) return true;
    try {
      (await connectKvEvents(address, signal)).close();
      return true;
    } catch {
      return false;
    }
  }

  #newStream(): KvStream {
    const name = new URL(this.#address.root).host;
    return new KvStream({
      connect: (signal) => {
        if (this.#events) return connectKvEvents(this.#events, signal);
        throw new EngineError({
          status: 502,
          code: "kv_events_unreachable",
          message: `${name} publishes no KV events any more.`,
          retryable: false,
        });
      },
      newEpoch: () => `${name}/${process.pid}.${++this.#epochs}`,
      translate: (event) => this.#translate(event),
    });
  }

  #translate(event: VllmEvent): KvChange | undefined {
    // Lower tiers may keep several of the device's blocks as one block.
    if (event.tier === "device" && event.tokens) this.#blockTokens = event.blockTokens ?? this.#blockTokens;
    return translate(event, { adapter: this.#adapter, ownerOf: (salt) => this.#salts.ownerOf(salt) });
  }

  /** A salt became known whose blocks were told under an unknown owner: they are told again, under the owner's name. */
  #rereadSoon(): void {
    this.#rereading ??= setTimeout(() => {
      this.#rereading = undefined;
      if (this.#events?.replayPort !== undefined) this.#reread();
    }, limits.rereadMs).unref();
  }

  #reread(): void {
    for (const stream of this.#streams) stream.reread();
    this.#left = undefined;
  }
}
