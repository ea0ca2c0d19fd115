// Writes an answer's bytes to a file. They go to a file beside it first, so that a path never holds half of an answer.
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Client } from "./client.ts";
import type { Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { bytes } from "./format.ts";

/** Answers the number of bytes. Throws a CliError where the file cannot be written. */
export async function saved(context: Context, client: Client, from: string, path: string): Promise<number> {
  const answer = await client.download(from);
  const beside = `${path}.part`;
  const line = context.terminal.progress();
  let length = 0;
  const counted = new Transform({
    transform(piece: Uint8Array, _encoding, done) {
      length += piece.length;
      line.show(`${path}: ${bytes(length)}`);
      done(null, piece);
    },
  });
  try {
    await pipeline(Readable.from(answer), counted, createWriteStream(beside), { signal: context.signal });
    await rename(beside, path);
    return length;
  } catch (error) {
    await rm(beside, { force: true });
    if (context.signal.aborted) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CliError({
      message: `${path} was not written.`,
      why: code === "ENOENT" ? "There is no such folder." : message,
      hint: "Give a path in a folder that there is and that you may write to.",
      cause: error,
    });
  } finally {
    line.done();
  }
}
