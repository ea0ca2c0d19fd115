// Compressed bodies (`content-encoding`). A body is decompressed once all of it has come, so a slow sender holds no decompressor, and few are
// decompressed at once: a decompressor's window lies outside the heap and is counted nowhere. The output is given on piece by piece, so
// that a reader that has had enough stops it: a body that decompresses to gigabytes costs no more than one that is too long.
//
// Bytes after the end of the coding are refused. Node's decompressors drop them without a word, so a body of two zstd frames would be read
// as its first frame alone.
import type { Transform } from "node:stream";
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from "node:zlib";
import { LineshaftError } from "../../errors/index.ts";
import { bodyEncoded } from "../../gateway/refusals.ts";
import { limits } from "../limits.ts";

const options = { chunkSize: limits.decompressedPieceBytes };
/** RFC 9659 bounds the window of this content coding. */
const zstdWindow = { [constants.ZSTD_d_windowLogMax]: limits.zstdWindowLog };
/** `bytesWritten`: compressed bytes that it has read. */
type Decoder = Transform & { readonly bytesWritten: number };
const decoders: Readonly<Record<string, () => Decoder>> = {
  gzip: () => createGunzip(options),
  "x-gzip": () => createGunzip(options),
  deflate: () => createInflate(options),
  br: () => createBrotliDecompress(options),
  zstd: () => createZstdDecompress({ ...options, params: zstdWindow }),
};

export type Decompress = (bytes: Buffer, take: (piece: Buffer) => void) => Promise<void>;

/**
 * How a body of this `content-encoding` is decompressed; undefined for one that is plain. The function gives each piece to `take` and ends
 * with what `take` throws, or with 400 where the bytes are damaged or others follow. Throws 415 for an encoding that is not known, and for several at once.
 */
export function decompressorOf(encoding: string | undefined): Decompress | undefined {
  const name = encoding?.trim().toLowerCase() ?? "";
  if (name === "" || name === "identity") return undefined;
  const decoder = Object.hasOwn(decoders, name) ? decoders[name] : undefined;
  if (!decoder) throw bodyEncoded(encoding!);
  return (bytes, take) => inTurn(() => decompress(decoder(), name, bytes, take));
}

async function decompress(decoder: Decoder, name: string, bytes: Buffer, take: (piece: Buffer) => void) {
  decoder.end(bytes);
  const pieces = decoder[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    for (;;) {
      const { done, value } = await pieces.next().catch((cause: unknown) => {
        throw damaged(name, cause);
      });
      if (done) break;
      take(value);
    }
    if (decoder.bytesWritten < bytes.length) throw followed(name);
  } finally {
    decoder.destroy();
  }
}

const damaged = (name: string, cause: unknown): LineshaftError =>
  new LineshaftError({
    code: "invalid_value",
    message: `The body is not whole ${name}, which its content-encoding names.`,
    hint: "Send it uncompressed, without content-encoding.",
    cause,
  });

const followed = (name: string): LineshaftError =>
  new LineshaftError({
    code: "invalid_value",
    message: `Bytes follow the end of the ${name} in the body.`,
    hint: name === "zstd" ? "Send one frame." : "Send what the compressor wrote, and no more.",
  });

let running = 0;
const waiting: (() => void)[] = [];

/** Runs at most `limits.decompressedAtOnce` at a time, in the order in which they came. */
async function inTurn(run: () => Promise<void>): Promise<void> {
  if (running === limits.decompressedAtOnce) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  try {
    await run();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running--;
  }
}
