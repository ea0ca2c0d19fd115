// SHA-256 of files and streams, and writing a stream to a file while it is hashed.
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";

export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  await hashInto(hash, path, signal);
  return hash.digest("hex");
}

/** Feeds a file's bytes to a hash: the existing part of a download that is continued. */
export async function hashInto(hash: Hash, path: string, signal?: AbortSignal): Promise<void> {
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024, signal }))
    hash.update(chunk as Buffer);
}

/** Appends a stream to a file (or replaces the file) and to a hash. Resolves when the bytes are on the disk. */
export async function writeHashed(
  path: string,
  flags: "a" | "w",
  chunks: AsyncIterable<Uint8Array>,
  hash: Hash,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const file = await open(path, flags, 0o644);
  try {
    for await (const chunk of chunks) {
      await file.write(chunk);
      hash.update(chunk);
      onBytes(chunk.byteLength);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}
