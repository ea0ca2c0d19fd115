// A worker of this machine as an engine, by what its model does: text (adapter.ts), or embeddings (below). A worker that makes embeddings
// has no KV that another call could use, so it is no KvEngine, and it is asked by OpenAI's embeddings alone.
import type { Engine } from "../engine.ts";
import { EngineError, type EndpointFacts, type EngineAnswer, type EngineRequest } from "../types.ts";
import { ask, requestHeaders } from "../wire/ask.ts";
import { embeddingFields, embeddingsPath, embeddingsReader } from "../wire/embeddings/read.ts";
import { openExchange } from "../wire/exchange.ts";
import { createEmbeddedEngine } from "./adapter.ts";
import { workerStatus, type WorkerStatus } from "./protocol.ts";

/** How a start of a worker is reached. */
interface Reached {
  /** `http://127.0.0.1:PORT` of the worker. */
  url: string;
  /** Token of this start of the worker. */
  token: string;
  /** Its model makes embeddings. */
  embeds: boolean;
}

export interface WorkerEngine extends Engine {
  /** Where it is reached, for another process of this machine. The token is a secret of this start of the worker. */
  readonly reached: Reached;
  /** The worker's own status: memory, sequences, totals. Throws EngineError when it does not answer. */
  status(): Promise<WorkerStatus>;
}

/** The engine of one start of a worker. A worker that starts again has a new address and token, and so a new engine. */
export function workerEngine(reached: Reached): WorkerEngine {
  return reached.embeds ? embedderEngine(reached) : Object.assign(createEmbeddedEngine(reached), { reached });
}

function embedderEngine(reached: Reached): WorkerEngine {
  const url = reached.url.replace(/\/$/, "");
  const headers = requestHeaders(reached.token);
  const status = async (signal?: AbortSignal): Promise<WorkerStatus> =>
    workerStatus.parse(await ask("GET", `${url}/lineshaft/status`, headers, undefined, signal));
  return {
    kind: "embedded",
    reached,
    status,
    async probe(signal): Promise<EndpointFacts> {
      const now = await status(signal);
      return {
        models: [now.model],
        contextTokens: now.contextTokens,
        epoch: now.epoch,
        slots: now.slots,
        queueLimit: now.queueLimit,
        capabilities: { speaks: ["embeddings"], tokenize: false, kvEvents: false, fields: embeddingFields, media: [] },
      };
    },
    async open({ shape, body, source }: EngineRequest, signal?: AbortSignal): Promise<EngineAnswer> {
      if (shape !== "embeddings") throw onlyEmbeds();
      return openExchange({
        url: `${url}/v1${embeddingsPath}`,
        wire: embeddingsReader,
        headers,
        body,
        stream: false,
        source,
        signal,
      });
    },
    tokenize: async () => undefined,
    close: async () => {},
  };
}

const onlyEmbeds = (): EngineError =>
  new EngineError({
    status: 400,
    code: "unsupported_parameter",
    message: "This model makes embeddings, and no text.",
    param: "model",
    retryable: false,
  });
