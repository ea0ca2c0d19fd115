// The hold of an attempt, before it waits for its turn (DESIGN section 4, admit): what is certain to cost, its prompt, and a first window
// of output. The rest is held while the answer streams (cover.ts). An attempt that only engines can take that cannot be stopped is held for
// its whole limit of output, and that limit is lowered to what can be held.
//
// The prompt is held by a bound from its bytes, which is about four times too high and needs no question to an engine. Where such a hold
// has to wait or is refused, an engine counts the prompt and the hold is asked for by the count. So a budget is as exact near its end as
// far from it, and a call that fits is not refused for a bound. Where an answer has to wait for more, its prompt is counted then
// (cover.ts). Where a whole limit was lowered, the prompt is counted too, and the difference pays for output.
import { holdNanoMost, worstCase } from "../ledger/index.ts";
import type { AttemptLedger, HoldRequest, HoldResult, RateCard } from "../ledger/index.ts";
import { shapeFor, type RegisteredEndpoint } from "../engines/index.ts";
import { newId } from "../store/index.ts";
import type { Metrics } from "../telemetry/index.ts";
import { answersAsked, checkOutputTokens, isStoppable, outputLeft, outputLimitOf } from "./admission.ts";
import { holdContext } from "./calls/crash.ts";
import { Cover } from "./cover.ts";
import { limits } from "./limits.ts";
import { budgetRefusal, callTooDear } from "./refusals.ts";
import { cacheSalt } from "./scheduling/prompts.ts";
import type { ModelCall } from "./modelCall.ts";
import { whenThere, type Soon } from "./soon.ts";
import type { AdmittedAttempt, CallState, Step } from "./state.ts";

/** What an attempt may use at most, in tokens. */
interface WorstCase {
  /** Of one prompt. */
  promptTokens: number;
  /** Of one answer; the largest limit that any candidate could be given. */
  outputTokens: number;
  /** Prompt tokens that the limit of output leaves room for in a context. */
  roomTokens: number;
  /** Answers of the call, each with its own output. */
  answers: number;
  /** Of all answers together, reasoning that is not within the limit included. */
  outputTokensInAll: number;
  /** The exact count of the prompt, asked of an engine; undefined where none counts it. */
  count: () => Promise<number | undefined>;
}

/** An attempt that asks for its hold. `begunMs`: by the call's clock. */
interface NewAttempt {
  id: string;
  number: number;
  card: RateCard;
  whole: boolean;
  worst: WorstCase;
  begunMs: number;
  /** The attempt beside which it is made. */
  beside: string | undefined;
}

type Admitted = Extract<HoldResult, { admitted: true }>;

export class Holding {
  readonly #ledger: AttemptLedger;
  readonly #metrics: Metrics;

  constructor({ ledger, metrics }: { ledger: AttemptLedger; metrics: Metrics }) {
    this.#ledger = ledger;
    this.#metrics = metrics;
  }

  /**
   * Holds the prompt and a first window on every budget concerned, at once where the money is here, and waiting while calls under way hold
   * it. Throws by name of the budget that refuses. `number` is the attempt's, from 1.
   */
  admit(call: CallState, step: Step, card: RateCard, number: number): Soon<AdmittedAttempt> {
    const begunMs = number === 1 ? 0 : call.now();
    const { asked } = call.request;
    const candidates = step.candidates.endpoints;
    const whole = !candidates.some((endpoint) => endpoint.role !== "prefill" && isStoppable(endpoint, asked));
    return whenThere(worstCaseOf(call, step, candidates), (worst) => {
      const attempt: NewAttempt = {
        id: newId("att"),
        number,
        card,
        whole,
        worst,
        begunMs,
        beside: step.beside,
      };
      const hold = holdOf(call, attempt, worst.promptTokens);
      const result = this.#ledger.holdNow(hold);
      if (result?.admitted) return this.#admitted(call, attempt, hold.promptTokens, result);
      return this.#waited(call, attempt, hold, result);
    });
  }

  #admitted(call: CallState, attempt: NewAttempt, promptTokens: number, held: Admitted): AdmittedAttempt {
    this.#metrics.holdOpened();
    const { id, number, card, begunMs } = attempt;
    const { outputTokens, roomTokens, answers, outputTokensInAll } = attempt.worst;
    const { asked } = call.request;
    const beside = asked.thinking.tokensBeside;
    const units = unitsMost(asked, card);
    const most = { promptTokens, outputTokens: outputTokensInAll, ...(units && { units }) };
    const recount = async () => {
      const exact = await attempt.worst.count();
      if (exact === undefined || exact * answers >= most.promptTokens) return;
      this.#ledger.recount(id, exact * answers);
      most.promptTokens = exact * answers;
    };
    return {
      id,
      number,
      card,
      mostNano: priceOfMost(most, card),
      tightest: held.tightest,
      outputTokens: Math.min(outputTokens, Math.floor(held.outputLimit / answers) - beside),
      roomTokens,
      most,
      cover: new Cover(this.#ledger, id, { covered: held.outputTokens, most: outputTokensInAll, recount }),
      loweredBy: held.outputLimit < outputTokensInAll ? held.tightest : undefined,
      moments: {
        begun: begunMs,
        admitted: call.now(),
        placed: 0,
        prefilled: 0,
        opened: 0,
        first: 0,
        ended: 0,
        settled: 0,
      },
    };
  }

  /** An attempt whose limit was lowered while its prompt was held by a bound. Without a count it stays as it is. */
  async #counted(call: CallState, attempt: NewAttempt, boundTokens: number, held: Admitted): Promise<AdmittedAttempt> {
    const { worst, id } = attempt;
    try {
      const exact = await worst.count();
      if (exact !== undefined && exact * worst.answers < boundTokens) {
        const outputTokens = this.#ledger.recount(id, exact * worst.answers);
        const counted = { ...held, outputTokens, outputLimit: outputTokens };
        return this.#admitted(call, attempt, exact * worst.answers, counted);
      }
    } catch {
      // The engine does not answer, or the disk has no room for the record.
    }
    return this.#admitted(call, attempt, boundTokens, held);
  }

  /** An attempt whose hold cannot be decided at once, or was refused by the bound of its prompt. */
  async #waited(
    call: CallState,
    attempt: NewAttempt,
    bounded: HoldRequest,
    refused: HoldResult | undefined,
  ): Promise<AdmittedAttempt> {
    const { worst, card, whole } = attempt;
    let held = bounded;
    // A whole limit that is refused may still be lowered.
    const waiting = refused && !whole ? undefined : new GivenUp(this.#ledger, held);
    let result = waiting ? await waiting.soon : refused;
    if (!result?.admitted) {
      const exact = await worst.count();
      if (exact !== undefined && exact < worst.promptTokens) {
        result = (await waiting?.giveUp()) ?? result;
        if (!result?.admitted) {
          held = holdOf(call, attempt, exact);
          result = await this.#ledger.hold(held);
        }
      }
    }
    result ??= await waiting!.result;
    if (result.admitted && held === bounded && result.outputLimit < worst.outputTokensInAll)
      return this.#counted(call, attempt, held.promptTokens, result);
    if (result.admitted) return this.#admitted(call, attempt, held.promptTokens, result);
    this.#metrics.budgetRefused(result.refusedBy.scope.kind);
    const { units } = held;
    const least = {
      promptTokens: held.promptTokens,
      outputTokens: held.leastOutputTokens,
      ...(units && { units }),
    };
    throw budgetRefusal(result, priceOfMost(least, card));
  }
}

/** A hold that may be given up while it waits. */
class GivenUp {
  readonly result: Promise<HoldResult>;
  /** The result, where it is there soon; undefined where the hold has to wait. */
  readonly soon: Promise<HoldResult | undefined>;
  readonly #given = new AbortController();

  constructor(ledger: AttemptLedger, hold: HoldRequest) {
    const { signal } = hold;
    const onAbort = () => this.#given.abort(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), limits.recountAfterMs).unref();
    this.result = ledger.hold({ ...hold, signal: this.#given.signal }).finally(() => {
      signal.removeEventListener("abort", onAbort);
      clearTimeout(timer);
    });
    this.soon = Promise.race([this.result, late.promise]);
  }

  /** Gives it up. Answers the result where that had come, and undefined otherwise: then nothing is held. */
  async giveUp(): Promise<HoldResult | undefined> {
    this.#given.abort(counted);
    return this.result.catch((error: unknown) => {
      if (error !== counted) throw error;
      return undefined;
    });
  }
}

/** Why a hold by a bound is given up while it waits. */
const counted = new Error("The prompt was counted.");

/** The price of a prompt, of its units and of all output, whatever of the prompt is cached. */
export const priceOfMost = ({ promptTokens, outputTokens, units }: AdmittedAttempt["most"], card: RateCard): bigint =>
  worstCase({ promptTokens, maxOutputTokens: outputTokens, ...(units && { units }) }, card);

/** Documents in a search, as Cohere counts them. */
const documentsPerSearch = 100;

/** Units that a call may use at most, where the card prices them: the searches of a ranking. */
function unitsMost({ prompt }: ModelCall, { unitsNano }: RateCard): AdmittedAttempt["most"]["units"] {
  if (prompt.kind !== "rerank" || unitsNano?.["search_units"] === undefined) return undefined;
  return { search_units: Math.ceil(prompt.documents.length / documentsPerSearch) };
}

/** What is asked of the ledger. Throws a 400 where no call is worth as much as this one may cost. */
function holdOf(
  call: CallState,
  { id, number, card, whole, worst, beside }: NewAttempt,
  promptTokensOfOne: number,
): HoldRequest {
  const { request } = call;
  const { principal, agent, run, asked } = request;
  const promptTokens = promptTokensOfOne * worst.answers;
  const outputTokens = worst.outputTokensInAll;
  const units = unitsMost(asked, card);
  const mostNano = priceOfMost({ promptTokens, outputTokens, ...(units && { units }) }, card);
  if (mostNano > holdNanoMost) throw callTooDear(mostNano, holdNanoMost, card.currency);
  const leastOfOne = Math.min(worst.outputTokens, limits.leastOutputTokens) + (whole ? asked.thinking.tokensBeside : 0);
  return {
    attempt: id,
    call: call.id,
    organisation: principal.organisation,
    project: principal.project,
    key: principal.key,
    agent,
    run,
    rateCard: card,
    promptTokens,
    outputTokens,
    ...(units && { units }),
    whole,
    leastOutputTokens: Math.min(outputTokens, leastOfOne * worst.answers),
    context: holdContext(call, number, beside),
    signal: call.signal,
  };
}

/**
 * Throws a 400 where the call asks for more output than can be. An engine is asked for the prompt's count where the bound fills a context.
 */
function worstCaseOf(
  call: CallState,
  { prompt, beginning }: Step,
  candidates: readonly RegisteredEndpoint[],
): Soon<WorstCase> {
  const { asked } = call.request;
  // The answer so far is a part of the prompt, as a message of its own. No text has more tokens than bytes.
  const begun = beginning === undefined ? 0 : Buffer.byteLength(beginning.text) + limits.messageTokens;
  // An engine that counts a prompt's tokens counts a mark in place of a medium, and no calls that it writes nothing for.
  const countable = !asked.hasMedia && asked.kind === "generate";
  const counted = prompt.counted && countable;
  const count = async () => {
    if (!countable) return undefined;
    const tokens = counted ? prompt.promptTokens : await countedBy(candidates, call);
    return tokens === undefined ? undefined : tokens + begun;
  };
  // Each text of a call without output has a context of its own.
  const contextTokens = asked.kind === "generate" ? longestContext(candidates) : undefined;
  const bound = (counted ? prompt.promptTokens : asked.promptTokensMost) + begun;
  const promptTokens = Math.min(bound, contextTokens ?? Infinity);
  // The bound may fill a context that the prompt does not. Without a count a third of the bound is the usual guess.
  const fills =
    (asked.outputLimit() === undefined || asked.limitIsUsual) &&
    candidates.some(({ facts }) => isFilled(facts, promptTokens));
  const room = fills ? count().then((tokens) => tokens ?? Math.ceil(promptTokens / 3)) : promptTokens;
  return whenThere(room, (roomTokens) => {
    const outputTokens = outputLeft(
      Math.max(...candidates.map(({ facts }) => outputLimitOf(asked, facts, roomTokens))),
      beginning,
    );
    const answers = answersAsked(asked);
    checkOutputTokens(asked, outputTokens, answers, contextTokens);
    const outputTokensInAll = (outputTokens + asked.thinking.tokensBeside) * answers;
    return { promptTokens, outputTokens, roomTokens, answers, outputTokensInAll, count };
  });
}

/** The longest context among endpoints; undefined where one of them does not say how long its own is. */
function longestContext(endpoints: readonly RegisteredEndpoint[]): number | undefined {
  const longest = Math.max(...endpoints.map(({ facts }) => facts?.contextTokens ?? Infinity));
  return longest === Infinity ? undefined : longest;
}

/** Whether so many prompt tokens leave an endpoint's context no room for an answer. */
function isFilled(facts: RegisteredEndpoint["facts"], promptTokens: number): boolean {
  if (facts?.contextTokens === undefined || facts.capabilities.clipsOutput) return false;
  return facts.contextTokens - promptTokens <= limits.leastOutputTokens;
}

/** Tokens of the call's prompt as one of the endpoints counts them; undefined where none does. */
async function countedBy(endpoints: readonly RegisteredEndpoint[], call: CallState): Promise<number | undefined> {
  const { engine, model, facts } = endpoints.find(({ facts }) => facts?.capabilities.tokenize) ?? endpoints[0]!;
  const { asked } = call.request;
  const shape = shapeFor(asked, facts?.capabilities);
  if (shape === undefined) return undefined;
  const body = asked.engineBody({ shape, model });
  const count = (await engine.tokenize(shape, body, cacheSalt(call.request), call.signal))?.count;
  // A provider says that its count may differ a little from what it bills.
  return count !== undefined && facts?.capabilities.countsAfar ? Math.ceil(count * 1.02) + 16 : count;
}
