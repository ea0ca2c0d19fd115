// Where trace files are found, and how their lines and JSON documents are read. Traces are other people's data under their own licences,
// so they live outside the repository: in the folder that LINESHAFT_TRACES names, by default `../shared/traces` beside it.
//
// A file may be anything. Everything is read in pieces, within the bounds of limits.ts, and what is wrong with a file becomes one error
// of one or two sentences.
import { createReadStream, existsSync, openSync, closeSync, readSync, readdirSync, statSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { z } from "zod";
import { documentBytesMost, documentDepthMost, shownCharacters, tokensPerCallMost, traceBytesMost } from "../limits.ts";
import { SimulatorError } from "../types.ts";

const repositoryRoot = resolve(import.meta.dirname, "../../..");

/** Bytes that are unpacked at a time: by less, most of the time goes into handing pieces over. */
const unpackedBytes = 256 * 1024;

/** What some programs write before UTF-8. */
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);

/** The folder of traces; it need not exist. */
function tracesFolder(): string {
  return resolve(process.env["LINESHAFT_TRACES"] ?? join(repositoryRoot, "../shared/traces"));
}

/** Path of a file inside the traces folder, or undefined when this machine does not have it. */
export function findTrace(relative: string): string | undefined {
  const path = join(tracesFolder(), relative);
  return existsSync(path) ? path : undefined;
}

/**
 * Resolves what a user typed: a path as it stands, else a file inside the traces folder (with or without `.gz`).
 * @throws SimulatorError `trace_missing`, `trace_is_folder`, `trace_unreadable` (a device, a pipe)
 */
export function resolveTrace(typed: string): string {
  const candidates = [resolve(typed)];
  if (!isAbsolute(typed)) candidates.push(join(tracesFolder(), typed));
  for (const candidate of candidates) {
    for (const path of [candidate, `${candidate}.gz`]) if (existsSync(path)) return checkedFile(path);
  }
  throw new SimulatorError(
    "trace_missing",
    `No trace file at ${candidates.join(" or ")}.`,
    "Give the path of a trace, or set LINESHAFT_TRACES to the folder that holds them.",
  );
}

function checkedFile(path: string): string {
  const found = statSync(path);
  if (found.isFile()) return path;
  if (found.isDirectory()) {
    throw new SimulatorError(
      "trace_is_folder",
      `${path} is a folder with ${readdirSync(path).length} entries, and a trace is one file.`,
      "Name a file in it. Sessions of kv-cache-tester can be joined: cat FOLDER/*.json > sessions.json",
    );
  }
  throw unreadable(path, "it is no regular file");
}

/** The error for a file, or a part of one, that cannot be read. `where` is for example "line 3". */
export function unreadable(path: string, why: string, where?: string): SimulatorError {
  return new SimulatorError(
    "trace_unreadable",
    `Cannot read ${where === undefined ? path : `${where} of ${path}`}: ${why}.`,
    "docs/simulator.md lists the formats; --format names one.",
  );
}

/** Tokens of a prompt or an output in a trace. */
export const tokenCount = z.number().int().nonnegative().max(tokensPerCallMost);

/** A list of block ids. Checked at once, so that a list of a million wrong values is one fault. */
export const wholeNumbers = z.custom<number[]>(
  (value) => Array.isArray(value) && value.every((id) => Number.isSafeInteger(id) && (id as number) >= 0),
  "it must be a list of whole numbers",
);

/** The first fault that a schema found, with the number of the others, and never what the file holds. */
export function faultText({ issues }: z.ZodError): string {
  const [first] = issues;
  if (first === undefined) return "it has a fault";
  const at = first.path.map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`)).join("");
  const more = issues.length > 1 ? `, and ${issues.length - 1} more faults` : "";
  return `${at === "" ? "" : `${at.replace(/^\./, "")}: `}${first.message.slice(0, 200)}${more}`;
}

/** The beginning of a text for an error: one line, printable characters. */
export function shown(text: string): string {
  // eslint-disable-next-line no-control-regex
  const line = text.slice(0, shownCharacters).replace(/[\u0000-\u001f\u007f-\u009f\ufffd]+/g, " ");
  return text.length > shownCharacters ? `${line} (cut)` : line;
}

/** Bytes of a file in pieces, unpacked where it is gzip, whatever its name. Throws SimulatorError `trace_unreadable`, `trace_too_large`. */
export async function* readBytes(path: string): AsyncGenerator<Buffer> {
  const packed = isGzip(path);
  const file = createReadStream(path);
  // The callback only takes the error, which the loop below throws.
  const source = packed ? pipeline(file, createGunzip({ chunkSize: unpackedBytes }), () => {}) : file;
  let bytes = 0;
  try {
    for await (const piece of source as AsyncIterable<Buffer>) {
      const chunk = bytes === 0 && piece.subarray(0, 3).equals(byteOrderMark) ? piece.subarray(3) : piece;
      bytes += piece.length;
      if (bytes > traceBytesMost) throw tooLarge(path, `it has more than ${mebibytes(traceBytesMost)} of text`);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof SimulatorError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const isZlib = packed && (code === "Z_BUF_ERROR" || code === "Z_DATA_ERROR");
    throw unreadable(path, isZlib ? `its gzip data is damaged or cut (${message})` : message);
  } finally {
    file.destroy();
  }
}

/** The error for a trace that would take more memory than there may be. */
export function tooLarge(path: string, why: string): SimulatorError {
  return new SimulatorError("trace_too_large", `${path} is too large: ${why}.`, "Read a part of it with --limit.");
}

const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;

/** The error for a line or document that is longer than `documentBytesMost`. */
export function tooLong(path: string, where: string): SimulatorError {
  return unreadable(path, `it is longer than ${mebibytes(documentBytesMost)}`, where);
}

/** The error for a line or document that nests deeper than `documentDepthMost`. */
export function tooDeep(path: string, where: string): SimulatorError {
  return unreadable(path, `it nests deeper than ${documentDepthMost} levels`, where);
}

function isGzip(path: string): boolean {
  const magic = Buffer.alloc(2);
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    return readSync(file, magic) === 2 && magic[0] === 0x1f && magic[1] === 0x8b;
  } catch (error) {
    throw unreadable(path, (error as Error).message);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Non-empty lines of a text file, unpacked when it is gzip. Stops reading after `limit` lines. Throws SimulatorError. */
export async function* readLines(path: string, limit = Infinity): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let held = 0;
  let number = 0;
  let count = 0;
  const take = (rest: Buffer): string => {
    const line = (parts.length === 0 ? rest : Buffer.concat([...parts, rest])).toString("utf8");
    parts = [];
    held = 0;
    number++;
    return line.endsWith("\r") ? line.slice(0, -1) : line;
  };
  if (limit <= 0) return;
  for await (const chunk of readBytes(path)) {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      const line = take(chunk.subarray(from, at));
      from = at + 1;
      if (line.length === 0) continue;
      yield line;
      if (++count >= limit) return;
    }
    held += chunk.length - from;
    if (held > documentBytesMost) throw tooLong(path, `line ${number + 1}`);
    if (from < chunk.length) parts.push(chunk.subarray(from));
  }
  if (held > 0) yield take(Buffer.alloc(0));
}

/** Texts shorter than this are parsed whatever they nest: it takes no time. */
const nestingLookedAtFrom = 16_384;

/** Whether a JSON text nests deeper than `documentDepthMost`. Parsing millions of brackets would block the process for seconds. */
export function nestsTooDeep(text: string): boolean {
  if (text.length < nestingLookedAtFrom) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) at = endOfString(text, at);
    else if (code === 0x5b || code === 0x7b) {
      if (++depth > documentDepthMost) return true;
    } else if (code === 0x5d || code === 0x7d) depth--;
  }
  return false;
}

/** Position of the quote that ends the string which begins at `from`: the next one with an even number of backslashes before it. */
function endOfString(text: string, from: number): number {
  let at = text.indexOf('"', from + 1);
  while (at >= 0) {
    let first = at;
    while (first - 1 > from && text.charCodeAt(first - 1) === 0x5c) first--;
    if ((at - first) % 2 === 0) return at;
    at = text.indexOf('"', at + 1);
  }
  return text.length;
}

/** Parses one JSON line, naming file and line when it is not JSON. */
export function parseLine(line: string, path: string, number: number): unknown {
  if (nestsTooDeep(line)) throw tooDeep(path, `line ${number}`);
  try {
    return JSON.parse(line);
  } catch {
    throw new SimulatorError(
      "trace_unreadable",
      `Line ${number} of ${path} is not JSON: ${shown(line)}`,
      "Check that the file is complete and in the format that --format names.",
    );
  }
}
