// llm-d's endpoint picker as it was benchmarked: scores of scraped engine metrics, not of the router's own counts. It is here and not
// among the scheduler's rules because it reads gauges that engines publish and the scheduler does not know; it exists to reproduce
// llm-d's published tables.
//
//   queue   (most - own) / (most - least) over calls waiting in the engine, as scraped
//   kv      1 - KV in use, as scraped
//   active  1 - own / most over calls in flight, as the picker counts them itself
//   prefix  matched tokens / prompt tokens (up to the depth that the router hashes); by KV events: min-max over endpoints
import { lowest, type Policy } from "../../src/scheduler/index.ts";
import type { Engine } from "../../src/simulator/engine/engine.ts";

export interface LlmdWeights {
  queue: number;
  kv: number;
  active: number;
  prefix: number;
  /** Tokens of a full prefix score; the whole prompt when absent. */
  prefixDepthTokens?: number;
  /** Prefix scores are stretched to 0 to 1 over the endpoints, as the scorer by KV events does. */
  stretchPrefix?: boolean;
}

/** An engine's metrics at the last scrape. */
interface Scraped {
  atMs: number;
  /** Waiting calls as vLLM counts them: those left after its last schedule, without calls that arrived during the step. */
  waiting: number;
  /** Share of device KV held by running calls. */
  kvUsage: number;
}

/** The policy, and `watch`, by which it gets the engines: pass it to `simulate` as `onEngines`. */
export interface ScrapingPolicy {
  policy: Policy;
  watch: (engines: ReadonlyMap<string, Engine>) => void;
}

/** @param scrapeMs how long a reading is used before the engine is read again */
export function llmdScraped(name: string, weights: LlmdWeights, scrapeMs: number): ScrapingPolicy {
  let engines: ReadonlyMap<string, Engine> = new Map();
  const readings = new Map<string, Scraped>();
  const read = (endpoint: string, nowMs: number): Scraped => {
    let reading = readings.get(endpoint);
    if (reading === undefined) readings.set(endpoint, (reading = { atMs: -Infinity, waiting: 0, kvUsage: 0 }));
    if (nowMs - reading.atMs < scrapeMs) return reading;
    const engine = engines.get(endpoint)!;
    reading.atMs = nowMs;
    reading.waiting = engine.leftWaiting;
    reading.kvUsage = 1 - engine.cache.availableTokens / engine.cache.deviceTokens;
    return reading;
  };
  let costs = new Float64Array(16);
  const policy: Policy = {
    name,
    card: {
      goodFor: "reproducing llm-d's published tables",
      badAt: "bursts between two scrapes",
      needs: "engine metrics, scraped",
      source: "llm-d endpoint picker configurations printed with its benchmark reports",
    },
    choose(view, rng) {
      if (costs.length < view.count) costs = new Float64Array(view.count * 2);
      const { endpoints } = view;
      const scraped = endpoints.slice(0, view.count).map(({ spec }) => read(spec.id, view.now));
      let mostWaiting = 0;
      let leastWaiting = Infinity;
      let mostActive = 0;
      let mostMatched = 0;
      let leastMatched = Infinity;
      for (let i = 0; i < view.count; i++) {
        mostWaiting = Math.max(mostWaiting, scraped[i]!.waiting);
        leastWaiting = Math.min(leastWaiting, scraped[i]!.waiting);
        mostActive = Math.max(mostActive, endpoints[i]!.load.inFlight);
        mostMatched = Math.max(mostMatched, view.matchedTokens[i]!);
        leastMatched = Math.min(leastMatched, view.matchedTokens[i]!);
      }
      const depth = Math.min(weights.prefixDepthTokens ?? Infinity, view.call.promptTokens);
      for (let i = 0; i < view.count; i++) {
        const { load } = endpoints[i]!;
        const queue =
          mostWaiting === leastWaiting ? 1 : (mostWaiting - scraped[i]!.waiting) / (mostWaiting - leastWaiting);
        const active = mostActive === 0 ? 1 : 1 - load.inFlight / mostActive;
        const own = view.matchedTokens[i]!;
        const stretched = mostMatched === leastMatched ? 1 : (own - leastMatched) / (mostMatched - leastMatched);
        const prefix = weights.stretchPrefix === true ? stretched : Math.min(1, own / depth);
        costs[i] = -(
          weights.queue * queue +
          weights.kv * (1 - scraped[i]!.kvUsage) +
          weights.active * active +
          weights.prefix * prefix
        );
      }
      return lowest(costs, view.count, 0, rng, "highest_score");
    },
  };
  return {
    policy,
    watch(watched) {
      engines = watched;
    },
  };
}
