// A completion or chat call from its body to the last byte of its answer.
//
// Headers are sent with the first token, so that a refusal by the queue, the grammar or the engine still gets its own status. A closed
// connection aborts its call. A call that /lineshaft/abort ends closes its stream with finish_reason "abort" and its usage, so that it can
// be billed.
import { LineshaftError } from "../../errors/index.ts";
import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { type AskContext, type Asked, askedChat, askedCompletion } from "./asked.ts";
import type { CallEnd } from "./call.ts";
import type { Engine } from "./engine.ts";
import { internal } from "./errors.ts";
import { silentTokensMax } from "./limits.ts";
import { pulledHeader } from "./protocol.ts";
import { type Delta, type Outcome, Reply } from "./reply.ts";
import { type AnswerHead, type Wire, chatWire, completionWire, usageOf } from "./wire.ts";

export interface AnswerContext extends AskContext {
  engine: Engine;
  detokenize(tokens: readonly number[], before: readonly number[]): string;
  tokenize(text: string): number[];
}

export function answerChat(context: AnswerContext, body: unknown, response: ServerResponse): void {
  answer(context, chatWire, askedChat(context, body), response);
}

export function answerCompletion(context: AnswerContext, body: unknown, response: ServerResponse): void {
  answer(context, completionWire, askedCompletion(context, body), response);
}

function answer(context: AnswerContext, wire: Wire, asked: Asked, response: ServerResponse): void {
  const { engine, prompts } = context;
  const { request, prompt, form, owner, attempt } = asked;
  const head: AnswerHead = {
    id: wire.idPrefix + randomBytes(12).toString("hex"),
    created: Math.floor(Date.now() / 1000),
    model: context.model,
  };
  const out = request.stream
    ? new StreamOut(response, wire, head, request.includeUsage)
    : new WholeOut(response, wire, head);
  const reply = new Reply({
    detokenize: context.detokenize,
    tokenize: context.tokenize,
    stops: request.stops,
    form,
    turnMarkers: prompts.turnMarkers,
    idFor: () => `call_${randomBytes(12).toString("hex")}`,
    onDelta: (delta) => out.delta(delta),
    ...(asked.goesOn && { before: prompt.tokens }),
  });
  engine.submit({
    attempt,
    owner,
    prompt: prompt.tokens,
    maxTokens: asked.maxTokens,
    ...(request.hints?.transfer && { transfer: request.hints.transfer }),
    onPulled: (tokens) => (out.headers = { [pulledHeader]: String(tokens) }),
    sampling: { ...request.sampling, ...(form?.grammar !== undefined && { grammar: form.grammar }) },
    onToken: (token) => {
      out.token();
      return reply.onToken(token);
    },
    onEnd: (end) => {
      response.off("close", gone);
      if (end.reason === "error") return out.fail(end.error!);
      let outcome: Outcome;
      try {
        outcome = reply.finish(end.reason);
      } catch (error) {
        return out.fail(error);
      }
      if (prompt.text !== undefined && outcome.tokens && outcome.text !== "") {
        prompts.remember(owner, prompt.text + outcome.text, [...prompt.tokens, ...outcome.tokens]);
      }
      out.end(outcome, end);
    },
  });
  const gone = () => engine.abort(attempt);
  response.once("close", gone);
  if (response.destroyed) gone();
}

interface Out {
  /** Further headers of the answer, sent with its first byte. */
  headers: Record<string, string>;
  /** A token was generated; its text is not known yet. */
  token(): void;
  delta(delta: Delta): void;
  end(outcome: Outcome, end: CallEnd): void;
  fail(error: unknown): void;
}

/**
 * Server-sent events, one per delta. A comment before each says how many tokens were generated so far, because the gateway holds money
 * for so many and stops the call there.
 */
class StreamOut implements Out {
  private readonly response: ServerResponse;
  private readonly wire: Wire;
  private readonly head: AnswerHead;
  private readonly includeUsage: boolean;
  headers: Record<string, string> = {};
  private started = false;
  private tokens = 0;
  private silentTokens = 0;

  constructor(response: ServerResponse, wire: Wire, head: AnswerHead, includeUsage: boolean) {
    this.response = response;
    this.wire = wire;
    this.head = head;
    this.includeUsage = includeUsage;
  }

  token(): void {
    this.start();
    this.tokens++;
    // A tool call is sent when it is complete; until then comments keep the connection alive.
    if (++this.silentTokens % silentTokensMax === 0) this.response.write(`: ${this.tokens}\n\n`);
  }

  private start(): void {
    if (this.started) return;
    this.started = true;
    const type = { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" };
    this.response.writeHead(200, { ...type, ...this.headers });
    const opening = this.wire.opening(this.head);
    if (opening) this.send(opening);
  }

  delta(delta: Delta): void {
    this.send(this.wire.chunk(this.head, delta));
  }

  end(outcome: Outcome, end: CallEnd): void {
    this.start();
    this.send(this.wire.closing(this.head, outcome.finishReason));
    // An aborted call is billed, so its usage is sent even if the request did not ask for it.
    if (this.includeUsage || outcome.finishReason === "abort")
      this.send(this.wire.usage(this.head, usageOf(end), end.report));
    this.response.end("data: [DONE]\n\n");
  }

  fail(error: unknown): void {
    if (!this.started) return sendError(this.response, error);
    this.send(errorBody(refusalOf(error)));
    this.response.end();
  }

  private send(value: object): void {
    this.silentTokens = 0;
    // Chunks of one call share a shape: with usage asked for, OpenAI's have `usage: null` until the last.
    const usage = this.includeUsage && !("usage" in value) && "choices" in value ? { ...value, usage: null } : value;
    const counted = this.tokens > 0 ? `: ${this.tokens}\n` : "";
    this.response.write(`${counted}data: ${JSON.stringify(usage)}\n\n`);
  }
}

/** One JSON answer at the end. */
class WholeOut implements Out {
  private readonly response: ServerResponse;
  private readonly wire: Wire;
  private readonly head: AnswerHead;
  private readonly deltas: Delta[] = [];
  headers: Record<string, string> = {};

  constructor(response: ServerResponse, wire: Wire, head: AnswerHead) {
    this.response = response;
    this.wire = wire;
    this.head = head;
  }

  token(): void {}

  delta(delta: Delta): void {
    this.deltas.push(delta);
  }

  end(outcome: Outcome, end: CallEnd): void {
    sendJson(
      this.response,
      200,
      this.wire.whole(this.head, this.deltas, outcome.finishReason, usageOf(end), end.report),
      this.headers,
    );
  }

  fail(error: unknown): void {
    sendError(this.response, error);
  }
}

export function sendJson(
  response: ServerResponse,
  status: number,
  value: object,
  headers: Record<string, string> = {},
): void {
  if (response.headersSent || response.destroyed) return;
  const body = JSON.stringify(value);
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...headers,
  });
  response.end(body);
}

export function sendError(response: ServerResponse, error: unknown): void {
  const known = refusalOf(error);
  const retry = known.retryAfterSeconds;
  sendJson(response, known.status, errorBody(known), retry === undefined ? {} : { "retry-after": String(retry) });
}

/** The body of an error's answer, in OpenAI's shape with a code and a next step. */
function errorBody({ status, code, message, param, hint }: LineshaftError) {
  return { error: { message, type: typeOf(status), param: param ?? null, code, hint } };
}

function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 404) return "not_found_error";
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

/** Refusals are returned unchanged; any other error is an internal error of the worker. */
const refusalOf = (error: unknown): LineshaftError => (error instanceof LineshaftError ? error : internal(error));
