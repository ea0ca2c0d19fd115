// Timing for benches: many samples of one operation, median and 99th percentile by the wall clock, and the mean CPU time of
// the thread over all of them. On a busy machine the percentile also holds what others took; the CPU time does not. Kernels
// count CPU time in ticks of some milliseconds, so there are samples enough to fill many ticks.

export interface Sample {
  medianUs: number;
  p99Us: number;
  cpuUs: number;
  samples: number;
}

/** Samples go on until they have taken this long together, or there are this many. */
const enoughMs = 400;
const mostSamples = 20_000;

/** Runs `act` at least `rounds` times after a few unmeasured ones; `act` gets the round's number. */
export function measure(rounds: number, act: (round: number) => void): Sample {
  const warm = Math.min(50, rounds);
  for (let round = 0; round < warm; round++) act(round);
  const times: number[] = [];
  const cpuBefore = process.threadCpuUsage();
  const started = performance.now();
  while (times.length < rounds || (times.length < mostSamples && performance.now() - started < enoughMs)) {
    const start = process.hrtime.bigint();
    act(warm + times.length);
    times.push(Number(process.hrtime.bigint() - start) / 1000);
  }
  const cpu = process.threadCpuUsage(cpuBefore);
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
  return { medianUs: at(0.5), p99Us: at(0.99), cpuUs: (cpu.user + cpu.system) / times.length, samples: times.length };
}

export interface Row {
  what: string;
  median?: string;
  p99?: string;
  cpu?: string;
  note: string;
}

/** Prints aligned columns; the note comes last and runs free. */
export function table(rows: Row[]): string {
  const lines = [
    ["", "median", "p99", "mean CPU"],
    ...rows.map((row) => [row.what, row.median ?? "", row.p99 ?? "", row.cpu ?? ""]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines
    .map((line, at) => {
      const cells = line.map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      );
      return [...cells, at === 0 ? "" : rows[at - 1]!.note].join("  ").trimEnd();
    })
    .join("\n");
}

export function time(us: number): string {
  return us >= 1000 ? `${(us / 1000).toFixed(2)} ms` : `${us.toFixed(us < 10 ? 1 : 0)} us`;
}
