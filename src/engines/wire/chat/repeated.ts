// Chunks of a stream that differ from an earlier one in nothing but their text, which nearly all chunks of a chat do. Such a chunk is read
// without its JSON being parsed: an earlier chunk's JSON is kept as what stands before and after its text, and a chunk that begins and ends
// with the same says the same, if between them are only characters that JSON leaves unescaped in a string. A parser has come to the same
// state after the same beginning, a string of such characters is a whole value, and the same end follows.
//
// Some engines count in every chunk, in an object of its own behind the text (progress.ts). Of such a chunk this object alone is parsed, and
// what is passed on is the frame without it, which is written once.
//
// Where text and count stand is not guessed. Values that occur nowhere else are put in their places, and the whole is parsed and read as every
// chunk is. Only where exactly this text and this count come out, and nothing beside them, the frame is kept.
import type { CompletionShape } from "../../asked.ts";
import type { EngineChunk, WireObject } from "../../types.ts";
import type { ProgressField } from "../progress.ts";
import type { RepeatedChunk } from "../types.ts";
import { object } from "../values.ts";
import { chunkOf } from "./deltas.ts";

type Json = Record<string, unknown>;

/** What is put in the place of a text to find out what it means, and in that of a count. */
const probe = "lineshaft-probe";
const countProbe = `{"${probe}":1}`;
/** Frames that are looked for in one stream: an engine whose chunks differ in more, such as a count, has none that lasts. */
const triesMost = 8;
/** Texts that are longer are counted while they are parsed. */
const mostCharacters = 64 * 1024;

const nameOfText: Record<CompletionShape, string> = { chat: '"content"', completions: '"text"' };

/** The frame of one stream's chunks. `counted`: where they hold a count that their reader is not given. */
export class RepeatedChunks {
  readonly #shape: CompletionShape;
  readonly #field: ProgressField["field"] | undefined;
  /** What stands before the text, between it and the count, and at the end. Without a count the second is empty. */
  #before = "";
  #between = "";
  #after = "";
  /** The same two parts of what is passed on, where that has no count. */
  #shownBefore = "";
  #shownAfter = "";
  /** Number of the answer that the text is part of; undefined while no frame is known. */
  #index: number | undefined;
  #tries = 0;

  constructor(shape: CompletionShape, field?: ProgressField["field"]) {
    this.#shape = shape;
    this.#field = field;
  }

  /** The chunk that the text is the JSON of, and its count; undefined where it has to be parsed. */
  read(text: string): RepeatedChunk | undefined {
    const index = this.#index;
    if (index === undefined) return undefined;
    const from = this.#before.length;
    const end = text.length - this.#after.length;
    if (end < from || text.length > mostCharacters) return undefined;
    if (!text.startsWith(this.#before) || !text.endsWith(this.#after)) return undefined;
    if (this.#field === undefined) {
      if (!isPlain(text, from, end)) return undefined;
      const said = text.slice(from, end);
      return { chunk: this.#chunk(index, said, text.length, text), count: undefined };
    }
    // A text of plain characters ends with the first quote.
    const to = text.indexOf('"', from);
    const countAt = to + this.#between.length;
    if (to < 0 || countAt > end || !text.startsWith(this.#between, to) || !isPlain(text, from, to)) return undefined;
    const count = parsedObject(text.slice(countAt, end));
    if (!count) return undefined;
    const said = text.slice(from, to);
    return { chunk: this.#chunk(index, said, text.length, this.#shownBefore + said + this.#shownAfter), count };
  }

  #chunk(index: number, text: string, bytes: number, shown: string): EngineChunk {
    return {
      deltas: [{ index, text }],
      characters: text.length,
      bytes,
      reportsUsage: false,
      wire: new UnparsedWire(this.#shape, shown),
    };
  }

  /**
   * Learns from a chunk that was parsed, and of which nothing was changed but that its count was taken out: of what it says beside its text
   * and its count nothing has to be read.
   */
  learn(text: string, chunk: EngineChunk): void {
    if (this.#tries === triesMost || text.length > mostCharacters || !saysTextAlone(chunk)) return;
    this.#tries++;
    if (text.includes(probe)) return;
    const name = nameOfText[this.#shape];
    const named = text.indexOf(name);
    // White space may stand around the colon.
    const from = named < 0 ? 0 : text.indexOf('"', named + name.length) + 1;
    if (from === 0) return;
    const to = text.indexOf('"', from);
    if (to < 0 || !isPlain(text, from, to)) return;
    const counted = this.#field === undefined ? undefined : placeOfObject(text, this.#field, to);
    if (this.#field !== undefined && !counted) return;
    const before = text.slice(0, from);
    const between = counted ? text.slice(to, counted.from) : "";
    const after = text.slice(counted ? counted.to : to);
    const data = parsedObject(before + probe + between + (counted ? countProbe : "") + after);
    if (!data) return;
    if (this.#field !== undefined) {
      if (JSON.stringify(data[this.#field]) !== countProbe) return;
      delete data[this.#field];
    }
    const read = chunkOf(this.#shape, data);
    const [delta] = read.deltas;
    // A choice may hold a second text, which is counted and not read.
    if (!saysTextAlone(read) || delta!.text !== probe || read.characters !== probe.length) return;
    if (counted) {
      const [shownBefore, shownAfter, ...more] = JSON.stringify(data).split(probe) as [string, string];
      if (more.length > 0) return;
      this.#shownBefore = shownBefore;
      this.#shownAfter = shownAfter;
    }
    this.#before = before;
    this.#between = between;
    this.#after = after;
    this.#index = delta!.index;
  }
}

/** Closing braces that are looked at for the end of a count. */
const bracesMost = 8;

/** Where the object of the first member of this name behind a place lies; undefined where there is none, or it holds too many others. */
function placeOfObject(text: string, name: string, behind: number): { from: number; to: number } | undefined {
  const named = text.indexOf(`"${name}"`, behind);
  const from = named < 0 ? -1 : text.indexOf("{", named);
  if (from < 0) return undefined;
  // No beginning of an object is an object itself.
  for (let to = text.indexOf("}", from) + 1, braces = 0; to > 0 && braces < bracesMost; braces++) {
    if (parsedObject(text.slice(from, to))) return { from, to };
    to = text.indexOf("}", to) + 1;
  }
  return undefined;
}

/** The object that a text is the JSON of; undefined where it is none. */
function parsedObject(text: string): Json | undefined {
  try {
    return object(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Whether a chunk adds text to one answer, and says nothing else. */
function saysTextAlone({ deltas, reportsUsage }: EngineChunk): boolean {
  if (deltas.length !== 1 || reportsUsage) return false;
  const [delta] = deltas;
  return Object.keys(delta!).length === 2 && delta!.text !== undefined;
}

/** Whether the characters are those of a string that JSON writes as they are. */
function isPlain(text: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x20 || code === quote || code === backslash) return false;
  }
  return true;
}

const quote = 0x22;
const backslash = 0x5c;

/** An event whose JSON is parsed where something is asked of it: where it is written anew for a client of another API, say. */
class UnparsedWire implements WireObject {
  readonly shape: CompletionShape;
  readonly text: string;
  #data: Json | undefined;

  constructor(shape: CompletionShape, text: string) {
    this.shape = shape;
    this.text = text;
  }

  get data(): Json {
    return (this.#data ??= JSON.parse(this.text) as Json);
  }
}
