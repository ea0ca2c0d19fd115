// The routes of a worker whose model makes embeddings: `POST /v1/embeddings` in OpenAI's shape, and what the supervisor and the adapter
// ask. Inputs of one call are computed one after the other, so that the inputs of another call come between them. A closed connection ends
// its call before its next input.
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import { z } from "zod";
import { LineshaftError } from "../../errors/index.ts";
import { sendError, sendJson } from "./answers.ts";
import type { Embedder } from "./embedder.ts";
import { invalid, unsupported } from "./errors.ts";
import { authorise, parsed, readJson, unknownRoute } from "./http.ts";
import { embeddingInputsMax } from "./limits.ts";
import type { WorkerStatus } from "./protocol.ts";

interface EmbedParts {
  embedder: Embedder;
  model: string;
  token: string;
  queueLimit: number;
  /** What does not change from call to call. */
  describe(): Omit<WorkerStatus, "running" | "waiting" | "totals">;
}

const tokenList = z.array(z.int().min(0)).min(1);
const embeddingBody = z.object({
  input: z.union([z.string(), z.array(z.string()).min(1), tokenList, z.array(tokenList).min(1)]),
  encoding_format: z.enum(["float", "base64"]).optional(),
  dimensions: z.int().positive().optional(),
});

/** The server of an embedding worker, with the status that its supervisor asks for. */
export function createEmbedServer(parts: EmbedParts): { server: Server; status(): WorkerStatus } {
  const totals = { calls: 0, promptTokens: 0, aborts: 0 };
  let open = 0;

  const status = (): WorkerStatus => ({
    ...parts.describe(),
    running: Math.min(open, 1),
    waiting: Math.max(0, open - 1),
    totals: { ...noTotals, ...totals, computedTokens: totals.promptTokens },
  });

  const embeddings = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const inputs = inputsOf(parts, await readJson(request));
    if (open > parts.queueLimit) throw busy(open);
    open++;
    let gone = false;
    response.once("close", () => (gone = true));
    try {
      const vectors: Float32Array[] = [];
      for (const tokens of inputs.tokens) {
        if (gone) break;
        vectors.push(await parts.embedder.embed(tokens));
        totals.promptTokens += tokens.length;
      }
      if (gone) return void totals.aborts++;
      totals.calls++;
      sendJson(response, 200, answerOf(parts.model, inputs, vectors));
    } finally {
      open--;
    }
  };

  const routes: Record<string, (request: IncomingMessage, response: ServerResponse) => Promise<void> | void> = {
    "GET /health": (_request, response) => sendJson(response, 200, { status: "ok" }),
    "GET /v1/models": (_request, response) => sendJson(response, 200, { object: "list", data: [{ id: parts.model }] }),
    "GET /lineshaft/status": (_request, response) => sendJson(response, 200, status()),
    "POST /v1/embeddings": embeddings,
    "POST /tokenize": async (request, response) => {
      const { prompt } = parsed(z.object({ prompt: z.string() }), await readJson(request));
      const tokens = parts.embedder.tokenize(prompt);
      sendJson(response, 200, { count: tokens.length, tokens, max_model_len: parts.embedder.contextTokens });
    },
  };
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    authorise(request, parts.token);
    const { pathname } = new URL(request.url ?? "/", "http://worker");
    const route = routes[`${request.method} ${pathname}`];
    if (!route) throw unknownRoute(request, pathname);
    await route(request, response);
  };
  const server = createServer({ keepAliveTimeout: 75_000, noDelay: true }, (request, response) => {
    handle(request, response).catch((error: unknown) => sendError(response, error));
  });
  return { server, status };
}

/** Counters of generating workers, which an embedding worker leaves at 0. */
const noTotals: WorkerStatus["totals"] = {
  calls: 0,
  promptTokens: 0,
  computedTokens: 0,
  cachedDeviceTokens: 0,
  cachedDiskTokens: 0,
  outputTokens: 0,
  parks: 0,
  restores: 0,
  lends: 0,
  pulls: 0,
  aborts: 0,
};

interface Inputs {
  /** Of each input, framed. */
  tokens: number[][];
  base64: boolean;
}

/** The inputs of a body as tokens. Throws LineshaftError for what this model cannot embed. */
function inputsOf({ embedder }: EmbedParts, body: unknown): Inputs {
  const { input, encoding_format: format, dimensions } = parsed(embeddingBody, body);
  if (dimensions !== undefined && dimensions !== embedder.dimensions)
    throw unsupported(
      "dimensions",
      `cannot be ${dimensions}: this model's vectors have ${embedder.dimensions} numbers`,
    );
  const several = Array.isArray(input) && typeof input[0] !== "number";
  const inputs = (several ? input : [input]) as (string | number[])[];
  if (inputs.length > embeddingInputsMax) throw invalid("input", `has more than ${embeddingInputsMax} texts`);
  const tokens = inputs.map((one, index) => {
    const path = several ? `input.${index}` : "input";
    if (typeof one !== "string" && one.some((token) => token >= embedder.vocabularySize))
      throw invalid(path, `has a token that the model does not know: it has ${embedder.vocabularySize}`);
    if (one.length === 0) throw invalid(path, "is empty");
    const framed = typeof one === "string" ? embedder.tokenize(one) : embedder.framed(one);
    if (framed.length > embedder.contextTokens) throw tooLong(path, framed.length, embedder.contextTokens);
    return framed;
  });
  return { tokens, base64: format === "base64" };
}

function tooLong(param: string, tokens: number, contextTokens: number): LineshaftError {
  return new LineshaftError({
    code: "context_length_exceeded",
    message: `The text has ${tokens} tokens, and the model's context has ${contextTokens}.`,
    param,
    hint: "Split the text into shorter ones.",
  });
}

function busy(open: number): LineshaftError {
  return new LineshaftError({
    code: "queue_full",
    message: `${open} calls are waiting already.`,
    hint: "Try again a little later.",
    retryAfterSeconds: 1,
  });
}

function answerOf(model: string, { tokens, base64 }: Inputs, vectors: Float32Array[]): object {
  const used = tokens.reduce((sum, { length }) => sum + length, 0);
  return {
    object: "list",
    data: vectors.map((vector, index) => ({
      object: "embedding",
      index,
      embedding: base64 ? Buffer.from(vector.buffer).toString("base64") : [...vector],
    })),
    model,
    usage: { prompt_tokens: used, total_tokens: used },
  };
}
