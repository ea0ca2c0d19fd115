// llm-d's two published tables as data, and what the tables' throughput column can mean, by arithmetic on the tables alone.
import { readFileSync } from "node:fs";
import { resolveTrace } from "../../src/simulator/traces/files.ts";
import { heading, printTable } from "./print.ts";

export type File = "37pct" | "73pct";
export type Class = "precise" | "estimated" | "random" | "load";

export interface PublishedRow {
  rate: number;
  policy: Class;
  outputPerS: number;
  ttftP90S: number;
  ttftMeanS: number;
  itlMeanS: number;
}

/** The rows of a table. */
export function published(file: File): PublishedRow[] {
  const [, ...lines] = readFileSync(resolveTrace(`published/llmd_${file}_capacity.csv`), "utf8")
    .trim()
    .split("\n");
  return lines
    .map((line) => line.split(","))
    .filter(([rate]) => rate !== "all")
    .map(([rate, policy, output, , p90, mean, itl]) => ({
      rate: Number(rate),
      policy: policy!.startsWith("default") ? "estimated" : (policy!.split("-")[0] as Class),
      outputPerS: Number(output),
      ttftP90S: Number(p90),
      ttftMeanS: Number(mean),
      itlMeanS: Number(itl),
    }));
}

/** Which rule the throughput column follows, by arithmetic on the tables alone: no simulation enters here. */
export function throughputRules(files: Record<File, PublishedRow[]>): void {
  heading("What the output column of the tables can mean (precise rows; their own columns only)");
  for (const file of ["37pct", "73pct"] as const) {
    const stages = llmdWorkloadStages(file);
    const rows = files[file].filter((row) => row.policy === "precise").toSorted((a, b) => a.rate - b.rate);
    const rules: Record<string, (row: PublishedRow, s: { rate: number; seconds: number }) => number> = {
      "rate x 1,000": (_row, s) => s.rate * 1000,
      "tokens / (stage + one call at ITL)": (row, s) =>
        (s.rate * s.seconds * 1000) / (s.seconds + row.ttftMeanS + 1000 * row.itlMeanS),
      "tokens / (stage + 2 calls at ITL)": (row, s) =>
        (s.rate * s.seconds * 1000) / (s.seconds + row.ttftMeanS + 2000 * row.itlMeanS),
    };
    printTable(
      ["file", "rule", "median published / rule", "smallest", "largest"],
      Object.entries(rules).map(([name, rule]) => {
        const ratios = rows.map((row, i) => row.outputPerS / rule(row, stages[i]!)).toSorted((a, b) => a - b);
        return [
          file,
          name,
          ratios[ratios.length >> 1]!.toFixed(3),
          ratios[0]!.toFixed(3),
          ratios[ratios.length - 1]!.toFixed(3),
        ];
      }),
    );
    const implied = rows.map((row, i) => {
      const s = stages[i]!;
      const drainS = (s.rate * s.seconds * 1000) / row.outputPerS - s.seconds;
      return [row.rate, drainS.toFixed(1), drainS.toFixed(1), (row.itlMeanS * 1000).toFixed(0)];
    });
    console.log(
      "Time after the last arrival that the column implies for 1,000 tokens a call, as ms a token, beside the ITL column:",
    );
    printTable(["rate", "drain s", "ms/token", "ITL ms"], implied);
  }
}

function llmdWorkloadStages(file: File): { rate: number; seconds: number }[] {
  const text =
    file === "37pct"
      ? "3x210 4x180 5x120 6x120 8x90 10x70 12x60 15x50 20x50"
      : "3x20 10x20 15x20 20x38 22x34 25x30 30x25 35x21 40x38 43x36 46x33 49x30 52x29 55x27 57x26 60x25";
  return text.split(" ").map((rung) => {
    const [rate, seconds] = rung.split("x").map(Number);
    return { rate: rate!, seconds: seconds! };
  });
}
