// The worker's HTTP: loopback only, every request with the bearer token of this start. Routes are listed in protocol.ts.
import { LineshaftError } from "../../errors/index.ts";
import { timingSafeEqual } from "node:crypto";
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import { z } from "zod";
import { type AnswerContext, answerChat, answerCompletion, sendError, sendJson } from "./answers.ts";
import { askedChat, askedCompletion, askedTokens } from "./asked.ts";
import type { BlockLedger } from "./blocks.ts";
import { invalid } from "./errors.ts";
import type { Facts } from "./facts.ts";
import type { Hints } from "./hints.ts";
import { eventStreamLimit, maxBodyBytes } from "./limits.ts";
import { answerPrefill } from "./prefill.ts";
import { type WorkerStatus, kvHint, runtimeFact } from "./protocol.ts";

interface HttpParts extends AnswerContext {
  token: string;
  ledger: BlockLedger;
  facts: Facts;
  hints: Hints;
  status(): WorkerStatus;
  describeModel(): object;
}

type Handler = (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void> | void;

export function createWorkerServer(parts: HttpParts): Server {
  const routes: Record<string, Handler> = {
    "GET /health": (_request, response) => sendJson(response, 200, { status: "ok" }),
    "GET /v1/models": (_request, response) =>
      sendJson(response, 200, { object: "list", data: [parts.describeModel()] }),
    "GET /lineshaft/status": (_request, response) => sendJson(response, 200, parts.status()),
    "GET /lineshaft/events": (request, response, url) => streamEvents(parts.ledger, request, response, url),
    "POST /v1/chat/completions": async (request, response) => answerChat(parts, await readJson(request), response),
    "POST /v1/completions": async (request, response) => answerCompletion(parts, await readJson(request), response),
    "POST /tokenize": async (request, response) => {
      const tokens = askedTokens(parts, await readJson(request));
      sendJson(response, 200, { count: tokens.length, tokens, max_model_len: parts.contextTokens });
    },
    "POST /lineshaft/prefill/chat/completions": async (request, response) =>
      answerPrefill(parts, askedChat(parts, await readJson(request)), response),
    "POST /lineshaft/prefill/completions": async (request, response) =>
      answerPrefill(parts, askedCompletion(parts, await readJson(request)), response),
    "POST /lineshaft/release": async (request, response) => {
      const { state } = parsed(z.object({ state: z.string() }), await readJson(request));
      await parts.engine.kv.store.release(state);
      sendJson(response, 200, { released: state });
    },
    "POST /lineshaft/kv": async (request, response) => {
      const { hints } = parsed(z.object({ hints: z.array(kvHint) }), await readJson(request));
      const receipts = [];
      for (const hint of hints) receipts.push(await parts.hints.carryOut(hint));
      sendJson(response, 200, { receipts });
    },
    "POST /lineshaft/abort": async (request, response) => {
      const { attempt } = parsed(z.object({ attempt: z.string() }), await readJson(request));
      sendJson(response, 200, { attempt, aborted: parts.engine.abort(attempt) });
    },
    "POST /lineshaft/facts": async (request, response) => {
      const { facts } = parsed(z.object({ facts: z.array(runtimeFact) }), await readJson(request));
      const receipts = await parts.engine.between(async () => {
        const given = [];
        for (const fact of facts) given.push(await parts.facts.apply(fact));
        return given;
      });
      sendJson(response, 200, { receipts });
    },
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    authorise(request, parts.token);
    const url = new URL(request.url ?? "/", "http://worker");
    const project = /^\/lineshaft\/projects\/([^/]+)$/.exec(url.pathname)?.[1];
    if (project !== undefined && request.method === "DELETE") {
      parts.prompts.eraseProject(decodeURIComponent(project));
      const erased = await parts.engine.between(() => parts.engine.kv.eraseProject(decodeURIComponent(project)));
      return sendJson(response, 200, { project: decodeURIComponent(project), erased });
    }
    const route = routes[`${request.method} ${url.pathname}`];
    if (!route) throw unknownRoute(request, url.pathname);
    await route(request, response, url);
  };

  const server = createServer({ keepAliveTimeout: 75_000, noDelay: true }, (request, response) => {
    handle(request, response).catch((error: unknown) => sendError(response, error));
  });
  return server;
}

/** Throws LineshaftError where the request lacks the token of this start. */
export function authorise(request: IncomingMessage, token: string): void {
  const given = Buffer.from(request.headers.authorization ?? "");
  const wanted = Buffer.from(`Bearer ${token}`);
  if (given.length === wanted.length && timingSafeEqual(given, wanted)) return;
  throw new LineshaftError({
    code: "invalid_token",
    message: "The worker's token is missing or wrong.",
    hint: "Send `authorization: Bearer TOKEN` with the token that the worker was started with.",
  });
}

/** The body of a request. Throws LineshaftError where it is too large or is not JSON. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > maxBodyBytes) {
      throw new LineshaftError({
        code: "body_too_large",
        message: `The body is larger than ${maxBodyBytes} bytes.`,
        hint: "Send less.",
      });
    }
    pieces.push(piece);
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString("utf8"));
  } catch (error) {
    throw invalid("body", `is not JSON: ${(error as Error).message}`, "Send one JSON object.");
  }
}

export function unknownRoute({ method }: IncomingMessage, path: string): LineshaftError {
  return new LineshaftError({
    code: "unknown_route",
    message: `There is no ${method} ${path}.`,
    hint: "See the routes in the engine's protocol.",
  });
}

/** The body as the schema has it. Throws LineshaftError that names the field at fault. */
export function parsed<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw invalid(issue.path.join(".") || "body", `is not valid: ${issue.message}`);
}

let openStreams = 0;

/** Sends events from the given number on, then each new one, until the reader disconnects. */
function streamEvents(ledger: BlockLedger, request: IncomingMessage, response: ServerResponse, url: URL): void {
  if (openStreams >= eventStreamLimit) {
    throw new LineshaftError({
      code: "too_many_streams",
      message: `${openStreams} event streams are open already.`,
      hint: "Close one of them.",
      retryAfterSeconds: 5,
    });
  }
  openStreams++;
  const epoch = url.searchParams.get("epoch") ?? ledger.epoch;
  let next = { epoch, sequence: Number(url.searchParams.get("since") ?? request.headers["last-event-id"] ?? 0) || 0 };
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" });
  response.flushHeaders();
  let scheduled = false;
  const flush = () => {
    scheduled = false;
    // A slow reader gets further events after it has read the earlier ones, so no events are buffered for it here.
    if (response.writableNeedDrain) return;
    for (const event of ledger.read(next)) {
      response.write(`id: ${event.sequence}\ndata: ${JSON.stringify(event)}\n\n`);
      next = { epoch: ledger.epoch, sequence: event.sequence + 1 };
    }
  };
  const soon = () => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(flush);
  };
  const stop = ledger.onEvent(soon);
  response.on("drain", flush);
  response.once("close", () => {
    openStreams--;
    stop();
  });
  flush();
}
