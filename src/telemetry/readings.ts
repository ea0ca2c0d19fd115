// Metrics whose numbers are kept elsewhere: prom-client reads them when metrics are requested.
import { Counter, Gauge, type Registry } from "prom-client";

/** Counts per bucket, sum and count: what a histogram is. */
export class Distribution {
  readonly bounds: number[];
  readonly counts: number[];
  sum = 0;
  count = 0;

  constructor(bounds: number[]) {
    this.bounds = bounds;
    this.counts = bounds.map(() => 0);
  }

  add(value: number): void {
    this.sum += value;
    this.count++;
    for (let place = 0; place < this.bounds.length; place++)
      if (value <= this.bounds[place]!) {
        this.counts[place]!++;
        return;
      }
  }
}

/** Makers of metrics in a registry. Each `read` is called when metrics are requested, and tells all values that there are. */
export function readings(registry: Registry) {
  return {
    counter: (name: string, help: string, labelNames: string[], read: (add: Add) => void) =>
      new Counter({
        name,
        help,
        labelNames,
        registers: [registry],
        collect() {
          this.reset();
          read((labels, value) => this.inc(labels, value));
        },
      }),
    gauge: (name: string, help: string, labelNames: string[], read: (add: Add) => void) =>
      new Gauge({
        name,
        help,
        labelNames,
        registers: [registry],
        collect() {
          this.reset();
          read((labels, value) => this.set(labels, value));
        },
      }),
    histogram: (name: string, help: string, read: () => (readonly [model: string, distribution: Distribution])[]) =>
      histogram(registry, name, help, read),
  };
}

/** Tells prom-client one value with its labels. */
type Add = (labels: Record<string, string>, value: number) => void;

/** A histogram whose numbers are kept elsewhere: prom-client's own can only be filled one observation at a time. */
function histogram(
  registry: Registry,
  name: string,
  help: string,
  read: () => (readonly [model: string, distribution: Distribution])[],
): void {
  const metric = {
    name,
    help,
    type: "histogram",
    aggregator: "sum",
    reset() {},
    get: () => ({
      name,
      help,
      type: "histogram",
      aggregator: "sum",
      values: read().flatMap(([model, { bounds, counts, sum, count }]) => {
        let below = 0;
        const buckets = bounds.map((le, place) => ({
          metricName: `${name}_bucket`,
          labels: { le, model } as Record<string, string | number>,
          value: (below += counts[place]!),
        }));
        return [
          ...buckets,
          { metricName: `${name}_bucket`, labels: { le: "+Inf", model }, value: count },
          { metricName: `${name}_sum`, labels: { model }, value: sum },
          { metricName: `${name}_count`, labels: { model }, value: count },
        ];
      }),
    }),
  };
  registry.registerMetric(metric as unknown as Parameters<Registry["registerMetric"]>[0]);
}
