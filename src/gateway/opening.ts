// The beginning of an attempt: its request is sent to the endpoint where it was placed (to two, where the prompt is computed elsewhere),
// and the first chunk of the answer is waited for, or all of an answer that does not stream. A whole answer that is streamed inside is
// gathered here too: until its client has any of it, the call can go on to another endpoint.
import { each, nextOf } from "../bounded/index.ts";
import { autoMarked, continuedBody, EngineError, WholeAnswer } from "../engines/index.ts";
import type { EngineAnswer, EngineChunk, EngineRequest, RegisteredEndpoint, Shape } from "../engines/index.ts";
import { FirstTokenWatch } from "./firstToken.ts";
import { PaidStream } from "./paidStream.ts";
import { shapeAt } from "./protocols/spoken.ts";
import { DeadlinePassed, whyAborted } from "./refusals.ts";
import { cacheSalt, programKey } from "./scheduling/prompts.ts";
import type { LegRequest } from "./scheduling/split.ts";
import type { Soon } from "./soon.ts";
import type { AttemptState, Begun, BegunStream, CallState } from "./state.ts";

/** What is known of an attempt while it is opened. */
export interface Opening {
  answer: EngineAnswer | undefined;
  /** Notes durably that the request leaves: once it has resolved the request may be sent, and may cost something. */
  sent: () => Promise<void>;
}

/** Sends the attempt where it was placed, and waits for the beginning of its answer. Throws what stopped it. */
export async function openAt(
  call: CallState,
  attempt: AttemptState,
  opening: Opening,
  signal: AbortSignal,
): Promise<Begun> {
  const { endpoint, split, bring } = attempt.placement;
  const { moments } = attempt;
  const requestOf = requestsOf(call, attempt);
  let answer: EngineAnswer;
  if (split) {
    await opening.sent();
    if (signal.aborted) throw whyAborted(signal);
    answer = await split.open(requestOf, signal, () => (moments.prefilled = call.now()));
  } else {
    if (bring) await bring();
    await opening.sent();
    if (signal.aborted) throw whyAborted(signal);
    answer = await endpoint.engine.open(requestOf(endpoint), signal);
  }
  opening.answer = answer;
  moments.opened = call.now();
  const first = firstOf(attempt, answer, signal);
  return first instanceof Promise ? await first : first;
}

/** How long the first token of an attempt is waited for. */
interface Patience {
  /** The bound of the endpoint, for a call that another endpoint may take. */
  silence: { mostMs: number; elsewhere: () => boolean } | undefined;
  /** Milliseconds to the call's deadline, where its engine stops when it is told and shows its first token. */
  leftMs: number | undefined;
}

/** The same for as long as there is patience. What a late endpoint says after that is not heard. */
export async function openInTime(
  call: CallState,
  attempt: AttemptState,
  opening: Opening,
  { silence, leftMs }: Patience,
): Promise<Begun> {
  const { endpoint, outputMostMs, split, expectedFirstTokenMs } = attempt.placement;
  const { deadlineMs } = call.request;
  const outputMs = attempt.streams ? undefined : outputMostMs;
  const given = new AbortController();
  const abort = () => given.abort(call.signal.reason);
  if (call.signal.aborted) abort();
  // The call may also be aborted while its answer streams, so it is listened to until then. AbortSignal.any costs ten times as much.
  else call.signal.addEventListener("abort", abort, { once: true });
  let watch: FirstTokenWatch | undefined;
  let deadline: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    // Timers fire before sockets are read: a token that came while this process stood still is heard first.
    const pass = () => setImmediate(() => reject(new DeadlinePassed(endpoint.name, deadlineMs!, expectedFirstTokenMs)));
    if (leftMs !== undefined) deadline = setTimeout(pass, Math.max(0, leftMs)).unref();
    if (!silence) return;
    // The two legs of a split call have as long as one endpoint each.
    const mostMs = split ? 2 * silence.mostMs : silence.mostMs;
    watch = new FirstTokenWatch({ endpoint, mostMs, outputMs, elsewhere: silence.elsewhere }, reject);
  });
  const begun = openAt(call, attempt, opening, given.signal);
  try {
    return await Promise.race([begun, late]);
  } catch (error) {
    given.abort(error);
    begun.catch(() => {});
    // The engine is told to stop, which is not waited for, because it may hang there too.
    void opening.answer?.cancel();
    throw error;
  } finally {
    watch?.end();
    clearTimeout(deadline);
  }
}

/**
 * All of an answer whose call does not stream, out of the stream that its engine was asked for. Throws what stopped it; the engine is
 * told as soon as the client has gone.
 */
export async function gathered(call: CallState, begun: BegunStream): Promise<Begun> {
  const { attempt, answer } = begun;
  const listening = stoppedBy(call.signal, answer);
  try {
    const whole = new WholeAnswer(attempt.asked.shape === "completions" ? "completions" : "chat");
    const stream = new PaidStream(begun, call);
    await each(stream, (chunk) => {
      if (stream.cut === undefined) call.buffered.add("answers", whole.add(chunk), false);
      else whole.addDeltas(chunk.deltas);
      return undefined;
    });
    if (call.signal.aborted) throw whyAborted(call.signal);
    return { attempt, answer, streams: false, whole: whole.whole(), cut: stream.cut };
  } finally {
    listening();
  }
}

/** The beginning of an answer, at once where a whole answer is here already. The engine is told as soon as the client has gone. */
function firstOf(attempt: AttemptState, answer: EngineAnswer, signal: AbortSignal): Soon<Begun> {
  if (attempt.streams) return firstChunkOf(attempt, answer, signal);
  if (signal.aborted) {
    void answer.cancel();
    throw whyAborted(signal);
  }
  const whole = answer.whole();
  if (whole instanceof Promise) return wholeOf(attempt, answer, whole, signal);
  return { attempt, answer, streams: false, whole, cut: undefined };
}

/** All of an answer, once it has come. The engine is told as soon as the client has gone, also while nothing comes. */
async function wholeOf(
  attempt: AttemptState,
  answer: EngineAnswer,
  coming: Promise<EngineChunk>,
  signal: AbortSignal,
): Promise<Begun> {
  const listening = stoppedBy(signal, answer);
  try {
    const whole = await coming;
    if (signal.aborted) throw whyAborted(signal);
    return { attempt, answer, streams: false, whole, cut: undefined };
  } finally {
    listening();
  }
}

/** The first chunk of a stream, in the same way. */
async function firstChunkOf(attempt: AttemptState, answer: EngineAnswer, signal: AbortSignal): Promise<Begun> {
  const listening = stoppedBy(signal, answer);
  try {
    const first = await nextOf(answer.chunks);
    if (signal.aborted) throw whyAborted(signal);
    return { attempt, answer, streams: true, first };
  } finally {
    listening();
  }
}

/** Cancels the answer when the signal aborts; answers how to end that. Throws why it has aborted already. */
function stoppedBy(signal: AbortSignal, answer: EngineAnswer): () => void {
  const stop = () => void answer.cancel();
  if (signal.aborted) stop();
  if (signal.aborted) throw whyAborted(signal);
  signal.addEventListener("abort", stop, { once: true });
  return () => signal.removeEventListener("abort", stop);
}

/** The attempt's request as each of its legs is sent it. */
function requestsOf(call: CallState, attempt: AttemptState): LegRequest {
  const { project } = call.request.principal;
  const program = programKey(call.request);
  const { outputLimit, placement, asked, streams, prompt } = attempt;
  const { received, headers } = asked;
  return (endpoint, leg, transfer) => {
    const shape = shapeAt(asked, endpoint);
    const written = (leg === "prefill" ? placement.shape.prefill! : asked).engineBody({
      shape,
      model: endpoint.model,
      outputTokens: outputLimit,
      stream: streams,
      capabilities: endpoint.facts?.capabilities,
    });
    const body = continued(written, attempt, endpoint, shape);
    return {
      shape,
      body: call.marksPrompt && shape === "messages" ? autoMarked(body) : body,
      ...(shape === "gemini" && { streamByPath: streams }),
      headers,
      hints: {
        attempt: leg === undefined ? attempt.id : `${attempt.id}.${leg}`,
        cacheSalt: cacheSalt(call.request),
        project,
        ...(program !== undefined && { program }),
        ...(prompt.tokens && endpoint.facts?.capabilities.takesTokens && { promptTokens: prompt.tokens }),
        ...(transfer && { transfer }),
      },
      ...(received?.shape === shape && { source: received }),
    };
  };
}

/** The body with the answer so far at its end, where the attempt goes on with one. Throws where the endpoint cannot go on with it. */
function continued(
  body: EngineRequest["body"],
  { beginning }: AttemptState,
  { model, facts }: RegisteredEndpoint,
  shape: Shape,
): EngineRequest["body"] {
  if (beginning === undefined || beginning.text === "") return body;
  const on = continuedBody(shape, body, beginning.text, facts?.capabilities);
  if (on) return on;
  // It was asked when the endpoint was chosen, and has said something else of itself since.
  throw new EngineError({
    status: 503,
    code: "engine_failed",
    message: `The engine of ${model} cannot go on with an answer that another has begun.`,
    hint: "Send the call again.",
  });
}
