// Non-negative least squares on relative errors, for profiles, whose terms are linear in what was measured.

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
