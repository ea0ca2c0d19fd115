// Timing for benches: many samples of one operation in CPU-like wall time on one thread, median and 99th percentile.

export interface Sample {
  medianUs: number;
  p99Us: number;
  samples: number;
}

/** Runs `act` `rounds` times after a few unmeasured ones; `act` gets the round's number. */
export function measure(rounds: number, act: (round: number) => void): Sample {
  const warm = Math.min(50, rounds);
  for (let round = 0; round < warm; round++) act(round);
  const times = new Float64Array(rounds);
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint();
    act(warm + round);
    times[round] = Number(process.hrtime.bigint() - start) / 1000;
  }
  return sampleOf(times);
}

export function sampleOf(timesUs: Float64Array): Sample {
  const sorted = timesUs.toSorted();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
  return { medianUs: at(0.5), p99Us: at(0.99), samples: sorted.length };
}

export interface Row {
  what: string;
  median?: string;
  p99?: string;
  note: string;
}

/** Prints aligned columns. */
export function table(rows: Row[]): string {
  const lines = [
    ["", "median", "p99", ""],
    ...rows.map((row) => [row.what, row.median ?? "", row.p99 ?? "", row.note]),
  ];
  const widths = [0, 1, 2].map((column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines
    .map(([what, median, p99, note]) =>
      `${what!.padEnd(widths[0]!)}  ${median!.padStart(widths[1]!)}  ${p99!.padStart(widths[2]!)}  ${note}`.trimEnd(),
    )
    .join("\n");
}

export function time(us: number): string {
  return us >= 1000 ? `${(us / 1000).toFixed(2)} ms` : `${us.toFixed(us < 10 ? 1 : 0)} us`;
}
