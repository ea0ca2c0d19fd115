// The hold of an attempt: its worst case is priced and held on every budget concerned, before it waits for its turn (DESIGN section 4,
// admit). The bounds are in admission.ts; here they become money.
import { holdNanoMost, worstCase } from "../ledger/index.ts";
import type { HoldResult, Ledger, RateCard, Scope } from "../ledger/index.ts";
import type { RegisteredEndpoint } from "../engines/index.ts";
import type { Metrics } from "../telemetry/index.ts";
import { answersAsked, checkOutputTokens, outputLimitOf } from "./admission.ts";
import { pooledId } from "./ids.ts";
import { limits } from "./limits.ts";
import { budgetRefusal, callTooDear } from "./refusals.ts";
import { cacheSalt, type PromptFacts } from "./scheduling/prompts.ts";
import type { AdmittedAttempt, CallState } from "./state.ts";
import type { CallRequest } from "./types.ts";

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

export class Holding {
  readonly #ledger: Ledger;
  readonly #metrics: Metrics;

  constructor({ ledger, metrics }: { ledger: Ledger; metrics: Metrics }) {
    this.#ledger = ledger;
    this.#metrics = metrics;
  }

  /**
   * Prices the worst case at any of the candidates and holds it on every budget concerned. Throws by name of the budget that refuses.
   * `number` is the attempt's, from 1.
   */
  async admit(
    call: CallState,
    prompt: PromptFacts,
    candidates: readonly RegisteredEndpoint[],
    card: RateCard,
    number: number,
  ): Promise<AdmittedAttempt> {
    const begun = number === 1 ? 0 : call.now();
    const worst = await worstCaseOf(call, prompt, candidates);
    const id = pooledId("att");
    let most = mostOf(worst, worst.promptTokens);
    let { result, heldNano } = await this.#hold(call, id, card, most);
    if (!result.admitted) {
      const exact = await worst.count();
      if (exact !== undefined && exact < worst.promptTokens) {
        most = mostOf(worst, exact);
        ({ result, heldNano } = await this.#hold(call, id, card, most));
      }
    }
    if (!result.admitted) {
      this.#metrics.budgetRefused(result.refusedBy.scope.kind);
      throw budgetRefusal(result, heldNano);
    }
    this.#metrics.holdOpened();
    const { outputTokens, roomTokens } = worst;
    return {
      id,
      number,
      card,
      heldNano,
      tightest: result.tightest,
      outputTokens,
      roomTokens,
      most,
      moments: { begun, admitted: call.now(), placed: 0, prefilled: 0, opened: 0, first: 0, ended: 0, settled: 0 },
    };
  }

  async #hold(
    call: CallState,
    attempt: string,
    card: RateCard,
    most: AdmittedAttempt["most"],
  ): Promise<{ result: HoldResult; heldNano: bigint }> {
    const { principal } = call.request;
    const heldNano = worstCase({ promptTokens: most.promptTokens, maxOutputTokens: most.outputTokens }, card);
    if (heldNano > holdNanoMost) throw callTooDear(heldNano, holdNanoMost, card.currency);
    const result = await this.#ledger.hold({
      attempt,
      call: call.id,
      organisation: principal.organisation,
      project: principal.project,
      scopes: scopesOf(call.request),
      amountNano: heldNano,
      rateCard: card,
      most,
    });
    return { result, heldNano };
  }
}

/** The tokens of the whole call for a prompt of so many. */
const mostOf = ({ answers, outputTokensInAll }: WorstCase, promptTokens: number): AdmittedAttempt["most"] => ({
  promptTokens: promptTokens * answers,
  outputTokens: outputTokensInAll,
});

/** Throws a 400 where the call asks for more output than can be. */
async function worstCaseOf(
  call: CallState,
  prompt: PromptFacts,
  candidates: readonly RegisteredEndpoint[],
): Promise<WorstCase> {
  const { asked } = call.request;
  // An engine that counts a prompt's tokens counts a mark in place of a medium.
  const countable = !asked.hasMedia;
  const counted = prompt.counted && countable;
  const count = async () => {
    if (!countable) return undefined;
    return counted ? prompt.promptTokens : countedBy(candidates, call);
  };
  const contextTokens = longestContext(candidates);
  const bound = counted ? prompt.promptTokens : asked.promptTokensMost;
  const promptTokens = Math.min(bound, contextTokens ?? Infinity);
  // The bound may fill a context that the prompt does not. Without a count a third of the bound is the usual guess.
  const fills = asked.outputLimit() === undefined && candidates.some(({ facts }) => isFilled(facts, promptTokens));
  const roomTokens = fills ? ((await count()) ?? Math.ceil(promptTokens / 3)) : promptTokens;
  const outputTokens = Math.max(...candidates.map(({ facts }) => outputLimitOf(asked, facts, roomTokens)));
  const answers = answersAsked(asked);
  checkOutputTokens(asked, outputTokens, answers, contextTokens);
  const outputTokensInAll = (outputTokens + asked.reasoning.tokensBeside) * answers;
  return { promptTokens, outputTokens, roomTokens, answers, outputTokensInAll, count };
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
  const { engine, model } = endpoints.find(({ facts }) => facts?.capabilities.tokenize) ?? endpoints[0]!;
  const { asked } = call.request;
  const body = asked.engineBody({ model });
  return (await engine.tokenize(asked.endpoint, body, cacheSalt(call.request), call.signal))?.count;
}

/** Every scope that a call is counted against. */
function scopesOf({ principal, agent, run }: CallRequest): Scope[] {
  const scopes: Scope[] = [
    { kind: "organisation", id: principal.organisation },
    { kind: "project", id: principal.project },
    { kind: "key", id: principal.key },
  ];
  if (agent !== undefined) scopes.push({ kind: "agent", id: agent });
  if (run !== undefined) scopes.push({ kind: "run", id: run });
  return scopes;
}
