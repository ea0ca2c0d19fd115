// Which format a trace has, by the beginning of the file: by its first line, or by the keys that appear where one object has many lines.
import { headBytes } from "../limits.ts";
import { SimulatorError } from "../types.ts";
import { nestsTooDeep, readBytes, shown } from "./files.ts";
import type { TraceFormat } from "./options.ts";

/** How each format is recognised, in words for an error. */
const signs: Record<TraceFormat, string> = {
  mooncake: "JSON lines with timestamp and hash_ids",
  "agent-sessions": "JSON with block_size and requests: kv-cache-tester's files, raw or compact",
  dynamo: "JSON lines with event",
  azure: "CSV that begins with TIMESTAMP",
  servegen: "CSV that begins with client,window_start_s",
  calls: 'JSON lines with "schema": "lineshaft.call.v1"',
};

/** Format of a trace file, by its beginning. Throws SimulatorError `trace_unknown` saying what was found. */
export async function detectFormat(path: string): Promise<TraceFormat> {
  const head = await headOfFile(path);
  const format = formatOf(head);
  if (format !== undefined) return format;
  throw new SimulatorError(
    "trace_unknown",
    `Cannot tell what kind of trace ${path} is: it is ${found(head)}.`,
    `Known formats: ${Object.entries(signs)
      .map(([name, sign]) => `${name} (${sign})`)
      .join("; ")}. --format names one.`,
  );
}

async function headOfFile(path: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of readBytes(path)) {
    parts.push(chunk);
    bytes += chunk.length;
    if (bytes >= headBytes) break;
  }
  return Buffer.concat(parts).subarray(0, headBytes);
}

function formatOf(head: Buffer): TraceFormat | undefined {
  const text = head.toString("utf8").trimStart();
  if (/^TIMESTAMP\s*,/i.test(text)) return "azure";
  if (text.startsWith("client,window_start_s")) return "servegen";
  if (!/^[[{]/.test(text)) return undefined;
  const has = keysOf(text);
  if (has("requests") && has("block_size")) return "agent-sessions";
  if (has("hash_ids") && has("timestamp")) return "mooncake";
  if (firstLine(text).includes('"lineshaft.call.v1"')) return "calls";
  return has("event") ? "dynamo" : undefined;
}

/** Whether the first object has a key: of its first line where that is whole, else anywhere in the head. */
function keysOf(text: string): (key: string) => boolean {
  const first = firstLine(text);
  try {
    const value: unknown = nestsTooDeep(first) ? undefined : JSON.parse(first);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return (key) => key in value;
  } catch {
    // The first object has many lines, or is longer than the head.
  }
  return (key) => new RegExp(`"${key}"\\s*:`).test(text);
}

const firstLine = (text: string): string => text.split("\n", 1)[0]!;

/** What a file holds, in words. */
function found(head: Buffer): string {
  if (head.length === 0) return "empty";
  const names: [string, string][] = [
    ["PK\u0003\u0004", "a zip archive"],
    ["PAR1", "a Parquet file"],
    ["\u0028\u00b5\u002f\u00fd", "packed by zstd"],
    ["BZh", "packed by bzip2"],
    ["\u00fd7zXZ", "packed by xz"],
  ];
  const begins = head.toString("latin1", 0, 8);
  const name = names.find(([magic]) => begins.startsWith(magic));
  if (name !== undefined) return `${name[1]}, which must be unpacked first`;
  if (head.subarray(0, 4096).includes(0)) return "binary data";
  const text = head.toString("utf8").trimStart();
  const what = /^[[{]/.test(text) ? "JSON without the keys of a known format" : "text of no known format";
  return `${what}, and begins with: ${shown(text)}`;
}
