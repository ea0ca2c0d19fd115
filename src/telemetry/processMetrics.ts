// The metrics of several processes as one answer to Prometheus. A scrape reaches any of them, so each answers for all; every series has
// the name of its process as the label `process`. Prometheus then sees a process that was started again as one series that begins anew,
// and adds the series up by itself (`sum without (process)`). Sums made here would fall when a process dies, which Prometheus would read
// as a restart of everything.
import { Registry } from "prom-client";
import type { MetricFamily } from "./metrics.ts";

/** Prometheus' text of the metrics of several processes. */
export async function metricsText(processes: { process: string; families: MetricFamily[] }[]): Promise<string> {
  const merged = new Map<string, MetricFamily>();
  for (const { process, families } of processes)
    for (const family of families) {
      const values = family.values.map((value) => Object.assign({}, value, { labels: { ...value.labels, process } }));
      const known = merged.get(family.name);
      if (known) known.values.push(...values);
      else merged.set(family.name, { ...family, values });
    }
  const registry = new Registry();
  for (const family of merged.values()) {
    const metric = { ...family, reset() {}, get: () => family };
    registry.registerMetric(metric as unknown as Parameters<Registry["registerMetric"]>[0]);
  }
  return registry.metrics();
}
