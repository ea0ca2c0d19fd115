// The cheapest fleet for a workload: for every candidate (a chip and model profile, with or without lower KV tiers, with or without a
// store that all replicas share, prefill apart or not) the fewest replicas that keep the service levels, found by simulation;
// then the cheapest of these, and how the answer moves when load, prices or service levels do.
//
// The search relies on one thing: more replicas of the same kind never lower goodput by much. It brackets by doubling, then
// bisects, and checks the neighbour below; candidates that cannot meet the levels at any size say why.
import { z } from "zod";
import { defaultPolicy, makePolicy, policyNames } from "../scheduler/index.ts";
import { profileSchema, tierSchema } from "./engine/profile.ts";
import { parseFleet, type Fleet } from "./fleet.ts";
import { summarise, type RunSummary } from "./report/summary.ts";
import { simulate } from "./run/simulation.ts";
import { workloadSchema } from "./traces/options.ts";
import { scaleWorkload } from "./traces/scale.ts";
import { storeFault, storeShape } from "./stores.ts";
import { SimulatorError, type Workload } from "./types.ts";

const candidateSchema = z.strictObject({
  name: z.string().min(1),
  profile: z.union([z.string().min(1), profileSchema]),
  pricePerChipHour: z.number().positive().optional(),
  kvCapacityTokens: z.number().int().positive().optional(),
  maxSequences: z.number().int().positive().optional(),
  tiers: z.array(tierSchema).max(3).optional(),
  /** What the lower tiers of one replica cost an hour. */
  tiersPricePerHour: z.number().nonnegative().default(0),
  /** A store of KV that all replicas share, with its own price. */
  store: z
    .strictObject(storeShape)
    .superRefine((store, context) => {
      const fault = storeFault(store);
      if (fault !== undefined) context.addIssue({ code: "custom", path: [], message: fault });
    })
    .optional(),
  /** Shares of replicas that only prefill, to be tried; 0 is prefill and decode together. */
  prefillShares: z.array(z.number().min(0).max(0.9)).min(1).default([0]),
});

const planSchema = z.strictObject({
  candidates: z.array(candidateSchema).min(1),
  slo: z
    .strictObject({ ttftMs: z.number().positive().default(2000), timePerTokenMs: z.number().positive().default(50) })
    .prefault({}),
  /** Share of calls that must meet both levels. */
  goodput: z.number().gt(0).max(1).default(0.95),
  policy: z.string().default(defaultPolicy),
  currency: z.string().default("USD"),
  maxReplicas: z.number().int().positive().default(256),
  seed: z.number().int().default(1),
  /** The load, where the command line names none. */
  workload: workloadSchema.optional(),
});
type PlanRequest = z.infer<typeof planSchema>;
type Candidate = PlanRequest["candidates"][number];

/** A fleet that was found, or why none meets the levels. */
interface PlanAnswer {
  candidate: string;
  /** Replicas that prefill only, and the others. */
  prefillReplicas: number;
  replicas: number;
  chips: number;
  pricePerHour: number;
  summary?: RunSummary;
  /** Set when no size up to the limit meets the levels. */
  failed?: string;
}

interface Sensitivity {
  change: string;
  replicas: number;
  pricePerHour: number;
  /** Relative to the recommended fleet. */
  relative: number;
  failed?: string;
}

export interface Plan {
  request: PlanRequest;
  /** All candidates, cheapest first; those that failed last. */
  answers: PlanAnswer[];
  sensitivity: Sensitivity[];
  simulations: number;
}

/** Validates a plan description. Throws SimulatorError `plan_invalid`. */
export function parsePlan(description: unknown, origin = "the plan"): PlanRequest {
  const parsed = planSchema.safeParse(description);
  if (!parsed.success) {
    throw new SimulatorError(
      "plan_invalid",
      `${origin} is not a valid plan description:\n${z.prettifyError(parsed.error)}`,
      "See docs/simulator.md for the keys and an example.",
    );
  }
  if (!policyNames.includes(parsed.data.policy)) {
    throw new SimulatorError(
      "policy_unknown",
      `There is no placement policy "${parsed.data.policy}".`,
      `Known: ${policyNames.join(", ")}.`,
    );
  }
  return parsed.data;
}

/** The fewest replicas of one candidate that keep the levels on a workload. Between simulations the event loop gets a turn. */
export function smallestFleet(
  workload: Workload,
  request: PlanRequest,
  candidate = request.candidates[0]!,
  prefillShare = 0,
): Promise<PlanAnswer> {
  return new Search(workload, request).cheapest(candidate, prefillShare);
}

interface PlanRun {
  /** Where the load is varied, only arrivals by the clock are, and gaps inside sessions stay. */
  keepGaps?: boolean | undefined;
  onProgress?: ((what: string, share: number) => void) | undefined;
}

/** Finds the cheapest fleet. Between simulations the event loop gets a turn. */
export async function planFleet(workload: Workload, request: PlanRequest, run: PlanRun = {}): Promise<Plan> {
  const { onProgress } = run;
  const search = new Search(workload, request);
  const answers: PlanAnswer[] = [];
  for (const [i, candidate] of request.candidates.entries()) {
    for (const share of candidate.prefillShares) {
      onProgress?.(nameOf(candidate, share), (i / request.candidates.length) * 0.6);
      answers.push(await search.cheapest(candidate, share));
    }
  }
  answers.sort(
    (a, b) => Number(a.failed !== undefined) - Number(b.failed !== undefined) || a.pricePerHour - b.pricePerHour,
  );
  const best = answers[0]!;
  const sensitivity = best.failed === undefined ? await sensitivities(workload, request, best, search, run) : [];
  onProgress?.("done", 1);
  return { request, answers, sensitivity, simulations: search.simulations };
}

function nameOf(candidate: Candidate, share: number): string {
  return share === 0 ? candidate.name : `${candidate.name}, ${Math.round(share * 100)} % prefill only`;
}

class Search {
  simulations = 0;
  readonly #workload: Workload;
  readonly #request: PlanRequest;

  constructor(workload: Workload, request: PlanRequest) {
    this.#workload = workload;
    this.#request = request;
  }

  /** Fewest replicas of one candidate that meet the levels. */
  async cheapest(
    candidate: Candidate,
    share: number,
    changed: Partial<PlanRequest> = {},
    workload = this.#workload,
  ): Promise<PlanAnswer> {
    const request = { ...this.#request, ...changed };
    const least = share > 0 ? 2 : 1;
    const tried = new Map<number, { summary: RunSummary; fleet: Fleet; prefill: number }>();
    const good = async (replicas: number): Promise<boolean> => {
      await new Promise<void>((resolve) => void setImmediate(resolve));
      const prefill = share === 0 ? 0 : Math.min(replicas - 1, Math.max(1, Math.round(replicas * share)));
      const fleet = fleetOf(candidate, replicas, prefill, request);
      this.simulations++;
      const summary = summarise(simulate(workload, fleet, () => makePolicy(request.policy), { seed: request.seed }));
      tried.set(replicas, { summary, fleet, prefill });
      return summary.goodput >= request.goodput;
    };
    let high = least;
    while (!(await good(high))) {
      if (high >= request.maxReplicas) return this.#failure(candidate, share, request, tried.get(high)!.summary);
      high = Math.min(request.maxReplicas, high * 2);
    }
    let low = high === least ? least - 1 : Math.floor(high / 2);
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (await good(middle)) high = middle;
      else low = middle;
    }
    const found = tried.get(high)!;
    const chips = found.fleet.replicas.reduce((sum, replica) => sum + replica.profile.chips, 0);
    const prices = found.fleet.replicas.map(
      (replica) => replica.profile.chips * replica.profile.pricePerChipHour + candidate.tiersPricePerHour,
    );
    return {
      candidate: nameOf(candidate, share),
      prefillReplicas: found.prefill,
      replicas: high,
      chips,
      pricePerHour: prices.reduce((a, b) => a + b, candidate.store?.pricePerHour ?? 0),
      summary: found.summary,
    };
  }

  #failure(candidate: Candidate, share: number, request: PlanRequest, summary: RunSummary): PlanAnswer {
    const { slo } = request;
    const slow = summary.timePerTokenMs.p50 > slo.timePerTokenMs ? "time per token" : "time to first token";
    return {
      candidate: nameOf(candidate, share),
      prefillReplicas: 0,
      replicas: request.maxReplicas,
      chips: NaN,
      pricePerHour: Infinity,
      failed:
        `${request.maxReplicas} replicas reach ${(summary.goodput * 100).toFixed(1)} % of the ${(request.goodput * 100).toFixed(0)} % asked for; ` +
        `what fails is ${slow} (median ${summary.ttftMs.p50.toFixed(0)} ms to the first token, ${summary.timePerTokenMs.p50.toFixed(1)} ms a token)`,
    };
  }
}

function fleetOf(candidate: Candidate, replicas: number, prefill: number, request: PlanRequest): Fleet {
  const { name: _name, prefillShares: _shares, tiersPricePerHour: _price, store, ...own } = candidate;
  const stores = store === undefined ? [] : [{ ...store, name: "shared" }];
  const pool = store === undefined ? own : { ...own, store: "shared" };
  const pools =
    prefill === 0
      ? [{ ...pool, name: "replica", replicas }]
      : [
          { ...pool, name: "prefill", replicas: prefill, role: "prefill" as const },
          { ...pool, name: "decode", replicas: replicas - prefill, role: "decode" as const },
        ];
  return parseFleet({ name: candidate.name, currency: request.currency, slo: request.slo, stores, pools });
}

/** How the recommended fleet's size and price move. Prices change only the bill, so they are not simulated. */
async function sensitivities(
  workload: Workload,
  request: PlanRequest,
  best: PlanAnswer,
  search: Search,
  { keepGaps, onProgress }: PlanRun,
): Promise<Sensitivity[]> {
  const [candidate, share] = find(request, best.candidate);
  const { slo } = request;
  const questions: { change: string; request: Partial<PlanRequest>; speed?: number }[] = [
    ...[0.5, 0.75, 1.25, 1.5, 2].map((speed) => ({ change: `load x ${speed}`, request: {}, speed })),
    { change: "first token in half the time", request: { slo: { ...slo, ttftMs: slo.ttftMs / 2 } } },
    { change: "first token in twice the time", request: { slo: { ...slo, ttftMs: slo.ttftMs * 2 } } },
    { change: "a token in 3/4 of the time", request: { slo: { ...slo, timePerTokenMs: slo.timePerTokenMs * 0.75 } } },
    { change: "99 % within the levels", request: { goodput: 0.99 } },
    { change: "placed round robin", request: { policy: "round-robin" } },
    { change: "placed by load alone", request: { policy: "least-load" } },
  ];
  const answers: Sensitivity[] = [];
  for (const [i, question] of questions.entries()) {
    onProgress?.(question.change, 0.6 + (0.4 * i) / questions.length);
    const scaled =
      question.speed === undefined ? workload : scaleWorkload(workload, { speed: question.speed, keepGaps });
    const answer = await search.cheapest(candidate, share, question.request, scaled);
    answers.push({
      change: question.change,
      replicas: answer.replicas,
      pricePerHour: answer.pricePerHour,
      relative: answer.pricePerHour / best.pricePerHour,
      ...(answer.failed === undefined ? {} : { failed: answer.failed }),
    });
  }
  return answers;
}

function find(request: PlanRequest, name: string): [Candidate, number] {
  for (const candidate of request.candidates) {
    for (const share of candidate.prefillShares) if (nameOf(candidate, share) === name) return [candidate, share];
  }
  throw new RangeError(`no candidate ${name}`);
}
