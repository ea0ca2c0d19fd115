// The bytes of a spool file, version 1. All numbers are little-endian, and everything starts at a multiple of 8 bytes.
//
//   header   "LNSPOOL" and a zero, u32 version, u32 length, u32 CRC-32 of version, length and JSON, u32 zero, JSON
//   record   u32 CRC-32 of the rest of the record, u32 length of the payload (at least 1), u64 number (1, 2, 3, ...), payload
//
// The rest of the file is zeros. A record's CRC starts from the CRC of the file's header, so that the remains of another spool in
// recycled blocks of the disk never look like records of this one. The chain of a record is the CRC of all records' heads up to it, from 0
// on: two files that agree on the chain of a number have the same records up to that number.
import { crc32 } from "node:zlib";
import { LineshaftError } from "../../errors/index.ts";
import { limits } from "./limits.ts";
import type { SpoolHeader } from "./types.ts";

const magic = Buffer.from("LNSPOOL\0");
const version = 1;
/** Bytes before the JSON of a header. */
const headerHeadBytes = 24;
/** Bytes before the payload of a record. */
const recordHeadBytes = 16;

const aligned = (bytes: number): number => Math.ceil(bytes / 8) * 8;

/** Bytes that a record with so long a payload takes in a file. */
export const recordBytes = (payloadBytes: number): number => aligned(recordHeadBytes + payloadBytes);

/**
 * `spool_damaged`: the file is no spool, or its header is broken. `spool_version`: another release wrote it. `spool_empty`: its writer died
 * while it made the file, so that nothing was ever in it.
 */
export class SpoolError extends LineshaftError {
  constructor(code: "spool_damaged" | "spool_version" | "spool_empty", message: string, hint?: string) {
    super({ code, message, hint });
  }
}

/** The header as bytes, and the value that the CRC of every record starts from. */
export function encodeHeader(header: SpoolHeader): { bytes: Buffer; seed: number } {
  const json = Buffer.from(JSON.stringify(header));
  const bytes = Buffer.alloc(aligned(headerHeadBytes + json.length));
  magic.copy(bytes);
  bytes.writeUInt32LE(version, 8);
  bytes.writeUInt32LE(json.length, 12);
  json.copy(bytes, headerHeadBytes);
  const seed = headerSeed(bytes, json.length);
  bytes.writeUInt32LE(seed, 16);
  return { bytes, seed };
}

/** Reads the header from the beginning of a file. Throws SpoolError. `bytes`: what it takes in the file. */
export function decodeHeader(start: Buffer, path: string): { header: SpoolHeader; bytes: number; seed: number } {
  if (start.every((byte) => byte === 0)) throw new SpoolError("spool_empty", `${path} was never begun.`);
  if (start.length < headerHeadBytes || !start.subarray(0, 8).equals(magic))
    throw new SpoolError("spool_damaged", `${path} is no spool file, or its beginning is damaged.`);
  const found = start.readUInt32LE(8);
  if (found !== version)
    throw new SpoolError(
      "spool_version",
      `${path} has version ${found} of the spool's format, and this release reads version ${version}.`,
      "Start the release that wrote it: it posts what is left. Then start this one.",
    );
  const length = start.readUInt32LE(12);
  const seed = start.readUInt32LE(16);
  if (headerHeadBytes + length > start.length || headerSeed(start, length) !== seed)
    throw new SpoolError("spool_damaged", `The header of ${path} is damaged.`);
  const header = JSON.parse(start.toString("utf8", headerHeadBytes, headerHeadBytes + length)) as SpoolHeader;
  return { header, bytes: aligned(headerHeadBytes + length), seed };
}

const headerSeed = (bytes: Buffer, length: number): number =>
  crc32(bytes.subarray(headerHeadBytes, headerHeadBytes + length), crc32(bytes.subarray(8, 16)));

/** Writes a record into `into` at `offset`; answers where the next one begins. Padding is zeroed. */
export function encodeRecord(into: Buffer, offset: number, payload: Uint8Array, number: number, seed: number): number {
  const end = offset + recordHeadBytes + payload.length;
  const next = offset + recordBytes(payload.length);
  into.writeUInt32LE(payload.length, offset + 4);
  into.writeUInt32LE(number >>> 0, offset + 8);
  into.writeUInt32LE(Math.floor(number / 2 ** 32), offset + 12);
  into.set(payload, offset + recordHeadBytes);
  into.fill(0, end, next);
  into.writeUInt32LE(crc32(into.subarray(offset + 4, end), seed), offset);
  return next;
}

/** What stands at a place of a file. `more`: a record may begin there, and so many bytes are needed to say. */
type Found =
  | { kind: "record"; number: number; payload: Buffer; next: number }
  | { kind: "more"; bytes: number }
  | { kind: "none" };

/** Looks for a whole record at `offset` of the bytes up to `end`. A number outside `from` and `to` is no record. */
export function recordAt(bytes: Buffer, offset: number, end: number, seed: number, from: number, to: number): Found {
  if (offset + recordHeadBytes > end) return { kind: "more", bytes: recordHeadBytes };
  const length = bytes.readUInt32LE(offset + 4);
  if (length === 0 || length > limits.recordBytesMost) return { kind: "none" };
  const number = bytes.readUInt32LE(offset + 8) + bytes.readUInt32LE(offset + 12) * 2 ** 32;
  if (number < from || number > to) return { kind: "none" };
  const size = recordBytes(length);
  if (offset + size > end) return { kind: "more", bytes: size };
  const stop = offset + recordHeadBytes + length;
  if (crc32(bytes.subarray(offset + 4, stop), seed) !== bytes.readUInt32LE(offset)) return { kind: "none" };
  return { kind: "record", number, payload: bytes.subarray(offset + recordHeadBytes, stop), next: offset + size };
}

/** The chain after a record whose head stands at `offset`. */
export const chainAfter = (chain: number, bytes: Buffer, offset: number): number =>
  crc32(bytes.subarray(offset, offset + recordHeadBytes), chain);
