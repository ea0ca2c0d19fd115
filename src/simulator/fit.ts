// Two small fitters: non-negative least squares on relative errors (for profiles, whose terms are linear in what was
// measured), and a pattern search in log space (for parameters that only a simulation can judge).

/** One measured row: `features[j]` times the unknown j summed should be `value`. */
export interface LinearRow {
  features: readonly number[];
  value: number;
}

/**
 * Unknowns >= 0 that minimise the sum of squared relative errors. Cyclic coordinate descent: exact in the limit, free of
 * matrix libraries, and quick for the handful of unknowns that a profile has.
 */
export function nonNegativeFit(rows: readonly LinearRow[], unknowns: number, sweeps = 20_000): number[] {
  const x = Array.from({ length: unknowns }, () => 0);
  const scaled = rows
    .filter((row) => row.value > 0)
    .map((row) => ({ features: row.features.map((feature) => feature / row.value), residual: 1 }));
  const norms = x.map((_, j) => scaled.reduce((sum, row) => sum + row.features[j]! ** 2, 0));
  for (let sweep = 0; sweep < sweeps; sweep++) {
    let moved = 0;
    for (let j = 0; j < unknowns; j++) {
      if (norms[j] === 0) continue;
      let gradient = 0;
      for (const row of scaled) gradient += row.features[j]! * row.residual;
      const next = Math.max(0, x[j]! + gradient / norms[j]!);
      const step = next - x[j]!;
      if (step === 0) continue;
      for (const row of scaled) row.residual -= row.features[j]! * step;
      moved = Math.max(moved, Math.abs(step) * Math.sqrt(norms[j]!));
      x[j] = next;
    }
    if (moved < 1e-12) break;
  }
  return x;
}

/** Mean absolute relative error of a fit. */
export function fitError(rows: readonly LinearRow[], x: readonly number[]): number {
  const errors = rows
    .filter((row) => row.value > 0)
    .map((row) => Math.abs(row.features.reduce((sum, feature, j) => sum + feature * x[j]!, 0) - row.value) / row.value);
  return errors.reduce((a, b) => a + b, 0) / Math.max(1, errors.length);
}

/** A parameter of a pattern search: positive, searched multiplicatively between its bounds. */
export interface SearchParameter {
  name: string;
  start: number;
  low: number;
  high: number;
}

/**
 * Minimises `loss` by moving one parameter at a time by a factor that shrinks when nothing helps. Deterministic.
 * @returns the best values by name, the loss there, and how often `loss` was asked
 */
export function patternSearch(
  parameters: readonly SearchParameter[],
  loss: (values: Record<string, number>) => number,
  options: { factor?: number; until?: number; evaluations?: number } = {},
): { values: Record<string, number>; loss: number; evaluations: number } {
  const { until = 1.01, evaluations = 400 } = options;
  let factor = options.factor ?? 1.5;
  let values: Record<string, number> = Object.fromEntries(parameters.map((p) => [p.name, p.start]));
  let best = loss(values);
  let asked = 1;
  while (factor > until && asked < evaluations) {
    let improved = false;
    for (const parameter of parameters) {
      for (const scale of [factor, 1 / factor]) {
        const moved = Math.min(parameter.high, Math.max(parameter.low, values[parameter.name]! * scale));
        if (moved === values[parameter.name]) continue;
        const candidate = { ...values, [parameter.name]: moved };
        const candidateLoss = loss(candidate);
        asked++;
        if (candidateLoss >= best) continue;
        best = candidateLoss;
        values = candidate;
        improved = true;
        break;
      }
    }
    if (!improved) factor = Math.sqrt(factor);
  }
  return { values, loss: best, evaluations: asked };
}
