// Load between gateways over Postgres LISTEN and NOTIFY, which every gateway has anyway. A message may be lost (a session that broke,
// a payload that is too long): the scheduler's sequence numbers notice that, and its totals repair it.
//
// Load is sent only for endpoints that several gateways can reach: engines that were added, and workers where several gateway processes
// of one machine share them. Workers of two machines have the same names, so they are told under their home's name as well. While no other
// gateway is heard, only a sign of life is sent.
import type { Carrier, LoadMessage } from "../../scheduler/index.ts";
import type { Session } from "../../store/index.ts";
import type { Logger } from "../../telemetry/index.ts";

/** Postgres refuses payloads of 8,000 bytes and more. */
const payloadBytes = 7_900;
/** Endpoints of its deployment that a queue is told under: one that another gateway knows is enough. */
const endpointsPerQueue = 8;
/** A gateway that was heard within this time counts as present. */
const peerMs = 15_000;
/** A gateway that hears no other tells this often that it is there. */
const aliveMs = 4_000;
export const loadChannel = "lineshaft_load";

interface PostgresCarrierOptions {
  session: Session;
  log: Logger;
  names: {
    /** The endpoint's name among all gateways; undefined where this gateway alone reaches it. */
    toOthers: (endpoint: string) => string | undefined;
    /** This gateway's own name of it. */
    ofOthers: (name: string) => string;
  };
}

/**
 * Carries load between the gateways of one database (the `Carrier` of scheduler/load/carrier.ts). It hears other gateways from `ready`
 * on, and may lose messages.
 */
export class PostgresCarrier implements Carrier {
  /** Its name among the gateways: the identity of its process. */
  readonly gateway: string;
  readonly #options: PostgresCarrierOptions;
  readonly #hearers = new Set<(message: LoadMessage) => void>();
  #heardMs = Number.NEGATIVE_INFINITY;
  #toldMs = Number.NEGATIVE_INFINITY;
  /** How long this gateway's latest message took to come back to it. Others' messages take as long. */
  #delayMs = 0;
  #stop: (() => void) | undefined;
  #isClosed = false;
  /** Resolves when it listens; rejects when the session is closed first. */
  readonly ready: Promise<void>;

  constructor(options: PostgresCarrierOptions) {
    this.#options = options;
    this.gateway = String(options.session.processId);
    this.ready = this.#listen();
    this.ready.catch(() => {});
  }

  publish(message: LoadMessage): void {
    const { toOthers } = this.#options.names;
    const deltas = message.deltas.flatMap((delta) => {
      const endpoint = toOthers(delta.endpoint);
      return endpoint === undefined ? [] : [{ ...delta, endpoint }];
    });
    const named = <News extends { endpoints: string[] }>(news: News): News[] => {
      const endpoints = news.endpoints.flatMap((endpoint) => toOthers(endpoint) ?? []).slice(0, endpointsPerQueue);
      return endpoints.length === 0 ? [] : [{ ...news, endpoints }];
    };
    const queues = message.queues?.flatMap(named);
    const programs = message.programs?.flatMap(named);
    const now = performance.now();
    // While this gateway is alone a sign of life is enough: a gateway that hears it waits for the next total.
    if (now - this.#heardMs > peerMs && now - this.#toldMs < aliveMs) return;
    this.#toldMs = now;
    const text = fitted({ ...message, deltas, ...(queues && { queues }), ...(programs && { programs }) });
    if (text === undefined) return this.#options.log.warn("too many endpoints for one message of load");
    this.#options.session.notify(loadChannel, text).catch((error: Error) => {
      this.#options.log.debug({ err: error.message }, "load was not told");
    });
  }

  subscribe(hear: (message: LoadMessage) => void): () => void {
    this.#hearers.add(hear);
    return () => this.#hearers.delete(hear);
  }

  close(): void {
    this.#isClosed = true;
    this.#stop?.();
  }

  async #listen(): Promise<void> {
    // A session that is back tells at once that this gateway is there.
    const back = () => (this.#toldMs = Number.NEGATIVE_INFINITY);
    this.#stop = await this.#options.session.listen(loadChannel, (payload) => this.#heard(payload), { back });
    if (this.#isClosed) this.#stop();
  }

  #heard(payload: string): void {
    let message: LoadMessage;
    try {
      message = JSON.parse(payload) as LoadMessage;
    } catch {
      return;
    }
    const now = performance.now();
    if (message.gateway === this.gateway) {
      this.#delayMs = Math.max(0, now - message.atMs);
      return;
    }
    this.#heardMs = now;
    const { ofOthers } = this.#options.names;
    const deltas = message.deltas.map((delta) => ({ ...delta, endpoint: ofOthers(delta.endpoint) }));
    // Every process has a clock of its own, so the time that the sender names says nothing here.
    const heard: LoadMessage = { ...message, deltas, atMs: now - this.#delayMs };
    const named = <News extends { endpoints: string[] }>(news: News): News => {
      return { ...news, endpoints: news.endpoints.map(ofOthers) };
    };
    if (message.queues !== undefined) heard.queues = message.queues.map(named);
    if (message.programs !== undefined) heard.programs = message.programs.map(named);
    for (const hear of this.#hearers) hear(heard);
  }
}

/**
 * The message as text that Postgres takes. Where it is too long, fewer and fewer programs are told, which are told again in any case. Then
 * fewer and fewer tenants of each queue, then one endpoint of each, and last no queue at all: other gateways then go on with what they
 * knew. Undefined when the loads alone are too long.
 */
function fitted({ programs = [], ...message }: LoadMessage): string | undefined {
  for (let most = Math.max(0, ...programs.map((news) => news.programs.length)); most > 0; most = Math.floor(most / 2)) {
    const told = programs.map((news) => ({ ...news, programs: news.programs.slice(0, most) }));
    const text = JSON.stringify({ ...message, programs: told });
    if (fits(text)) return text;
  }
  return fittedQueues(message);
}

function fittedQueues({ queues, ...load }: LoadMessage): string | undefined {
  const known = queues ?? [];
  const longest = queues === undefined ? -1 : Math.max(0, ...known.map(({ tenants }) => tenants.length));
  for (let most = longest; most >= 0; most = most > 1 ? Math.ceil(most / 2) : most - 1) {
    const told = known.map((news) => ({
      ...news,
      endpoints: most > 0 ? news.endpoints : news.endpoints.slice(0, 1),
      tenants: news.tenants.slice(0, Math.max(1, most)),
    }));
    const text = JSON.stringify({ ...load, queues: told });
    if (fits(text)) return text;
  }
  const text = JSON.stringify(load);
  return fits(text) ? text : undefined;
}

const fits = (text: string): boolean => Buffer.byteLength(text) <= payloadBytes;
