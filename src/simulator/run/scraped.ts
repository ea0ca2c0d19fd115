// An engine's own gauges, read now and then as a metrics scraper would: what routers see that score by scraped metrics.
import type { EndpointState } from "../../scheduler/index.ts";
import type { Engine } from "../engine/engine.ts";

/** What an engine's own metrics said when they were last scraped. */
export interface ScrapedMetrics {
  atMs: number;
  /** As vLLM counts them: left waiting by its last schedule, none of those that came during the step. */
  waiting: number;
  running: number;
  /** Share of device KV held by running calls. */
  kvUsage: number;
}

/** An endpoint of a simulation: what the scheduler sees, and the engine's scraped metrics beside it. */
export type SimulatedEndpoint = EndpointState & { readonly scraped: ScrapedMetrics };

export function neverScraped(): ScrapedMetrics {
  return { atMs: -Infinity, waiting: 0, running: 0, kvUsage: 0 };
}

/** Reads the engine anew if the last reading is older than the interval. */
export function scrape(metrics: ScrapedMetrics, engine: Engine, nowMs: number, everyMs: number): void {
  if (nowMs - metrics.atMs < everyMs) return;
  metrics.atMs = nowMs;
  metrics.waiting = engine.leftWaiting;
  metrics.running = engine.inside - engine.waiting;
  metrics.kvUsage = 1 - engine.cache.availableTokens / engine.cache.deviceTokens;
}
