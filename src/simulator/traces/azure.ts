// Azure's LLM inference traces: CSV with TIMESTAMP, ContextTokens, GeneratedTokens. They hold arrivals and lengths only,
// not which prompts share a prefix, so that every block is different and no cache can hit.
import { SimulatorError, type Workload } from "../types.ts";
import { WorkloadBuilder } from "./builder.ts";
import { readLines, shown, tokenCount } from "./files.ts";

/** Reads an Azure trace. `blockTokens` is only the granularity of memory accounting. */
export async function readAzure(path: string, limit = Infinity, blockTokens = 512): Promise<Workload> {
  const builder = new WorkloadBuilder("azure", blockTokens);
  let columns: Record<"TIMESTAMP" | "ContextTokens" | "GeneratedTokens", number> | undefined;
  let zeroMs: number | undefined;
  let lineNumber = 0;
  for await (const line of readLines(path, limit + 1)) {
    lineNumber++;
    const cells = line.split(",").map((cell) => cell.trim());
    if (columns === undefined) {
      columns = header(cells, path);
      continue;
    }
    const atMs = Date.parse(`${cells[columns.TIMESTAMP]!.replace(" ", "T").replace(/(\.\d{3})\d+/, "$1")}Z`);
    const promptTokens = Number(cells[columns.ContextTokens]);
    const outputTokens = Number(cells[columns.GeneratedTokens]);
    const lengths = [promptTokens, outputTokens];
    if (!Number.isFinite(atMs) || !lengths.every((count) => tokenCount.safeParse(count).success)) {
      throw new SimulatorError(
        "trace_unreadable",
        `Line ${lineNumber} of ${path} is not a row of an Azure trace: ${shown(line)}`,
        "Rows are TIMESTAMP,ContextTokens,GeneratedTokens.",
      );
    }
    zeroMs ??= atMs;
    const count = Math.floor(promptTokens / blockTokens);
    const first = builder.freshRange(count);
    builder.add({
      program: String(lineNumber),
      promptTokens,
      outputTokens,
      blocks: Int32Array.from({ length: count }, (_, i) => first + i),
      delayMs: atMs - zeroMs,
    });
  }
  builder.notes.push("Azure rows say nothing of shared prefixes: every prompt is computed whole.");
  return builder.build();
}

function header(cells: readonly string[], path: string) {
  const at = (name: string) => {
    const column = cells.findIndex((cell) => cell.toLowerCase() === name.toLowerCase());
    if (column >= 0) return column;
    throw new SimulatorError(
      "trace_unreadable",
      `${path} has no column ${name}; its first line is: ${shown(cells.join(", "))}`,
      "An Azure trace begins with TIMESTAMP,ContextTokens,GeneratedTokens.",
    );
  };
  return {
    TIMESTAMP: at("TIMESTAMP"),
    ContextTokens: at("ContextTokens"),
    GeneratedTokens: at("GeneratedTokens"),
  };
}
