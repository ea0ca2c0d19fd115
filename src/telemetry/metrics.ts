// Prometheus metrics of the gateway. Labels are models, engines and outcomes only: nothing whose number of values a caller
// could grow (no ids, keys or paths), and model names past a bound are counted together.
//
// On the path of a call a metric is an addition to a plain number; prom-client is handed the numbers when metrics are
// requested. (Its own counters validate and hash their labels at every addition: a dozen of them cost more than the pipeline.)
import { Registry, collectDefaultMetrics, type MetricObjectWithValues, type MetricValue } from "prom-client";
import { limits } from "./limits.ts";
import { Distribution, readings } from "./readings.ts";
import { schedulerMetrics, type SchedulerNumbers } from "./schedulerMetrics.ts";

type CallOutcome = "completed" | "refused" | "failed" | "cancelled";

/** A metric with its values, as plain data: what one process tells another of its metrics. */
export type MetricFamily = MetricObjectWithValues<MetricValue<string>>;

export interface Metrics {
  registry: Registry;
  /** A call has ended. Durations in milliseconds; `firstTokenMs` undefined when nothing came. */
  callEnded(call: { model: string; outcome: CallOutcome; durationMs: number; firstTokenMs?: number | undefined }): void;
  attemptEnded(attempt: { engine: string; outcome: CallOutcome }): void;
  tokensUsed(model: string, tokens: { prompt: number; cached: number; output: number }): void;
  /** Prompt tokens that placement expected to find cached beside what the engine reported. */
  cachedGap(engine: string, predicted: number, reported: number): void;
  holdOpened(): void;
  holdClosed(): void;
  /** A hold that a budget refused; by the kind of its scope. */
  budgetRefused(scopeKind: string): void;
  /** A wish for a program's KV (keep, demote, prefetch, drop, share), and whether the engine honoured it. */
  kvHint(verb: string, honoured: boolean): void;
  engineUp(engine: string, up: boolean): void;
  /** Whether calls are kept away from it; with the fault it is counted as an ejection. */
  engineEjected(engine: string, ejected: boolean, fault?: string): void;
  engineGone(engine: string): void;
  /** An alarm was raised; its code is one of a fixed list. */
  alarmRaised(code: string): void;
  /** The newest proofs of the ledger, with what they found by rule. */
  proven(newest: readonly ProvenNumbers[]): void;
  /** Where the alarms that stand are read, by code, when metrics are requested. */
  alarmsReadBy(read: () => ReadonlyMap<string, number>): void;
  /** Where bytes that are buffered for callers are read, by the place that keeps them. */
  buffersReadBy(read: () => Readonly<Record<string, number>>): void;
  /** Where the scheduler's numbers are read when metrics are requested. */
  schedulerReadBy(read: () => SchedulerNumbers): void;
}

/** A proof of the ledger as numbers; `discrepancies` by rule, of which there is a fixed list. */
interface ProvenNumbers {
  kind: string;
  endedAt: Date;
  discrepancies: ReadonlyMap<string, number>;
}

const firstTokenBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const durationBuckets = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

interface ModelNumbers {
  outcomes: Record<CallOutcome, number>;
  prompt: number;
  cached: number;
  output: number;
  firstToken: Distribution;
  duration: Distribution;
}

/** The metrics of one process. `process`: also those of Node itself; off in tests, where several stand in one process. */
export function createMetrics(options: { process?: boolean } = {}): Metrics {
  const registry = new Registry();
  if (options.process ?? true) collectDefaultMetrics({ register: registry });

  const models = new Map<string, ModelNumbers>();
  const attempts = new Map<string, Record<CallOutcome, number>>();
  const refusals = new Map<string, number>();
  const gaps = new Map<string, number>();
  const hints = new Map<string, number>();
  const ups = new Map<string, number>();
  const ejected = new Map<string, number>();
  const ejections = new Map<string, number>();
  const alarms = new Map<string, number>();
  let holds = 0;

  function numbersOf(model: string): ModelNumbers {
    const name = models.has(model) || models.size < limits.modelsInMetrics ? model : "other";
    let numbers = models.get(name);
    if (!numbers) {
      numbers = {
        outcomes: { completed: 0, refused: 0, failed: 0, cancelled: 0 },
        prompt: 0,
        cached: 0,
        output: 0,
        firstToken: new Distribution(firstTokenBuckets),
        duration: new Distribution(durationBuckets),
      };
      models.set(name, numbers);
    }
    return numbers;
  }

  const { counter, gauge, histogram } = readings(registry);

  counter(
    "lineshaft_calls_total",
    "Calls that have ended, by model and outcome (completed, refused, failed, cancelled)",
    ["model", "outcome"],
    (add) => {
      for (const [model, { outcomes }] of models)
        for (const [outcome, value] of Object.entries(outcomes)) if (value > 0) add({ model, outcome }, value);
    },
  );
  counter(
    "lineshaft_attempts_total",
    "Attempts at an engine that have ended, by engine and outcome",
    ["engine", "outcome"],
    (add) => {
      for (const [engine, outcomes] of attempts)
        for (const [outcome, value] of Object.entries(outcomes)) if (value > 0) add({ engine, outcome }, value);
    },
  );
  counter(
    "lineshaft_tokens_total",
    "Tokens used, by model and kind: uncached and cached prompt tokens, output tokens",
    ["model", "kind"],
    (add) => {
      for (const [model, { prompt, cached, output }] of models)
        for (const [kind, value] of Object.entries({ uncached: prompt - cached, cached, output }))
          add({ model, kind }, value);
    },
  );
  gauge(
    "lineshaft_cached_share",
    "Cached prompt tokens of all prompt tokens since the start, by model",
    ["model"],
    (add) => {
      for (const [model, { prompt, cached }] of models) if (prompt > 0) add({ model }, cached / prompt);
    },
  );
  gauge("lineshaft_holds_open", "Holds that this process has taken and not yet settled", [], (add) => add({}, holds));
  counter(
    "lineshaft_budget_refusals_total",
    "Calls refused because a budget would be passed, by the kind of its scope",
    ["scope"],
    (add) => refusals.forEach((value, scope) => add({ scope }, value)),
  );
  counter(
    "lineshaft_cached_tokens_gap_total",
    "Absolute difference between the cached prompt tokens that placement predicted and the engine reported",
    ["engine"],
    (add) => gaps.forEach((value, engine) => add({ engine }, value)),
  );
  counter(
    "lineshaft_kv_hints_total",
    "What was asked for idle programs' KV, by verb and whether the engine honoured it",
    ["verb", "honoured"],
    (add) =>
      hints.forEach((value, key) => {
        const [verb, honoured] = key.split(" ") as [string, string];
        add({ verb, honoured }, value);
      }),
  );
  gauge(
    "lineshaft_engine_up",
    "1 when the engine answered last time it was asked, 0 when it did not",
    ["engine"],
    (add) => ups.forEach((value, engine) => add({ engine }, value)),
  );
  gauge(
    "lineshaft_engine_ejected",
    "1 while calls are kept away from the engine because its last ones failed, 0 when it serves again",
    ["engine"],
    (add) => ejected.forEach((value, engine) => add({ engine }, value)),
  );
  counter(
    "lineshaft_engine_ejections_total",
    "How often calls were kept away from the engine, by the kind of fault that decided it",
    ["engine", "fault"],
    (add) =>
      ejections.forEach((value, key) => {
        const [engine, fault] = key.split(" ") as [string, string];
        add({ engine, fault }, value);
      }),
  );
  counter("lineshaft_alarms_total", "How often alarms were raised, by code", ["code"], (add) =>
    alarms.forEach((value, code) => add({ code }, value)),
  );
  let proofs: readonly ProvenNumbers[] = [];
  gauge(
    "lineshaft_proof_timestamp_seconds",
    "When the newest proof of the ledger ended, by kind (whole, incremental), in seconds since 1970",
    ["kind"],
    (add) => proofs.forEach(({ kind, endedAt }) => add({ kind }, endedAt.getTime() / 1000)),
  );
  gauge(
    "lineshaft_proof_discrepancies",
    "What the newest proof of the ledger found unequal, by its kind and by the rule that is broken; absent when all is equal",
    ["kind", "rule"],
    (add) => {
      for (const { kind, discrepancies } of proofs) discrepancies.forEach((value, rule) => add({ kind, rule }, value));
    },
  );
  let standing: () => ReadonlyMap<string, number> = () => new Map();
  gauge("lineshaft_alarms_active", "Alarms that stand, by code: neither cleared nor dismissed", ["code"], (add) =>
    standing().forEach((value, code) => add({ code }, value)),
  );
  let buffers: () => Readonly<Record<string, number>> = () => ({});
  gauge(
    "lineshaft_buffered_bytes",
    "Bytes that are buffered for callers, by the place that keeps them",
    ["what"],
    (add) => {
      for (const [what, bytes] of Object.entries(buffers())) add({ what }, bytes);
    },
  );
  histogram(
    "lineshaft_time_to_first_token_seconds",
    "From the arrival of a call to the first chunk of its answer",
    () => [...models].map(([model, { firstToken }]) => [model, firstToken] as const),
  );
  histogram("lineshaft_call_duration_seconds", "From the arrival of a call to its settlement", () =>
    [...models].map(([model, { duration }]) => [model, duration] as const),
  );

  const scheduler = schedulerMetrics(registry);

  const increase = (map: Map<string, number>, key: string, by: number) => void map.set(key, (map.get(key) ?? 0) + by);

  return {
    registry,
    callEnded({ model, outcome, durationMs, firstTokenMs }) {
      const numbers = numbersOf(model);
      numbers.outcomes[outcome]++;
      numbers.duration.add(durationMs / 1000);
      if (firstTokenMs !== undefined) numbers.firstToken.add(firstTokenMs / 1000);
    },
    attemptEnded({ engine, outcome }) {
      let outcomes = attempts.get(engine);
      if (!outcomes) attempts.set(engine, (outcomes = { completed: 0, refused: 0, failed: 0, cancelled: 0 }));
      outcomes[outcome]++;
    },
    tokensUsed(model, { prompt, cached, output }) {
      const numbers = numbersOf(model);
      numbers.prompt += prompt;
      numbers.cached += cached;
      numbers.output += output;
    },
    cachedGap: (engine, predicted, reported) => increase(gaps, engine, Math.abs(predicted - reported)),
    holdOpened: () => void holds++,
    holdClosed: () => void holds--,
    budgetRefused: (scopeKind) => increase(refusals, scopeKind, 1),
    kvHint: (verb, honoured) => increase(hints, `${verb} ${honoured}`, 1),
    engineUp: (engine, up) => void ups.set(engine, up ? 1 : 0),
    engineEjected: (engine, out, fault) => {
      ejected.set(engine, out ? 1 : 0);
      if (fault !== undefined) {
        const key = `${engine} ${fault}`;
        ejections.set(key, (ejections.get(key) ?? 0) + 1);
      }
    },
    engineGone: (engine) => {
      ups.delete(engine);
      ejected.delete(engine);
    },
    alarmRaised: (code) => increase(alarms, code, 1),
    proven: (newest) => void (proofs = newest),
    alarmsReadBy: (read) => void (standing = read),
    buffersReadBy: (read) => void (buffers = read),
    schedulerReadBy: scheduler.readBy,
  };
}
