// A pattern search in log space, for parameters that only a simulation can judge.

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
