// The file of a backup: a tar archive, compressed with zstd (RFC 8878), closed by a seal and, with a passphrase, encrypted in the age
// format (age-encryption.org/v1: scrypt, then ChaCha20-Poly1305 over chunks of 64 KiB). `age -d FILE | zstd -d | tar -x` opens it without
// Lineshaft. The seal is a skippable frame of zstd with the SHA-256 of every byte before it: Node's zstd does not notice a frame that lacks
// its end. Everything is streamed: memory is bounded by a few parts, whatever the size.
import { createHash } from "node:crypto";
import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ReadableStream } from "node:stream/web";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { limits } from "../limits.ts";
import { BackupError } from "./errors.ts";
import { packTar, unpackTar, type Entry } from "./tar.ts";

const zstdMagic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const ageMagic = Buffer.from("age-encryption.org/v1\n");

export interface ContainerOptions {
  /** Encrypts the whole file; needed again to read it. */
  passphrase?: string | undefined;
  /** Ends the work; what was begun is removed. */
  signal?: AbortSignal | undefined;
}

type Bytes = AsyncIterable<Uint8Array>;

/**
 * Writes a file that is whole or absent, mode 0600, on the disk when this resolves; answers its size in bytes. Never overwrites: throws
 * BackupError `backup_failed` when the file exists. `timeS` is the time of its entries, in seconds since 1970. What `entries` throws is
 * thrown.
 */
export async function writeContainer(
  path: string,
  entries: AsyncIterable<Entry>,
  { passphrase, signal, timeS }: ContainerOptions & { timeS: number },
): Promise<number> {
  if (existsSync(path))
    throw new BackupError("backup_failed", { why: `${path} exists already.`, hint: "Name another file." });
  const staging = `${path}.part`;
  rmSync(staging, { force: true });
  const file = await open(staging, "wx", 0o600).catch((error: Error) => {
    throw new BackupError("backup_failed", { why: error.message, hint: "Name a file that can be made.", cause: error });
  });
  try {
    await pipeline(
      Readable.from(packTar(entries, timeS), { objectMode: false }),
      createZstdCompress({ params: { [constants.ZSTD_c_checksumFlag]: 1 } }),
      sealed,
      (bytes: Bytes) => (passphrase === undefined ? bytes : encrypted(bytes, passphrase)),
      async (bytes: Bytes) => {
        for await (const piece of bytes) await file.writeFile(piece);
      },
      { ...(signal && { signal }) },
    );
    await file.sync();
    const { size } = await file.stat();
    renameSync(staging, path);
    syncFolder(dirname(path));
    return size;
  } catch (error) {
    rmSync(staging, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/**
 * The entries of such a file, in order, in bounded memory. Throws BackupError: `backup_unknown` for a file that is something else,
 * `backup_locked` without the right passphrase, `backup_damaged` for one that was cut, changed, or expands beyond what a backup does.
 */
export async function* readContainer(path: string, { passphrase, signal }: ContainerOptions): AsyncGenerator<Entry> {
  const isEncrypted = kindOf(path) === "age";
  // Refused before the file is opened as a stream: an error of a stream that nothing reads would end the process.
  if (isEncrypted && passphrase === undefined)
    throw new BackupError("backup_locked", { why: "No passphrase was given." });
  // A stream allocates this much for every read, however little is left.
  const highWaterMark = Math.min(limits.backupReadBytes, statSync(path).size);
  const source = createReadStream(path, { highWaterMark, ...(signal && { signal }) });
  const zstd = createZstdDecompress();
  const read = { bytes: 0 };
  let flow: Promise<void> | undefined;
  try {
    const counted = countedBytes(source, read);
    const compressed = isEncrypted ? await decrypted(counted, passphrase!) : counted;
    flow = pipeline(unsealed(compressed), zstd);
    flow.catch(() => {});
    yield* unpackTar(bounded(zstd, read));
    await flow;
  } catch (error) {
    if (error instanceof BackupError || signal?.aborted) throw error;
    throw new BackupError("backup_damaged", {
      why: `It cannot be read to its end: ${(error as Error).message}.`,
      cause: error,
    });
  } finally {
    source.destroy();
    zstd.destroy();
    await flow?.catch(() => {});
  }
}

/** Throws BackupError `backup_unknown` for a file that begins otherwise. */
function kindOf(path: string): "zstd" | "age" {
  const start = Buffer.alloc(ageMagic.length);
  let length: number;
  try {
    const file = openSync(path, "r");
    try {
      length = readSync(file, start);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw new BackupError("backup_unknown", { why: (error as Error).message, cause: error });
  }
  if (start.subarray(0, length).equals(ageMagic)) return "age";
  if (start.subarray(0, zstdMagic.length).equals(zstdMagic)) return "zstd";
  throw new BackupError("backup_unknown", { why: `${path} does not begin as a backup does.` });
}

/** Loaded only where a passphrase is used. */
const age = () => import("age-encryption");

async function* encrypted(bytes: Bytes, passphrase: string): Bytes {
  const { Encrypter } = await age();
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  yield* (await encrypter.encrypt(
    ReadableStream.from(bytes) as globalThis.ReadableStream<Uint8Array>,
  )) as unknown as Bytes;
}

async function decrypted(bytes: Bytes, passphrase: string): Promise<Bytes> {
  const { Decrypter } = await age();
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase);
  try {
    const stream = ReadableStream.from(bytes) as globalThis.ReadableStream<Uint8Array>;
    return (await decrypter.decrypt(stream)) as unknown as Bytes;
  } catch (error) {
    // The passphrase opens the key in the header; a header that was changed fails in the same way.
    throw new BackupError("backup_locked", {
      why: `Its header does not open: ${(error as Error).message}.`,
      cause: error,
    });
  }
}

/** A skippable frame (RFC 8878, section 3.1.2) with 32 bytes of content. */
const sealStart = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0]);
const sealBytes = sealStart.length + 32;

async function* sealed(bytes: Bytes): Bytes {
  const hash = createHash("sha256");
  for await (const piece of bytes) {
    hash.update(piece);
    yield piece;
  }
  yield Buffer.concat([sealStart, hash.digest()]);
}

/** The bytes before the seal. Throws BackupError at the end when the seal is not theirs. */
async function* unsealed(bytes: Bytes): Bytes {
  const hash = createHash("sha256");
  let held = Buffer.alloc(0);
  for await (const piece of bytes) {
    held = Buffer.concat([held, piece]);
    const free = held.subarray(0, Math.max(0, held.length - sealBytes));
    held = held.subarray(free.length);
    if (free.length === 0) continue;
    hash.update(free);
    yield free;
  }
  if (!held.equals(Buffer.concat([sealStart, hash.digest()])))
    throw new BackupError("backup_damaged", { why: "It was cut or changed: its seal does not fit." });
}

async function* countedBytes(source: Bytes, read: { bytes: number }): Bytes {
  for await (const piece of source) {
    read.bytes += piece.length;
    yield piece;
  }
}

/** Ends a file that expands beyond what rows of text do: it was made to fill memory or time. */
async function* bounded(expanded: Bytes, read: { bytes: number }): Bytes {
  let bytes = 0;
  for await (const piece of expanded) {
    bytes += piece.length;
    if (bytes > limits.backupExpandFreeBytes + limits.backupExpandMost * read.bytes)
      throw new BackupError("backup_damaged", {
        why: `It expands to more than ${limits.backupExpandMost} times its size.`,
      });
    yield piece;
  }
}

function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
