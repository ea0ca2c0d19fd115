// The embedded worker behind the engine seam: OpenAI's routes over loopback HTTP, plus what protocol.ts adds (hints in the
// body, cancelling by name, facts, KV events). Nothing above this file knows that this engine is ours.
import { z } from "zod";
import { ask, requestHeaders } from "../openaiWire/ask.ts";
import { send } from "../send.ts";
import { openExchange, readRefusal, readText } from "../openaiWire/exchange.ts";
import { limits } from "../limits.ts";
import { completionPaths } from "../openai/adapter.ts";
import { encodeBody } from "../openaiWire/splice.ts";
import { pause } from "../pause.ts";
import { SseScanner } from "../openaiWire/sse.ts";
import { EngineError } from "../types.ts";
import type {
  EndpointFacts,
  Endpoint,
  Engine,
  EngineAnswer,
  EngineRequest,
  FactReceipt,
  KvEvent,
  KvHint,
  KvReceipt,
  Prefilled,
  RuntimeFact,
} from "../types.ts";
import { factReceipt, kvEvent, kvReceipt, prefillAnswer, pulledHeader, workerStatus } from "./protocol.ts";
import type { PrefillAnswer, WorkerStatus } from "./protocol.ts";

export interface EmbeddedEngineOptions {
  /** `http://127.0.0.1:PORT` of the worker. */
  url: string;
  /** Token of this start of the worker. */
  token: string;
}

export interface EmbeddedEngine extends Engine {
  status(): Promise<WorkerStatus>;
  /** Erases the project's KV files and sequences. */
  eraseProject(project: string): Promise<void>;
  hint(hints: KvHint[]): Promise<KvReceipt[]>;
  prefill(request: EngineRequest, signal?: AbortSignal): Promise<Prefilled>;
  release(state: string): Promise<void>;
}

/** Body fields that the worker honours (request.ts); others are dropped or refused before it is asked. */
export const embeddedFields = [
  ...["model", "messages", "prompt", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "seed"],
  ...["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"],
  ...["tools", "tool_choice", "parallel_tool_calls", "response_format", "cache_control"],
];

const receipts = z.object({ receipts: z.array(factReceipt) });
const kvReceipts = z.object({ receipts: z.array(kvReceipt) });
const tokenized = z.object({ count: z.number().int().nonnegative(), tokens: z.array(z.number()) });

/** Hints move files between batches, one after the other. */
const hintMs = 30_000;

/** Waits before the event stream is asked for again; the last is repeated. */
const reconnectMs = [50, 200, 1000, 2000];

export function createEmbeddedEngine(options: EmbeddedEngineOptions): EmbeddedEngine {
  const url = options.url.replace(/\/$/, "");
  const headers = requestHeaders(options.token);
  const closed = new AbortController();

  const status = async (signal?: AbortSignal): Promise<WorkerStatus> =>
    workerStatus.parse(await ask("GET", `${url}/lineshaft/status`, headers, undefined, signal));

  const abort = async (attempt: string): Promise<void> => {
    await ask("POST", `${url}/lineshaft/abort`, headers, JSON.stringify({ attempt }));
  };

  return {
    kind: "embedded",
    status,

    async probe(signal): Promise<EndpointFacts> {
      const now = await status(signal);
      return {
        models: [now.model],
        contextTokens: now.contextTokens,
        blockTokens: now.blockTokens,
        epoch: now.epoch,
        slots: now.slots,
        queueLimit: now.queueLimit,
        kv: now.kv,
        capabilities: {
          tokenize: true,
          takesTokens: true,
          kvEvents: true,
          facts: true,
          kvHints: true,
          transfersKv: true,
          cancelWithUsage: true,
          reportsCachedTokens: true,
          fields: embeddedFields,
          media: [],
          clipsOutput: true,
        },
      };
    },

    open(request: EngineRequest, signal?: AbortSignal): Promise<EngineAnswer> {
      const body: Record<string, unknown> & { stream?: boolean } = { ...request.body, lineshaft: request.hints };
      if (body.stream === true)
        body["stream_options"] = { ...(body["stream_options"] as object | undefined), include_usage: true };
      return openExchange({
        url: `${url}/v1${completionPaths[request.endpoint]}`,
        endpoint: request.endpoint,
        headers,
        body,
        source: request.source,
        signal,
        stop: () => abort(request.hints.attempt),
        pulledHeader,
      }).catch((error: unknown) => {
        throw isLost(error) ? lost(error) : error;
      });
    },

    async prefill(request: EngineRequest, signal?: AbortSignal): Promise<Prefilled> {
      const body = { ...request.body, lineshaft: request.hints };
      // Its connection stays open when it is told to stop: what was computed by then is still to come.
      const silent = new AbortController();
      let timer: NodeJS.Timeout | undefined;
      const stop = () => {
        timer = setTimeout(() => silent.abort(), limits.drainMs);
        void abort(request.hints.attempt).catch(() => {});
      };
      if (signal?.aborted) stop();
      else signal?.addEventListener("abort", stop, { once: true });
      try {
        const response = await send({
          method: "POST",
          url: `${url}/lineshaft/prefill${completionPaths[request.endpoint]}`,
          headers,
          body: encodeBody(body, request.source),
          signal: silent.signal,
        });
        if (response.status !== 200) throw await readRefusal(response);
        return readPrefilled(await readText(response, limits.answerBytes));
      } finally {
        signal?.removeEventListener("abort", stop);
        clearTimeout(timer);
      }
    },

    async release(state: string): Promise<void> {
      // A lease that cannot be ended runs out by itself.
      await ask("POST", `${url}/lineshaft/release`, headers, JSON.stringify({ state })).catch(() => undefined);
    },

    async hint(hints: KvHint[]): Promise<KvReceipt[]> {
      if (hints.length === 0) return [];
      const text = JSON.stringify({ hints });
      const answer = await ask("POST", `${url}/lineshaft/kv`, headers, text, undefined, hintMs);
      return kvReceipts.parse(answer).receipts;
    },

    async tokenize(endpoint: Endpoint, body: Record<string, unknown>, cacheSalt: string, signal?: AbortSignal) {
      const { messages, tools, tool_choice, prompt } = body;
      const question = { cacheSalt, ...(endpoint === "chat" ? { messages, tools, tool_choice } : { prompt }) };
      try {
        const text = JSON.stringify(question);
        return tokenized.parse(await ask("POST", `${url}/tokenize`, headers, text, signal, limits.countMs));
      } catch {
        return undefined;
      }
    },

    async tell(facts: RuntimeFact[]): Promise<FactReceipt[]> {
      if (facts.length === 0) return [];
      const answer = await ask("POST", `${url}/lineshaft/facts`, headers, JSON.stringify({ facts }));
      return receipts.parse(answer).receipts;
    },

    watch: (since, signal) => watchEvents(url, headers, since, AbortSignal.any([signal, closed.signal])),

    async eraseProject(project: string): Promise<void> {
      await ask("DELETE", `${url}/lineshaft/projects/${encodeURIComponent(project)}`, headers);
    },

    async close(): Promise<void> {
      closed.abort();
    },
  };
}

/** Throws EngineError when it is no answer to a prefill. */
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

function isLost(error: unknown): error is EngineError {
  return error instanceof EngineError && error.code === "kv_lost";
}

/** The worker's refusal is final for this state alone: the call itself may be tried again anywhere. */
function lost(error: EngineError): EngineError {
  const { message, code, hint } = error;
  return new EngineError({ status: 503, message, code, ...(hint !== undefined && { hint }), retryable: true });
}

/** Events in order, across broken connections: asked for again from the one after the last that was seen. */
async function* watchEvents(
  url: string,
  headers: string[],
  since: { epoch: string; sequence: number } | undefined,
  signal: AbortSignal,
): AsyncGenerator<KvEvent, void, void> {
  let next = since;
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      for await (const event of readEvents(url, headers, next, signal)) {
        failures = 0;
        next = { epoch: event.epoch, sequence: event.sequence + 1 };
        yield event;
      }
    } catch (error) {
      if (signal.aborted) return;
      // Its own refusal will not change; anything else is a worker that restarts or a connection that broke.
      if (error instanceof EngineError && error.status < 500) throw error;
    }
    await pause(reconnectMs[Math.min(failures, reconnectMs.length - 1)]!, signal);
  }
}

async function* readEvents(
  url: string,
  headers: string[],
  next: { epoch: string; sequence: number } | undefined,
  signal: AbortSignal,
): AsyncGenerator<KvEvent, void, void> {
  const query = next ? `?epoch=${encodeURIComponent(next.epoch)}&since=${next.sequence}` : "";
  const response = await send({
    method: "GET",
    url: `${url}/lineshaft/events${query}`,
    headers,
    signal,
    firstByteMs: limits.questionMs,
    // No block is stored or removed while no call runs, so a silent stream is not a fault.
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
