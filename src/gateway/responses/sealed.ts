// Items as they lie in the database: compressed, then sealed with the installation's key, because they are prompts and answers. What an
// item belongs to is authenticated with it, so a row that was moved to another project cannot be opened.
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { nextTurn } from "../../bounded/index.ts";
import type { Seal } from "../../governance/index.ts";
import { limits } from "../limits.ts";

type Json = Record<string, unknown>;

export const sealed = (seal: Seal, text: string, of: readonly unknown[]): Buffer =>
  seal.seal(zstdCompressSync(Buffer.from(text, "utf8")), of);

/** Throws where it was sealed for something else, or was changed. */
export const opened = (seal: Seal, bytes: Buffer, of: readonly unknown[]): Json =>
  JSON.parse(
    zstdDecompressSync(seal.openBytes(bytes, of), { maxOutputLength: limits.chainBytes }).toString("utf8"),
  ) as Json;

/** Opens rows one after the other, with a turn of the event loop after each piece of work. */
export async function inTurns<Row extends { item: Buffer }, Item>(
  rows: readonly Row[],
  open: (row: Row) => Item,
): Promise<Item[]> {
  const items: Item[] = [];
  let sinceMs = performance.now();
  for (const row of rows) {
    items.push(open(row));
    if (performance.now() - sinceMs < limits.openedTurnMs) continue;
    await nextTurn();
    sinceMs = performance.now();
  }
  return items;
}
