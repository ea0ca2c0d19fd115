// The requests of a batch of Anthropic's API: `{"requests": [{"custom_id", "params"}]}`. The body may hold tens of thousands of them, so
// its text is cut into requests and each is read alone, with turns of the event loop between. Pure.
import { nextTurn } from "../../bounded/index.ts";
import { isStorable } from "../../store/index.ts";
import { limits } from "../limits.ts";
import { invalidAt, invalidJson } from "../refusals.ts";
import { readLine, type BatchLine } from "./lines.ts";

/** Characters of requests that are read between two turns of the event loop: some milliseconds. */
const perTurn = 256 * 1024;

/** The requests in their order, numbered from 1. Throws a 400 by the place of the first one at fault. */
export async function messageRequests(text: string): Promise<BatchLine[]> {
  const lines: BatchLine[] = [];
  const seen = new Set<string>();
  let read = 0;
  for (const request of requestsIn(text)) {
    if (lines.length === limits.batchLinesMost)
      throw invalidAt("requests", `has more than ${limits.batchLinesMost} requests.`);
    lines.push(lineOf(request, lines.length, seen));
    read += request.length;
    if (read < perTurn) continue;
    read = 0;
    await nextTurn();
  }
  if (lines.length === 0) throw invalidAt("requests", "must have a request.");
  return lines;
}

function lineOf(text: string, place: number, seen: Set<string>): BatchLine {
  const at = `requests[${place}]`;
  if (text.length > limits.batchLineBytes)
    throw invalidAt(at, `has more than ${limits.batchLineBytes / 1024 / 1024} MiB.`);
  const request = readLine(text);
  if (!request) throw invalidAt(at, "is not a JSON object, or is nested too deeply.");
  const { custom_id: customId, params, ...unknown } = request.object;
  const [name] = Object.keys(unknown);
  if (name !== undefined) throw invalidAt(`${at}.${name.slice(0, 100)}`, "is not known here: leave it out.");
  if (typeof customId !== "string" || customId === "" || customId.length > limits.customIdCharacters)
    throw invalidAt(`${at}.custom_id`, `must be a text of 1 to ${limits.customIdCharacters} characters.`);
  if (!isStorable(customId)) throw invalidAt(`${at}.custom_id`, "has characters that no text may have.");
  if (seen.has(customId)) throw invalidAt(`${at}.custom_id`, "stands in an earlier request.");
  if (params === null || typeof params !== "object" || Array.isArray(params))
    throw invalidAt(`${at}.params`, "must be a JSON object: the body of a message.");
  seen.add(customId);
  return { number: place + 1, customId, body: request.written("params") };
}

/**
 * The texts of the elements of `requests`, the one member of a JSON object. What stands between them is checked here; the elements are for
 * their reader to check. Throws a 400.
 */
export function* requestsIn(text: string): Generator<string, void> {
  let at = expect(text, skipSpace(text, 0), "{");
  const keyEnd = afterValue(text, at);
  const key = text.slice(at, keyEnd);
  if (key !== '"requests"') {
    if (!key.startsWith('"')) throw invalidAt("requests", "is missing.");
    throw invalidAt(key.slice(1, 101).replace(/"$/, ""), "is not known here: leave it out.");
  }
  at = expect(text, skipSpace(text, keyEnd), ":");
  if (text[at] !== "[") throw invalidAt("requests", "must be a list.");
  at = expect(text, at, "[");
  while (text[at] !== "]") {
    const end = afterValue(text, at);
    yield text.slice(at, end);
    at = skipSpace(text, end);
    if (text[at] === ",") {
      at = skipSpace(text, at + 1);
      if (text[at] === "]") throw invalidJson();
    } else if (text[at] !== "]") throw invalidJson();
  }
  at = skipSpace(text, at + 1);
  if (text[at] === ",") {
    const from = skipSpace(text, at + 1);
    throw invalidAt(text.slice(from + 1, afterValue(text, from) - 1).slice(0, 100), "is not known here: leave it out.");
  }
  if (expect(text, at, "}") !== text.length) throw invalidJson();
}

/** The place after a character and the space that follows it. */
function expect(text: string, at: number, character: string): number {
  if (text[at] !== character) throw invalidJson();
  return skipSpace(text, at + 1);
}

function skipSpace(text: string, at: number): number {
  while (text[at] === " " || text[at] === "\n" || text[at] === "\r" || text[at] === "\t") at++;
  return at;
}

/** The place after the value that begins here: after its closing character, or before what ends a number or a word. */
function afterValue(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    // Longer ones are refused by their reader, so their end is not looked for. The texts in them are passed over at once.
    if (at - from > limits.batchLineBytes) return at;
    const character = text[at]!;
    if (character === '"') {
      at = endOfText(text, at);
      if (depth === 0) return at + 1;
    } else if (character === "{" || character === "[") depth++;
    else if (character === "}" || character === "]") {
      if (depth === 0) return endOfWord(at, from);
      if (--depth === 0) return at + 1;
    } else if (depth === 0 && (character === "," || character === ":" || skipSpace(text, at) > at))
      return endOfWord(at, from);
  }
  throw invalidJson();
}

/** A value has at least one character. */
function endOfWord(at: number, from: number): number {
  if (at === from) throw invalidJson();
  return at;
}

/** The place of the quote that ends a text. */
function endOfText(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let escapes = 0;
    while (text[at - 1 - escapes] === "\\") escapes++;
    if (escapes % 2 === 0) return at;
  }
  throw invalidJson();
}
