// Which endpoint serves an attempt, and the record of that choice. Least load: the endpoint that serves the fewest calls of
// this gateway, those known to be down last, ties by the order in which they were added. A richer policy answers the same
// shape (api/schemas.ts, `decision`), so that what is shown and stored does not change with it.
import type { RegisteredEndpoint } from "../engines/index.ts";
import type { DecisionResource } from "./api/schemas.ts";

export interface Placement {
  endpoint: RegisteredEndpoint;
  decision: DecisionResource;
}

/** Chooses among endpoints that were not tried yet; undefined when there is none. */
export function place(candidates: RegisteredEndpoint[], tried: ReadonlySet<string>): Placement | undefined {
  let chosen: RegisteredEndpoint | undefined;
  let runnerUp: RegisteredEndpoint | undefined;
  for (const candidate of candidates) {
    if (tried.has(candidate.endpoint)) continue;
    if (!chosen || scoreOf(candidate) < scoreOf(chosen)) {
      runnerUp = chosen;
      chosen = candidate;
    } else if (!runnerUp || scoreOf(candidate) < scoreOf(runnerUp)) {
      runnerUp = candidate;
    }
  }
  if (!chosen) return undefined;
  return {
    endpoint: chosen,
    decision: {
      policy: "least_load",
      chosen: judged(chosen),
      runner_up: runnerUp ? judged(runnerUp) : null,
      reason: reasonOf(chosen, runnerUp, tried),
    },
  };
}

/** Lower is better: calls it serves now, and a penalty no load can reach when it did not answer last time. */
const scoreOf = (endpoint: RegisteredEndpoint): number => endpoint.running + (endpoint.up === false ? 1_000_000 : 0);

const judged = (endpoint: RegisteredEndpoint) => ({
  endpoint: endpoint.endpoint,
  score: scoreOf(endpoint),
  numbers: { running: endpoint.running, down: endpoint.up === false ? 1 : 0 },
});

function reasonOf(
  chosen: RegisteredEndpoint,
  runnerUp: RegisteredEndpoint | undefined,
  tried: ReadonlySet<string>,
): string {
  if (!runnerUp)
    return tried.size > 0 ? "The only endpoint that is left to try." : "The only endpoint that serves this model.";
  if (runnerUp.up === false && chosen.up !== false) return `${runnerUp.endpoint} did not answer last time.`;
  return chosen.running === runnerUp.running
    ? `As few calls run there as on ${runnerUp.endpoint}; it was added first.`
    : `Fewer calls run there (${chosen.running}) than on ${runnerUp.endpoint} (${runnerUp.running}).`;
}
