// Prometheus metrics of the gateway. Labels are models, engines and outcomes only: nothing whose number of values a caller
// could grow (no ids, keys or paths), and model names past a bound are counted together.
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";
import { limits } from "./limits.ts";

export type CallOutcome = "completed" | "refused" | "failed" | "cancelled";

export interface Metrics {
  registry: Registry;
  /** A call has ended. Durations in milliseconds; `firstTokenMs` undefined when nothing came. */
  callEnded(call: { model: string; outcome: CallOutcome; durationMs: number; firstTokenMs?: number | undefined }): void;
  attemptEnded(attempt: { engine: string; outcome: Exclude<CallOutcome, "refused"> }): void;
  tokensUsed(model: string, tokens: { prompt: number; cached: number; output: number }): void;
  /** Prompt tokens that placement expected to find cached beside what the engine reported. */
  cachedGap(engine: string, predicted: number, reported: number): void;
  holdOpened(): void;
  holdClosed(): void;
  /** A hold that a budget refused; by the kind of its scope. */
  budgetRefused(scopeKind: string): void;
  engineUp(engine: string, up: boolean): void;
  engineGone(engine: string): void;
}

const ttftBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const durationBuckets = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

export function createMetrics(options: { process?: boolean } = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  if (options.process ?? true) collectDefaultMetrics({ register: registry });

  const calls = new Counter({
    name: "lineshaft_calls_total",
    help: "Calls that have ended, by model and outcome (completed, refused, failed, cancelled)",
    labelNames: ["model", "outcome"],
    registers,
  });
  const attempts = new Counter({
    name: "lineshaft_attempts_total",
    help: "Attempts at an engine that have ended, by engine and outcome",
    labelNames: ["engine", "outcome"],
    registers,
  });
  const tokens = new Counter({
    name: "lineshaft_tokens_total",
    help: "Tokens used, by model and kind: uncached and cached prompt tokens, output tokens",
    labelNames: ["model", "kind"],
    registers,
  });
  const firstToken = new Histogram({
    name: "lineshaft_time_to_first_token_seconds",
    help: "From the arrival of a call to the first chunk of its answer",
    labelNames: ["model"],
    buckets: ttftBuckets,
    registers,
  });
  const duration = new Histogram({
    name: "lineshaft_call_duration_seconds",
    help: "From the arrival of a call to its settlement",
    labelNames: ["model"],
    buckets: durationBuckets,
    registers,
  });
  const holds = new Gauge({
    name: "lineshaft_holds_open",
    help: "Holds that this process has taken and not yet settled",
    registers,
  });
  const refusals = new Counter({
    name: "lineshaft_budget_refusals_total",
    help: "Calls refused because a budget would be passed, by the kind of its scope",
    labelNames: ["scope"],
    registers,
  });
  const shares = new Gauge({
    name: "lineshaft_cached_share",
    help: "Cached prompt tokens of all prompt tokens since the start, by model",
    labelNames: ["model"],
    registers,
  });
  const gaps = new Counter({
    name: "lineshaft_cached_tokens_gap_total",
    help: "Absolute difference between the cached prompt tokens that placement predicted and the engine reported",
    labelNames: ["engine"],
    registers,
  });
  const up = new Gauge({
    name: "lineshaft_engine_up",
    help: "1 when the engine answered last time it was asked, 0 when not",
    labelNames: ["engine"],
    registers,
  });

  // Labels are looked up once per model: what is left on the path of a call is a few additions.
  const perModel = new Map<string, ReturnType<typeof childrenOf>>();
  function childrenOf(model: string) {
    return {
      outcomes: {
        completed: calls.labels(model, "completed"),
        refused: calls.labels(model, "refused"),
        failed: calls.labels(model, "failed"),
        cancelled: calls.labels(model, "cancelled"),
      },
      uncached: tokens.labels(model, "uncached"),
      cached: tokens.labels(model, "cached"),
      output: tokens.labels(model, "output"),
      firstToken: firstToken.labels(model),
      duration: duration.labels(model),
      share: shares.labels(model),
      promptSum: 0,
      cachedSum: 0,
    };
  }
  function of(model: string) {
    const name = perModel.has(model) || perModel.size < limits.modelsInMetrics ? model : "other";
    let children = perModel.get(name);
    if (!children) perModel.set(name, (children = childrenOf(name)));
    return children;
  }

  return {
    registry,
    callEnded({ model, outcome, durationMs, firstTokenMs }) {
      const children = of(model);
      children.outcomes[outcome].inc();
      children.duration.observe(durationMs / 1000);
      if (firstTokenMs !== undefined) children.firstToken.observe(firstTokenMs / 1000);
    },
    attemptEnded: ({ engine, outcome }) => attempts.labels(engine, outcome).inc(),
    tokensUsed(model, used) {
      const children = of(model);
      children.uncached.inc(used.prompt - used.cached);
      children.cached.inc(used.cached);
      children.output.inc(used.output);
      children.promptSum += used.prompt;
      children.cachedSum += used.cached;
      if (children.promptSum > 0) children.share.set(children.cachedSum / children.promptSum);
    },
    cachedGap: (engine, predicted, reported) => gaps.labels(engine).inc(Math.abs(predicted - reported)),
    holdOpened: () => holds.inc(),
    holdClosed: () => holds.dec(),
    budgetRefused: (scopeKind) => refusals.labels(scopeKind).inc(),
    engineUp: (engine, isUp) => up.labels(engine).set(isUp ? 1 : 0),
    engineGone: (engine) => up.remove(engine),
  };
}
