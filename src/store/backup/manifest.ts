// What a backup holds, in order:
//
//   backup.json            format, version of Lineshaft, time: read first, so that a later format is refused by name
//   tables/NAME/000001     rows of a table in Postgres' COPY text format, cut into parts
//   home/NAME/000001       files of the home
//   spools/NAME/000001     files of the spools
//   manifest.json          every stream above with its length, parts and SHA-256, and what is left out
//   manifest.sha256        SHA-256 of manifest.json
import { createHash, type Hash } from "node:crypto";
import { z } from "zod";
import { limits } from "../limits.ts";
import { readContainer, type ContainerOptions } from "./container.ts";
import { BackupError } from "./errors.ts";
import { isEntryName, type Entry } from "./tar.ts";

const format = 1;

const labelSchema = z.object({
  format: z.number(),
  /** The version of Lineshaft that made it. */
  lineshaft: z.string(),
  /** ISO 8601; the time before the snapshot. */
  created_at: z.iso.datetime(),
});
export type Label = Omit<z.infer<typeof labelSchema>, "format">;

const count = z.number().int().nonnegative();
const streamSchema = z.object({ name: z.string(), bytes: count, parts: count, sha256: z.string().length(64) });
const tableSchema = z.object({ name: z.string(), columns: z.array(z.string()), rows: count });
/** The last value that a sequence gave, as text because it may have 64 bits; null where it gave none, or the role may not see it. */
const sequenceSchema = z.object({ table: z.string(), column: z.string(), last: z.string().nullable() });

const manifestSchema = labelSchema.extend({
  migrations: z.array(z.object({ number: count, name: z.string(), checksum: z.string() })),
  tables: z.array(tableSchema),
  sequences: z.array(sequenceSchema),
  streams: z.array(streamSchema),
  /** What is not in it, one sentence each. */
  left_out: z.array(z.string()),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** One part of a stream. `stream` is the name up to the number of the part, for example `tables/calls`. */
export interface Part {
  stream: string;
  bytes: Buffer;
}

/** What is known of the content when its last stream has been read. */
export type Facts = Pick<Manifest, "migrations" | "tables" | "sequences" | "left_out">;

/** A stream of bytes with the name that it has in the backup. */
export interface Stream {
  name: string;
  bytes: AsyncIterable<Uint8Array>;
}

/** The entries of a backup made of these streams. `facts` is asked after the last of them. */
export async function* entriesOf(
  label: Label,
  streams: AsyncIterable<Stream>,
  facts: () => Facts,
): AsyncGenerator<Entry, void> {
  const labelled = { format, ...label };
  yield { name: "backup.json", body: json(labelled) };
  const written: Manifest["streams"] = [];
  for await (const { name, bytes } of streams) {
    const tally = new Tally(name);
    for await (const body of cut(bytes)) yield { name: tally.next(body), body };
    written.push(tally.total());
  }
  const manifest: Manifest = { ...labelled, ...facts(), streams: written };
  const body = json(manifest);
  yield { name: "manifest.json", body };
  yield { name: "manifest.sha256", body: Buffer.from(`${digest(body)}\n`) };
}

/**
 * Reads a whole backup and hands each part on as it comes; answers its manifest. When this throws BackupError, the parts that were handed
 * on must not be kept: a change at the end of a file is found at its end.
 */
export async function readBackup(
  path: string,
  options: ContainerOptions & { onPart?: (part: Part) => Promise<void> },
): Promise<Manifest> {
  const tallies: Tally[] = [];
  let last: Buffer | undefined;
  let label: z.infer<typeof labelSchema> | undefined;
  let sum: string | undefined;
  for await (const { name, body } of readContainer(path, options)) {
    if (sum !== undefined) throw damaged("Something follows its manifest.");
    if (last !== undefined) {
      if (name !== "manifest.sha256") throw damaged("Something follows its manifest.");
      sum = body.toString("latin1").trimEnd();
    } else if (label === undefined) {
      if (name !== "backup.json") throw new BackupError("backup_unknown", { why: `It begins with ${name}.` });
      label = labelOf(body);
    } else if (name === "manifest.json") last = body;
    else {
      const stream = name.slice(0, Math.max(0, name.lastIndexOf("/")));
      let tally = tallies.at(-1);
      if (tally?.name !== stream) {
        if (tallies.some((other) => other.name === stream)) throw damaged(`The parts of ${stream} are not together.`);
        tallies.push((tally = new Tally(stream)));
      }
      if (tally.next(body) !== name) throw damaged(`${name} is not in its place.`);
      await options.onPart?.({ stream, bytes: body });
    }
  }
  if (last === undefined || sum === undefined) throw damaged("It has no manifest.");
  if (digest(last) !== sum) throw damaged("Its manifest was changed.");
  const manifest = manifestOf(last);
  compare(manifest, tallies);
  return manifest;
}

/** The bytes of a stream in parts. A part ends behind a newline where it has one, so that parts of tables mostly end with a whole row. */
async function* cut(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let pending: Uint8Array[] = [];
  let length = 0;
  for await (const piece of bytes) {
    pending.push(piece);
    length += piece.length;
    while (length >= limits.backupPartBytes) {
      const all = Buffer.concat(pending);
      const end = all.lastIndexOf(0x0a, limits.backupPartBytes - 1) + 1 || limits.backupPartBytes;
      yield all.subarray(0, end);
      pending = [all.subarray(end)];
      length = all.length - end;
    }
  }
  if (length > 0) yield Buffer.concat(pending);
}

/** Names the parts of one stream and counts what is in them. */
class Tally {
  readonly name: string;
  readonly #hash: Hash = createHash("sha256");
  #bytes = 0;
  #parts = 0;

  constructor(name: string) {
    if (!isEntryName(`${name}/000001`)) throw damaged(`It has a stream with the name '${name}'.`);
    this.name = name;
  }

  next(body: Buffer): string {
    this.#hash.update(body);
    this.#bytes += body.length;
    this.#parts += 1;
    return `${this.name}/${String(this.#parts).padStart(6, "0")}`;
  }

  total(): Manifest["streams"][number] {
    return { name: this.name, bytes: this.#bytes, parts: this.#parts, sha256: this.#hash.digest("hex") };
  }
}

function compare(manifest: Manifest, tallies: Tally[]): void {
  // A stream without bytes has no parts, so it is in the manifest only.
  const listed = manifest.streams.filter(({ parts }) => parts > 0);
  const found = tallies.map((tally) => tally.total());
  for (const [index, stream] of listed.entries())
    if (JSON.stringify(found[index]) !== JSON.stringify(stream))
      throw damaged(`${stream.name} is not what its manifest says.`);
  if (found.length !== listed.length) throw damaged("It holds more than its manifest says.");
  const streams = new Set(manifest.streams.map(({ name }) => name));
  for (const { name } of manifest.tables)
    if (!streams.has(`tables/${name}`)) throw damaged(`The table ${name} is missing.`);
}

function labelOf(body: Buffer): z.infer<typeof labelSchema> {
  const label = parsed(labelSchema, body, "backup.json");
  if (label.format === format) return label;
  throw new BackupError("backup_unknown", {
    why: `Its format is ${label.format} (made by Lineshaft ${label.lineshaft}); this version reads format ${format}.`,
    hint: `Use Lineshaft ${label.lineshaft} or newer.`,
  });
}

const manifestOf = (body: Buffer): Manifest => parsed(manifestSchema, body, "manifest.json");

function parsed<Schema extends z.ZodType>(schema: Schema, body: Buffer, name: string): z.infer<Schema> {
  try {
    return schema.parse(JSON.parse(body.toString("utf8")));
  } catch (error) {
    throw new BackupError("backup_damaged", { why: `${name} is not what Lineshaft writes.`, cause: error });
  }
}

const json = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const damaged = (why: string) => new BackupError("backup_damaged", { why });
