// Reads a spool file, also while another process appends to it. Records come in batches out of one buffer, so that memory is bounded
// by the largest record. A length in the file is believed only up to that.
//
// Reading stops at the first bytes that are not a record. `ending` says afterwards what they mean, of a file that no process writes any
// more: zeros to the end are its whole end, other bytes are a torn write if no good record follows, and damage if one does.
import { open, type FileHandle } from "node:fs/promises";
import { chainAfter, decodeHeader, recordAt, recordBytes } from "./format.ts";
import { limits } from "./limits.ts";
import type { SpoolEnding, SpoolHeader, SpoolRecord } from "./types.ts";

const bufferBytes = recordBytes(limits.recordBytesMost);

/** Where a reader goes on: the place of a record's end, and the chain there. */
interface ReadPlace {
  number: number;
  offset: number;
  chain: number;
}

/** A file that is open for reading. Dispose of it after use. */
export class SpoolReader implements AsyncDisposable {
  readonly header: SpoolHeader;
  readonly path: string;
  readonly #file: FileHandle;
  readonly #seed: number;
  #buffer = Buffer.allocUnsafe(limits.readBytes);
  /** Bytes in the buffer, and where in the file they stand. */
  #filled = 0;
  #offset: number;
  #number = 0;
  #chain = 0;

  private constructor(path: string, file: FileHandle, start: ReturnType<typeof decodeHeader>) {
    this.path = path;
    this.header = start.header;
    this.#file = file;
    this.#seed = start.seed;
    this.#offset = start.bytes;
  }

  /** Throws SpoolError `spool_damaged` or `spool_version`, or the error of the system call. */
  static async open(path: string): Promise<SpoolReader> {
    const file = await open(path, "r");
    try {
      const start = Buffer.alloc(limits.headerBytesMost);
      const { bytesRead } = await file.read(start, 0, start.length, 0);
      return new SpoolReader(path, file, decodeHeader(start.subarray(0, bytesRead), path));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Where the last record that was read ends. */
  get place(): ReadPlace {
    return { number: this.#number, offset: this.#offset, chain: this.#chain };
  }

  /** Goes on from a place that this file had before. */
  seek({ number, offset, chain }: ReadPlace): void {
    this.#number = number;
    this.#offset = offset;
    this.#chain = chain;
    this.#filled = 0;
  }

  /** The next records up to a number; none when no whole record follows now. Payloads are valid until the next call. */
  async read(upTo = Infinity): Promise<SpoolRecord[]> {
    if (this.#number >= upTo) return [];
    let need = limits.readBytes;
    for (;;) {
      if (need > this.#buffer.length) this.#buffer = Buffer.allocUnsafe(need);
      this.#filled = await this.#fill(this.#buffer, this.#offset);
      const records: SpoolRecord[] = [];
      let at = 0;
      while (this.#number < upTo) {
        const expected = this.#number + 1;
        const found = recordAt(this.#buffer, at, this.#filled, this.#seed, expected, expected);
        if (found.kind === "more" && records.length === 0 && this.#filled === this.#buffer.length && need < found.bytes)
          need = found.bytes;
        if (found.kind !== "record") break;
        this.#chain = chainAfter(this.#chain, this.#buffer, at);
        this.#number = found.number;
        this.#offset += found.next - at;
        records.push({ number: found.number, payload: found.payload, chain: this.#chain });
        at = found.next;
      }
      if (records.length > 0 || need <= this.#buffer.length) return records;
    }
  }

  /** How the file ends, after `read` has answered none. `spool_damaged` alone says that records are missing that once were there. */
  async ending(): Promise<SpoolEnding> {
    const end = (await this.#file.stat()).size;
    const left = Math.max(0, end - this.#offset);
    // Most files end soon after their last record, so that the window is small.
    const window = Buffer.allocUnsafe(Math.min(bufferBytes + limits.readBytes, left));
    let ending: SpoolEnding = "whole";
    let budget = limits.scanChecksumFactor * Math.max(bufferBytes, left);
    for (let offset = this.#offset; ;) {
      const filled = await this.#fill(window.subarray(0, Math.max(0, end - offset)), offset);
      if (filled === 0) return ending;
      // The last part of a full window is looked at again as the beginning of the next.
      const last = offset + filled >= end || filled < window.length ? filled : filled - bufferBytes;
      for (let at = 0; at < last; at += 8) {
        if (isZero(window, at, filled)) continue;
        ending = "torn";
        const found = recordAt(window, at, filled, this.#seed, this.#number + 1, this.#number + limits.scanNumbersMost);
        if (found.kind === "record") return "damaged";
        if (at + 8 <= filled) budget -= costOf(window, at, filled, this.#number);
        if (budget < 0) return "damaged";
      }
      offset += Math.ceil(last / 8) * 8;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  async #fill(buffer: Buffer, offset: number): Promise<number> {
    let filled = 0;
    while (filled < buffer.length) {
      const { bytesRead } = await this.#file.read(buffer, filled, buffer.length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }
}

function isZero(bytes: Buffer, at: number, end: number): boolean {
  if (at + 8 <= end) return bytes.readUInt32LE(at) === 0 && bytes.readUInt32LE(at + 4) === 0;
  return bytes.subarray(at, end).every((byte) => byte === 0);
}

/** What looking at a place has cost: the length of a record that its head promises. */
function costOf(bytes: Buffer, at: number, end: number, number: number): number {
  const length = bytes.readUInt32LE(at + 4);
  if (at + 16 > end || length > limits.recordBytesMost) return 0;
  const claimed = bytes.readUInt32LE(at + 8) + bytes.readUInt32LE(at + 12) * 2 ** 32;
  return claimed > number && claimed <= number + limits.scanNumbersMost ? length : 0;
}
