// Implements the KV seam (engines/kv.ts) over the worker's routes (protocol.ts): events, facts, hints, prefills for other workers of the
// folder, and the erasure of a project.
import { z } from "zod";
import { credentialIn } from "../../egress/index.ts";
import type { FactReceipt, KvEngine, KvEvent, KvHint, KvPosition, KvReceipt, Prefilled, RuntimeFact } from "../kv.ts";
import { limits } from "../limits.ts";
import { ask } from "../wire/ask.ts";
import { completionPaths, completionShapeOf } from "../wire/chat/reader.ts";
import { readRefusal, readText } from "../wire/read.ts";
import { encodeBody } from "../wire/splice.ts";
import { SseScanner } from "../wire/sse.ts";
import { pause } from "../pause.ts";
import { send } from "../send.ts";
import { EngineError } from "../types.ts";
import type { EngineRequest } from "../types.ts";
import { factReceipt, kvEvent, kvReceipt, prefillAnswer } from "./protocol.ts";
import type { PrefillAnswer } from "./protocol.ts";

const factReceipts = z.object({ receipts: z.array(factReceipt) });
const kvReceipts = z.object({ receipts: z.array(kvReceipt) });

/** Hints move files between batches, one after the other. */
const hintMs = 30_000;

/** Waits before the event stream is asked for again; the last is repeated. */
const reconnectMs = [50, 200, 1000, 2000];

export class WorkerKv implements KvEngine {
  readonly #url: string;
  readonly #headers: string[];
  readonly #abort: (attempt: string) => Promise<void>;
  readonly #closed = new AbortController();

  /** `abort` tells the worker to stop an attempt. */
  constructor(worker: { url: string; headers: string[]; abort: (attempt: string) => Promise<void> }) {
    this.#url = worker.url;
    this.#headers = worker.headers;
    this.#abort = worker.abort;
  }

  /** Events in order, across broken connections: the stream is asked for again from the event after the last one that was seen. */
  async *watch(since: KvPosition | undefined, signal: AbortSignal): AsyncGenerator<KvEvent, void, void> {
    const ended = AbortSignal.any([signal, this.#closed.signal]);
    let next = since;
    for (let failures = 0; !ended.aborted; failures++) {
      try {
        for await (const event of this.#events(next, ended)) {
          failures = 0;
          next = { epoch: event.epoch, sequence: event.sequence + 1 };
          yield event;
        }
      } catch (error) {
        if (ended.aborted) return;
        // A refusal by the worker is final. Any other error is a restarting worker or a broken connection, and is retried.
        if (error instanceof EngineError && error.status < 500) throw error;
      }
      await pause(reconnectMs[Math.min(failures, reconnectMs.length - 1)]!, ended);
    }
  }

  async tell(facts: readonly RuntimeFact[]): Promise<FactReceipt[]> {
    if (facts.length === 0) return [];
    const answer = await this.#ask("POST", "/lineshaft/facts", { facts });
    return factReceipts.parse(answer).receipts;
  }

  async hint(hints: readonly KvHint[]): Promise<KvReceipt[]> {
    if (hints.length === 0) return [];
    const answer = await this.#ask("POST", "/lineshaft/kv", { hints }, hintMs);
    return kvReceipts.parse(answer).receipts;
  }

  async prefill(request: EngineRequest, signal?: AbortSignal): Promise<Prefilled> {
    const body = { ...request.body, lineshaft: request.hints };
    // The connection stays open when the worker is told to stop, because the worker then answers what it has computed.
    const silent = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const stop = () => {
      timer = setTimeout(() => silent.abort(), limits.drainMs);
      void this.#abort(request.hints.attempt).catch(() => {});
    };
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
    try {
      const response = await send({
        method: "POST",
        url: `${this.#url}/lineshaft/prefill${completionPaths[completionShapeOf(request)]}`,
        headers: this.#headers,
        body: encodeBody(body, request.source),
        signal: silent.signal,
      });
      if (response.status !== 200) throw await readRefusal(response, { credential: credentialIn(this.#headers) });
      return readPrefilled(await readText(response, limits.answerBytes));
    } finally {
      signal?.removeEventListener("abort", stop);
      clearTimeout(timer);
    }
  }

  async release(state: string): Promise<void> {
    // A lease that cannot be released expires by itself.
    await this.#ask("POST", "/lineshaft/release", { state }).catch(() => undefined);
  }

  async eraseProject(project: string): Promise<boolean> {
    await this.#ask("DELETE", `/lineshaft/projects/${encodeURIComponent(project)}`);
    return true;
  }

  /** Ends every stream of events. */
  close(): void {
    this.#closed.abort();
  }

  #ask(method: "POST" | "DELETE", path: string, body?: object, mostMs?: number): Promise<Record<string, unknown>> {
    return ask(method, this.#url + path, this.#headers, body && JSON.stringify(body), undefined, mostMs);
  }

  async *#events(next: KvPosition | undefined, signal: AbortSignal): AsyncGenerator<KvEvent, void, void> {
    const query = next ? `?epoch=${encodeURIComponent(next.epoch)}&since=${next.sequence}` : "";
    const response = await send({
      method: "GET",
      url: `${this.#url}/lineshaft/events${query}`,
      headers: this.#headers,
      signal,
      firstByteMs: limits.questionMs,
      // Without calls there are no events, so a silent stream is not an error.
      silenceMs: 0,
    });
    if (response.status !== 200) {
      response.body.abort();
      throw new EngineError({
        status: response.status,
        code: "engine_failed",
        message: `The worker's event stream answered ${response.status}.`,
      });
    }
    const ready: KvEvent[] = [];
    const scanner = new SseScanner((data) => void ready.push(kvEvent.parse(JSON.parse(data))));
    for await (const piece of response.body) {
      scanner.push(piece);
      yield* ready.splice(0);
    }
  }
}

/** Throws EngineError when the text is not a prefill answer. */
function readPrefilled(text: string): Prefilled {
  let answer: PrefillAnswer;
  try {
    answer = prefillAnswer.parse(JSON.parse(text));
  } catch (error) {
    throw new EngineError({
      status: 502,
      code: "engine_invalid_answer",
      message: "The worker's answer to a prefill cannot be read.",
      cause: error,
    });
  }
  const { state, tokens, leaseMs, report } = answer;
  const { cachedByTier, computedTokens, queueMs, restoreMs, prefillMs } = report;
  const cachedTokens = cachedByTier.device + cachedByTier.disk;
  return {
    state: state ?? undefined,
    tokens,
    usage: {
      promptTokens: cachedTokens + computedTokens,
      cachedTokens,
      cachedByTier,
      outputTokens: 0,
      reasoningTokens: 0,
      source: "engine",
    },
    timings: { queueMs, restoreMs, prefillMs },
    leaseMs,
  };
}
