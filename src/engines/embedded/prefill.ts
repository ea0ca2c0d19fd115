// A prompt computed for another worker: from the body of a call to the answer that its state can be loaded.
//
// The state holds all of the prompt but its last token. The decoding worker computes that token itself, because it needs its logits; so a
// model whose state cannot be cut is served too. The answer is sent when the sidecar is on disk, so its reader can load the state at once.
// The lease is released when the caller's connection closes before the answer.
import type { ServerResponse } from "node:http";
import { type AnswerContext, sendError, sendJson } from "./answers.ts";
import type { Asked } from "./asked.ts";
import type { CallEnd } from "./call.ts";
import { readLease } from "./leases.ts";
import type { PrefillAnswer } from "./protocol.ts";

export function answerPrefill(context: AnswerContext, asked: Asked, response: ServerResponse): void {
  const { engine } = context;
  const { request, prompt, owner, attempt } = asked;
  engine.submit({
    attempt,
    owner,
    prompt: prompt.tokens,
    maxTokens: asked.maxTokens,
    sampling: request.sampling,
    prefillOnly: true,
    onToken: () => ({ type: "stop" }),
    onEnd: (end) => {
      response.off("close", gone);
      if (end.reason === "error") return sendError(response, end.error!);
      finish(context, asked, end, response).catch((error: unknown) => sendError(response, error));
    },
  });
  const gone = () => engine.abort(attempt);
  response.once("close", gone);
  if (response.destroyed) gone();
}

async function finish(context: AnswerContext, asked: Asked, end: CallEnd, response: ServerResponse): Promise<void> {
  const { store } = context.engine.kv;
  const lease = end.lease === undefined ? undefined : readLease(end.lease);
  const published = lease !== undefined && (await store.published(lease.id));
  if (response.destroyed) {
    if (end.lease !== undefined) await store.release(end.lease);
    return;
  }
  const answer: PrefillAnswer = {
    state: published ? end.lease! : null,
    tokens: published ? asked.prompt.tokens.length - 1 : 0,
    leaseMs: published ? Math.max(0, lease.untilMs - Date.now()) : 0,
    saveMs: end.saveMs,
    report: end.report,
  };
  sendJson(response, 200, answer);
}
