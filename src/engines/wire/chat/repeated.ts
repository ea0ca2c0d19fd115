// Chunks of a stream that differ from an earlier one in nothing but their text, which nearly all chunks of a chat do. Such a chunk is read
// without its JSON being parsed: an earlier chunk's JSON is kept as what stands before and after its text, and a chunk that begins and ends
// with the same says the same, if between them are only characters that JSON leaves unescaped in a string. A parser has come to the same
// state after the same beginning, a string of such characters is a whole value, and the same end follows.
//
// Where the text stands is not guessed. A text that occurs nowhere else is put in its place, and the whole is parsed and read as every chunk
// is. Only where exactly this text comes out as the chunk's, and nothing beside it, the frame is kept.
import type { CompletionShape } from "../../asked.ts";
import type { EngineChunk, WireObject } from "../../types.ts";
import { chunkOf } from "./deltas.ts";

type Json = Record<string, unknown>;

/** What is put in the place of a text to find out what it means. */
const probe = "lineshaft-probe";
/** Frames that are looked for in one stream: an engine whose chunks differ in more, such as a count, has none that lasts. */
const triesMost = 8;
/** Texts that are longer are counted while they are parsed. */
const mostCharacters = 64 * 1024;

const nameOfText: Record<CompletionShape, string> = { chat: '"content"', completions: '"text"' };

/** The frame of one stream's chunks. */
export class RepeatedChunks {
  readonly #shape: CompletionShape;
  #before = "";
  #after = "";
  /** Number of the answer that the text is part of; undefined while no frame is known. */
  #index: number | undefined;
  #tries = 0;

  constructor(shape: CompletionShape) {
    this.#shape = shape;
  }

  /** The chunk that the text is the JSON of; undefined where it has to be parsed. */
  read(text: string): EngineChunk | undefined {
    const index = this.#index;
    if (index === undefined) return undefined;
    const from = this.#before.length;
    const to = text.length - this.#after.length;
    if (to < from || text.length > mostCharacters) return undefined;
    if (!text.startsWith(this.#before) || !text.endsWith(this.#after) || !isPlain(text, from, to)) return undefined;
    return {
      deltas: [{ index, text: text.slice(from, to) }],
      characters: to - from,
      bytes: text.length,
      reportsUsage: false,
      wire: new UnparsedWire(this.#shape, text),
    };
  }

  /** Learns from a chunk that was parsed, and was passed on as it came: of what it says beside its text nothing has to be read. */
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
    const before = text.slice(0, from);
    const after = text.slice(to);
    const read = chunkOf(this.#shape, probed(before, after));
    const [delta] = read.deltas;
    // A choice may hold a second text, which is counted and not read.
    if (!saysTextAlone(read) || delta!.text !== probe || read.characters !== probe.length) return;
    this.#before = before;
    this.#after = after;
    this.#index = delta!.index;
  }
}

/** What JSON with the probe in the place of the text says; nothing where it is none. */
function probed(before: string, after: string): Json {
  try {
    return JSON.parse(before + probe + after) as Json;
  } catch {
    return {};
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
