// A stream on its way from the engine to its reader. It is passed on as it comes and looked at in passing: for the finish
// reason, for the usage chunk (asked of the engine always, shown to who asked), for what the answer has to be.
//
// It ends in one of four ways, and `end` is called exactly once for all of them: by itself, by failing, by the signal (its
// reason says why), by its reader stopping. The engine's iterator is never closed from here: `end` cancels the attempt, which
// reads what the engine still has to say about usage.
import type { EngineChunk } from "../engines/index.ts";
import { OutputCap, outputMost } from "./cap.ts";
import { asGatewayError } from "./errors.ts";
import type { GatewayError } from "./errors.ts";
import { checkOutput, OutputGatherer } from "./output.ts";
import { ofEndpoint } from "./scheduling/faults.ts";
import { clientGone, whyAborted } from "./refusals.ts";
import type { Begun, CallState, Outcome } from "./state.ts";
import { billedUsage, openAiUsage, usageChunk } from "./usage.ts";

type Json = Record<string, unknown>;
type Step = IteratorResult<EngineChunk, undefined>;
export type EndOfStream = (
  outcome: Outcome,
  failure: GatewayError | undefined,
  finishReason: string | undefined,
  /** The stream was past its limit of output and was cut. */
  cut: boolean,
) => Promise<void>;

/** An engine may name any number of answers; those that are ended for it are as many as can be asked for. */
const choicesMost = 128;
const over: Step = { done: true, value: undefined };

export class Relay implements AsyncIterableIterator<EngineChunk, undefined> {
  readonly #call: CallState;
  readonly #begun: Extract<Begun, { streams: true }>;
  readonly #end: EndOfStream;
  readonly #gatherer: OutputGatherer | undefined;
  readonly #wantsUsage: boolean;
  #first: IteratorResult<EngineChunk> | undefined;
  #last: Json | undefined;
  #finishReason: string | undefined;
  #sentUsage = false;
  readonly #cap: OutputCap;
  /** Answers that have begun and not said how they ended. */
  readonly #open = new Set<number>();
  #cut = false;
  #over = false;
  #ended: Promise<void> | undefined;
  readonly #onAbort = () => void this.#finish("cancelled", whyAborted(this.#call.signal));

  constructor(call: CallState, begun: Extract<Begun, { streams: true }>, end: EndOfStream) {
    this.#call = call;
    this.#begun = begun;
    this.#end = end;
    this.#first = begun.first;
    this.#gatherer = call.check && new OutputGatherer();
    this.#cap = new OutputCap(outputMost(begun.attempt));
    this.#wantsUsage =
      (begun.attempt.body["stream_options"] as { include_usage?: boolean } | null | undefined)?.include_usage === true;
    // Whether or not anybody reads on: a client that has gone ends the attempt now.
    call.signal.addEventListener("abort", this.#onAbort, { once: true });
    if (call.signal.aborted) this.#onAbort();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<Step> {
    if (this.#over) return over;
    try {
      while (!this.#cut) {
        const step = this.#first ?? (await this.#begun.iterator.next());
        this.#first = undefined;
        this.#begun.attempt.placement.endpoint.aliveMs = performance.now();
        if (this.#call.signal.aborted) throw whyAborted(this.#call.signal);
        if (step.done) break;
        const { data } = step.value;
        if (this.#cap.passedBy(data, this.#begun.answer.usage()?.outputTokens)) return await this.#cutShort(data);
        if (this.#passes(data)) return this.#billed(step);
      }
      if (this.#call.check) await checkOutput(this.#call.check, this.#gatherer!.choices.values());
    } catch (error) {
      this.#over = true;
      const gone = this.#call.signal.aborted;
      const failure = gone
        ? whyAborted(this.#call.signal)
        : asGatewayError(ofEndpoint(error, this.#begun.attempt.placement.endpoint));
      await this.#finish(gone ? "cancelled" : "failed", failure);
      throw failure;
    }
    this.#over = true;
    await this.#finish("completed");
    const usage = this.#wantsUsage && !this.#sentUsage ? this.#begun.answer.usage() : undefined;
    return usage
      ? { done: false, value: { data: usageChunk(this.#last, billedUsage(this.#begun.attempt, usage)) } }
      : over;
  }

  async return(): Promise<Step> {
    this.#over = true;
    await this.#finish("cancelled", clientGone());
    return over;
  }

  /** Stops the engine and answers the chunk that ends every answer still open with `length`. */
  async #cutShort(like: Json): Promise<Step> {
    this.#cut = true;
    await this.#begun.answer.cancel();
    const { usage: _usage, choices: _choices, ...rest } = like;
    const open = this.#open.size > 0 ? [...this.#open] : [0];
    const nothing = this.#call.request.endpoint === "chat" ? { delta: {} } : { text: "" };
    const data = { ...rest, choices: open.map((index) => ({ index, ...nothing, finish_reason: "length" })) };
    this.#passes(data);
    return { done: false, value: { data } };
  }

  /**
   * Its reader is told the usage that is billed. In a PD call the decode engine reports transferred tokens as cached, so the
   * prefill leg's count is taken; a claim beyond the hold is cut to it.
   */
  #billed(step: IteratorYieldResult<EngineChunk>): Step {
    const { data } = step.value;
    const said = data["usage"] ? this.#begun.answer.usage() : undefined;
    if (!said) return step;
    const { attempt } = this.#begun;
    const { split } = attempt.placement;
    const usage = billedUsage(attempt, split?.billed(said) ?? said);
    return usage === said ? step : { done: false, value: { data: { ...data, usage: openAiUsage(usage) } } };
  }

  /** Notes what a chunk says; false when its reader has not asked for it. */
  #passes(data: Json): boolean {
    const choices = data["choices"] as { finish_reason?: unknown }[] | undefined;
    const some = Array.isArray(choices) && choices.length > 0;
    if (some) for (const choice of choices) this.#noteEnd(choice ?? {});
    this.#gatherer?.add(data);
    if (some || data["usage"] === undefined || data["usage"] === null) {
      this.#last = data;
      return true;
    }
    this.#sentUsage = this.#wantsUsage;
    return this.#wantsUsage;
  }

  #noteEnd({ index, finish_reason: reason }: { index?: unknown; finish_reason?: unknown }): void {
    const place = typeof index === "number" ? index : 0;
    if (typeof reason !== "string") {
      if (this.#open.size < choicesMost) this.#open.add(place);
      return;
    }
    this.#open.delete(place);
    this.#finishReason = reason;
  }

  #finish(outcome: Outcome, failure?: GatewayError): Promise<void> {
    this.#call.signal.removeEventListener("abort", this.#onAbort);
    this.#begun.attempt.moments.ended ||= this.#call.now();
    return (this.#ended ??= this.#end(outcome, failure, this.#finishReason, this.#cut));
  }
}
