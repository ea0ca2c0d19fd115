// The embedded worker behind the engine seam: OpenAI's routes over loopback HTTP, plus what protocol.ts adds (hints in the body,
// cancelling by name, exact token counts). Its KV cache is in workerKv.ts. Nothing above these files knows that this engine is ours.
import { copied, picked } from "../../bounded/index.ts";
import type { Engine } from "../engine.ts";
import type { KvEngine } from "../kv.ts";
import { limits } from "../limits.ts";
import { ask, requestHeaders } from "../wire/ask.ts";
import { completionPaths, completionReaders, completionShapeOf } from "../wire/chat/reader.ts";
import { openExchange } from "../wire/exchange.ts";
import { encodeBody } from "../wire/splice.ts";
import { EngineError } from "../types.ts";
import type { Received, Shape } from "../asked.ts";
import type { EndpointFacts, EngineAnswer, EngineRequest } from "../types.ts";
import { pulledHeader, workerStatus } from "./protocol.ts";
import type { WorkerStatus } from "./protocol.ts";
import { WorkerKv } from "./workerKv.ts";

interface EmbeddedEngineOptions {
  /** `http://127.0.0.1:PORT` of the worker. */
  url: string;
  /** Token of this start of the worker. */
  token: string;
}

export interface EmbeddedEngine extends Engine {
  readonly kv: KvEngine;
  /** The worker's own status: memory, sequences, totals. Throws EngineError when it does not answer. */
  status(): Promise<WorkerStatus>;
}

/** Body fields that the worker honours (request.ts). Others are dropped or refused before it is asked. */
export const embeddedFields = [
  "model",
  "messages",
  "prompt",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "stop",
  "seed",
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "repetition_penalty",
  "presence_penalty",
  "frequency_penalty",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "response_format",
  "add_generation_prompt",
  "continue_final_message",
  "cache_control",
];

type Json = Record<string, unknown>;

/** What the template sees of a chat call. */
const templated = ["messages", "tools", "tool_choice", "add_generation_prompt", "continue_final_message"];

/** The engine of one start of a worker. A worker that starts again has a new address and token, and so a new engine. */
export function createEmbeddedEngine(options: EmbeddedEngineOptions): EmbeddedEngine {
  const url = options.url.replace(/\/$/, "");
  const headers = requestHeaders(options.token);

  const status = async (signal?: AbortSignal): Promise<WorkerStatus> =>
    workerStatus.parse(await ask("GET", `${url}/lineshaft/status`, headers, undefined, signal));

  const abort = async (attempt: string): Promise<void> => {
    await ask("POST", `${url}/lineshaft/abort`, headers, JSON.stringify({ attempt }));
  };

  const kv = new WorkerKv({ url, headers, abort });

  return {
    kind: "embedded",
    kv,
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
          speaks: ["chat", "completions"],
          tokenize: true,
          takesTokens: true,
          kvEvents: true,
          fields: embeddedFields,
          media: [],
          clipsOutput: true,
          stops: true,
        },
      };
    },

    open(request: EngineRequest, signal?: AbortSignal): Promise<EngineAnswer> {
      const shape = completionShapeOf(request);
      const body: Json & { stream?: boolean } = copied(request.body, { lineshaft: request.hints });
      if (body.stream === true)
        body["stream_options"] = { ...(body["stream_options"] as object | undefined), include_usage: true };
      return openExchange({
        url: `${url}/v1${completionPaths[shape]}`,
        wire: completionReaders[shape],
        headers,
        body,
        stream: body.stream === true,
        source: request.source,
        signal,
        stop: () => abort(request.hints.attempt),
        progress: "comments",
        pulledHeader,
      }).catch((error: unknown) => {
        throw isLost(error) ? lost(error) : error;
      });
    },

    async tokenize(shape: Shape, body: Json, cacheSalt: string, signal?: AbortSignal, source?: Received) {
      try {
        const question = picked(body, shape === "chat" ? templated : ["prompt"], { cacheSalt });
        const asked = encodeBody(question, source);
        const { count, tokens } = await ask("POST", `${url}/tokenize`, headers, asked, signal, limits.countMs);
        if (!Array.isArray(tokens) || tokens.length !== count) return undefined;
        return { count: tokens.length, tokens: tokens as number[] };
      } catch {
        return undefined;
      }
    },

    close: async () => kv.close(),
  };
}

function isLost(error: unknown): error is EngineError {
  return error instanceof EngineError && error.code === "kv_lost";
}

/** The worker's refusal concerns this state alone: the call itself may be retried at any endpoint. */
function lost(error: EngineError): EngineError {
  const { message, code, hint } = error;
  return new EngineError({ status: 503, message, code, hint, retryable: true });
}
