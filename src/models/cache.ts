// The cache of weights: each file has a receipt beside it (`NAME.receipt.json`) with its size, digest and time of change. A start compares
// size and time, which costs nothing; only when the time differs is the file read and hashed again. So a truncated, overwritten or half
// copied file is detected without reading gigabytes at every start.
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { z } from "zod";
import { sha256OfFile } from "./digest.ts";

const receiptSchema = z.object({ bytes: z.number(), sha256: z.string(), modifiedMs: z.number() });
type Receipt = z.infer<typeof receiptSchema>;

const receiptPath = (path: string): string => `${path}.receipt.json`;

/**
 * The receipt of an intact cached file; undefined when the file is absent or has changed (then it is deleted). `sha256` is the catalogue's,
 * null when it pins none.
 */
export async function verifyCached(path: string, sha256: string | null): Promise<Receipt | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) return undefined;
  const receipt = await readReceipt(path);
  const expected = sha256 ?? receipt?.sha256;
  if (receipt && receipt.sha256 === expected && receipt.bytes === found.size && receipt.modifiedMs === found.mtimeMs)
    return receipt;
  // The file was copied by hand, touched or damaged; only its digest can tell.
  if (expected === undefined || (await sha256OfFile(path)) !== expected) {
    await Promise.all([rm(path, { force: true }), rm(receiptPath(path), { force: true })]);
    return undefined;
  }
  return writeReceipt(path, expected);
}

/** Renames a complete download to its final name, which makes it a cached file. */
export async function admitToCache(partPath: string, path: string, sha256: string): Promise<Receipt> {
  await rm(receiptPath(path), { force: true });
  await rename(partPath, path);
  return writeReceipt(path, sha256);
}

async function writeReceipt(path: string, sha256: string): Promise<Receipt> {
  const { size, mtimeMs } = await stat(path);
  const receipt: Receipt = { bytes: size, sha256, modifiedMs: mtimeMs };
  await writeFile(receiptPath(path), `${JSON.stringify(receipt)}\n`).catch(() => {});
  return receipt;
}

async function readReceipt(path: string): Promise<Receipt | undefined> {
  try {
    return receiptSchema.parse(JSON.parse(await readFile(receiptPath(path), "utf8")));
  } catch {
    return undefined;
  }
}
