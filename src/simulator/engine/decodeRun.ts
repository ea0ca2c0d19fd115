// A batch that only decodes changes nothing but lengths: step j of a run over n sequences holding K tokens costs
// c + r * (K + j * n). So k steps take an arithmetic series, and the step under way at a given time is the root of a
// quadratic. This is why a call of a thousand tokens costs the simulator two events and not a thousand.

/** Time of `steps` decode steps: `firstMs` is the first step's time, each later one is `growthMs` longer. */
export function runMs(steps: number, firstMs: number, growthMs: number): number {
  return steps * firstMs + (growthMs * steps * (steps - 1)) / 2;
}

/**
 * Steps that are complete or under way `elapsedMs` after the run began: the smallest k with runMs(k) >= elapsedMs,
 * at least 1 (a step that has begun is finished before anything changes).
 */
export function stepsBy(elapsedMs: number, firstMs: number, growthMs: number): number {
  if (elapsedMs <= firstMs) return 1;
  let k: number;
  if (growthMs > 0) {
    const b = firstMs - growthMs / 2;
    k = Math.ceil((-b + Math.sqrt(b * b + 2 * growthMs * elapsedMs)) / growthMs);
  } else {
    k = Math.ceil(elapsedMs / firstMs);
  }
  // The root is exact up to rounding: settle it on the right side.
  while (k > 1 && runMs(k - 1, firstMs, growthMs) >= elapsedMs) k--;
  while (runMs(k, firstMs, growthMs) < elapsedMs) k++;
  return k;
}
