// The tar archive inside a backup, in the one form that Lineshaft writes: plain files with short names, each at most
// `limits.backupPartBytes` long, all with the same time. `tar` reads it. The reader builds the header that the writer would have written
// and compares it byte for byte, so that every flipped bit is found, and links, folders, long names and sizes beyond the bound do not exist
// for it. General readers of tar hold a hostile extended header of any size in memory.
import { BackupError } from "./errors.ts";
import { limits } from "../limits.ts";

/** One file of the archive. */
export interface Entry {
  /** Parts of letters, digits, `_`, `-` and `.`, separated by `/`; at most 100 characters, and no part begins with a point. */
  name: string;
  body: Buffer;
}

const blockBytes = 512;
const zeros = Buffer.alloc(blockBytes);
const nameForm = /^[A-Za-z0-9_-][A-Za-z0-9_.-]*(\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$/;

/** Whether an archive may have a file of this name. */
export const isEntryName = (name: string): boolean => name.length <= 100 && nameForm.test(name);

/** The bytes of an archive. `timeS` is the time of every file, in seconds since 1970. Throws for a name or a size that it cannot have. */
export async function* packTar(entries: AsyncIterable<Entry>, timeS: number): AsyncGenerator<Buffer> {
  for await (const { name, body } of entries) {
    yield headerOf(name, body.length, timeS);
    if (body.length > 0) yield body;
    const over = body.length % blockBytes;
    if (over > 0) yield zeros.subarray(over);
  }
  yield zeros;
  yield zeros;
}

/** The files of an archive, in order. Throws BackupError `backup_damaged` for whatever `packTar` would not have written. */
export async function* unpackTar(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Entry> {
  const reader = new Reader(bytes);
  let timeS: number | undefined;
  for (;;) {
    const block = await reader.take(blockBytes);
    if (block.equals(zeros)) break;
    const name = block.toString("latin1", 0, 100).replace(/\0+$/, "");
    const size = octal(block, 124, 12);
    timeS ??= octal(block, 136, 12);
    if (!isEntryName(name) || !(size <= limits.backupPartBytes) || !block.equals(headerOf(name, size, timeS)))
      throw damaged("The header of a part was changed.");
    const body = await reader.take(size);
    const over = size % blockBytes;
    if (over > 0 && !(await reader.take(blockBytes - over)).equals(zeros.subarray(over)))
      throw damaged("The space behind a part was changed.");
    yield { name, body };
  }
  if (!(await reader.take(blockBytes)).equals(zeros) || (await reader.hasMore()))
    throw damaged("Something follows the end of the archive.");
}

/** The header of POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange Format") for a plain file that its owner alone may read. */
function headerOf(name: string, size: number, timeS: number): Buffer {
  if (!isEntryName(name)) throw new Error(`An archive cannot have a file named ${name}.`);
  if (size > limits.backupPartBytes) throw new Error(`${name} is larger than ${limits.backupPartBytes} bytes.`);
  const block = Buffer.alloc(blockBytes);
  const octalField = (value: number, at: number, length: number) =>
    block.write(value.toString(8).padStart(length - 1, "0"), at, "latin1");
  block.write(name, 0, "latin1");
  octalField(0o600, 100, 8);
  octalField(0, 108, 8);
  octalField(0, 116, 8);
  octalField(size, 124, 12);
  octalField(timeS, 136, 12);
  block.fill(" ", 148, 156);
  block.write("0", 156, "latin1");
  block.write("ustar\u000000", 257, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function octal(block: Buffer, at: number, length: number): number {
  const text = block.toString("latin1", at, at + length - 1);
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
}

const damaged = (why: string) => new BackupError("backup_damaged", { why });

/** Takes exact numbers of bytes from a stream of pieces of any size. */
class Reader {
  readonly #source: AsyncIterator<Uint8Array>;
  #piece: Buffer = Buffer.alloc(0);

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#source = bytes[Symbol.asyncIterator]();
  }

  async take(count: number): Promise<Buffer> {
    const taken: Buffer[] = [];
    let missing = count;
    while (missing > 0) {
      if (!(await this.hasMore())) throw damaged("It ends too early.");
      const part = this.#piece.subarray(0, missing);
      this.#piece = this.#piece.subarray(part.length);
      missing -= part.length;
      taken.push(part);
    }
    return taken.length === 1 ? taken[0]! : Buffer.concat(taken);
  }

  async hasMore(): Promise<boolean> {
    while (this.#piece.length === 0) {
      const { done, value } = await this.#source.next();
      if (done) return false;
      this.#piece = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    return true;
  }
}
