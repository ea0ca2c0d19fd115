// Aligned columns for bench output.

export function heading(text: string): void {
  console.log(`\n${text}\n${"-".repeat(Math.min(120, text.length))}`);
}

/** Prints rows under a header; numbers to the right, text to the left. */
export function printTable(header: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const cells = [header, ...rows].map((row) => row.map(String));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  for (const [i, row] of cells.entries()) {
    const source = i === 0 ? undefined : rows[i - 1];
    const line = row.map((cell, column) =>
      source !== undefined && typeof source[column] === "string" && !/^[-+\d.]/.test(cell)
        ? cell.padEnd(widths[column]!)
        : cell.padStart(widths[column]!),
    );
    console.log(line.join("  ").trimEnd());
  }
}

export const percent = (share: number, digits = 1): string => `${(share * 100).toFixed(digits)} %`;
