// Results of the grid: one line of JSON for each run. A run that the file has already is not run again.
import { existsSync, readFileSync } from "node:fs";

/** Which run a row is of. */
export interface Place {
  trace: string;
  /** Endpoints. */
  fleet: number;
  /** Gateways before the fleet, and how old their messages of load are when they arrive. */
  gateways: number;
  loadAgeMs: number;
  /** Whether the scheduler is told how fast endpoints are, or learns it as in the gateway. */
  speeds: "told" | "learned";
  load: number;
  /** Calls for an endpoint. */
  calls: number;
  /** Latest useful time of a first token, ms after a call was sent; absent: calls wait as long as it takes. */
  deadlineMs?: number;
  policy: string;
  seed: number;
}

export interface Row extends Place {
  key: string;
  /** Calls after the warm-up; the figures below are theirs. */
  measured: number;
  refused: number;
  hits: number;
  /** Of the whole workload, warm-up included. */
  idealHits: number;
  meanMs: number;
  p90Ms: number;
  p99Ms: number;
  perTokenMs: number;
  goodput: number;
  /** Jain's index over tenants of mean normalised latency; 1 is equal. */
  fairness: number;
  utilisation: number;
  /** Processor time that the run took, ms. */
  cpuMs: number;
}

export function keyOf(place: Place): string {
  return `${pointOf(place)} ${place.policy} ${place.seed}`;
}

/** Which point a row belongs to: all rules and seeds of a point see the same load. */
export function pointOf(place: Omit<Place, "policy" | "seed">): string {
  const { trace, fleet, gateways, loadAgeMs, speeds, load, calls, deadlineMs } = place;
  const deadline = deadlineMs === undefined ? [] : [`within ${deadlineMs} ms`];
  return [trace, fleet, gateways, loadAgeMs, speeds, load, calls, ...deadline].join(" ");
}

/** Rows of a file of results by key; empty without the file. A line cut short by a kill is left out. */
export function readRows(path: string): Map<string, Row> {
  const rows = new Map<string, Row>();
  if (!existsSync(path)) return rows;
  for (const line of readFileSync(path, "utf8").split("\n")) {
    if (!line.startsWith("{") || !line.endsWith("}")) continue;
    const row = JSON.parse(line) as Row;
    rows.set(row.key, row);
  }
  return rows;
}
