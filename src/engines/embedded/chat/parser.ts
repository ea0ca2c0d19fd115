// Reads an answer while it is generated: free text first, tool calls behind it. Three rules keep the markup that a model writes (hermes.ts,
// its template's turn markers) out of the text that clients see, wherever the text is cut:
//
// - A call is returned when it is complete, never in part: a call that the end of the text cuts off is dropped with its frame.
// - Tags are never text. If the text ends in a possible beginning of a tag, that part is held back until more text decides.
// - A tag out of place, or a turn marker written out in characters, ends the answer, as the marker's token would have done.
//
// A call that repeats an earlier one of the same answer is dropped, and ends the answer: small models repeat themselves.
import { callClose, callOpen } from "./hermes.ts";
import { spacedJson } from "./json.ts";

/** A piece of an answer: text, or a whole call. */
export type AnswerEvent =
  | { type: "content"; text: string }
  /** `arguments` is the exact JSON of the call's arguments. */
  | { type: "call"; index: number; id: string; name: string; arguments: string };

/** Reads one answer while it is generated. */
export interface AnswerParser {
  /** Takes more generated text; returns the events that are certain by now. */
  push(text: string): AnswerEvent[];
  /** Ends the text; returns the events that were held back. `cut`: the text was ended by a length or a stop string, not by the model. */
  end(cut: boolean): AnswerEvent[];
  /** The answer has ended; further text of the model is ignored. */
  readonly over: boolean;
}

interface AnswerParserOptions {
  /** Makes the id of the n-th call. */
  idFor: (index: number) => string;
  /** Whether the answer may hold tool calls. */
  tools: boolean;
  /** The answer ends at the first of these in the text. */
  endMarkers: readonly string[];
}

const head = /^\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)/;
const tail = /^\s*\}\s*<\/tool_call>/;

/** A parser for one answer. */
export function createAnswerParser(options: AnswerParserOptions): AnswerParser {
  return new Reader(options);
}

class Reader implements AnswerParser {
  private readonly idFor: (index: number) => string;
  private readonly tools: boolean;
  /** What ends the text: the beginning of a call, or of markup that the client must not see. */
  private readonly tags: readonly string[];
  private state: "text" | "head" | "arguments" | "tail" | "between" | "over" = "text";
  private buffer = "";
  private events: AnswerEvent[] = [];
  private readonly calls = new Set<string>();
  /** White space at the beginning of the text: it is part of the frame if a call follows, else it is text. */
  private lead = "";
  private spoke = false;
  /** The call that is being read. */
  private name = "";
  private given = "";
  private depth = 0;
  private inString = false;
  private escaped = false;

  constructor({ idFor, tools, endMarkers }: AnswerParserOptions) {
    this.idFor = idFor;
    this.tags = tools ? [callOpen, ...endMarkers.filter((marker) => marker !== callOpen)] : endMarkers;
    this.tools = tools;
  }

  get over(): boolean {
    return this.state === "over";
  }

  push(text: string): AnswerEvent[] {
    this.buffer += text;
    while (this.step());
    return this.taken();
  }

  end(cut: boolean): AnswerEvent[] {
    // Complete arguments make a call, even if its frame was not closed. Incomplete arguments are dropped with the frame.
    if (this.state === "tail") this.finish();
    if (this.state === "text") {
      const held = cut ? beginningOf(this.tags, this.buffer) : 0;
      const rest = this.buffer.slice(0, this.buffer.length - held);
      // A line's end before the beginning of a tag belongs to the tag's frame.
      this.say(this.lead + (held > 0 && this.tools ? rest.replace(/\n$/, "") : rest));
    }
    this.state = "over";
    return this.taken();
  }

  private taken(): AnswerEvent[] {
    const events = this.events;
    this.events = [];
    return events;
  }

  /** Consumes the buffer as far as possible; false when it needs more text, or the answer has ended. */
  private step(): boolean {
    switch (this.state) {
      case "text":
        return this.text();
      case "head":
        return this.head();
      case "arguments":
        return this.arguments();
      case "tail":
        return this.tail();
      case "between":
        return this.between();
      case "over":
        return false;
    }
  }

  private text(): boolean {
    const found = firstOf(this.tags, this.buffer);
    const sure = found ? found.at : this.buffer.length - this.heldBack();
    let own = this.lead + this.buffer.slice(0, sure);
    this.lead = "";
    this.buffer = this.buffer.slice(found ? found.at + found.tag.length : sure);
    const isCall = found?.tag === callOpen && this.tools;
    if (found) this.state = isCall ? "head" : "over";
    // The line's end before a call belongs to its frame.
    if (isCall) own = own.replace(/\n$/, "");
    if (this.spoke || own.trim() !== "") this.say(own);
    else if (!found) this.lead = own;
    return found !== undefined;
  }

  /** Characters at the end that may yet turn out to belong to a tag or to a call's frame, or are half a character. */
  private heldBack(): number {
    const begun = beginningOf(this.tags, this.buffer);
    const before = this.buffer.slice(0, this.buffer.length - begun);
    if (this.tools && before.endsWith("\n")) return begun + 1;
    if (begun > 0) return begun;
    return endsInHalf(this.buffer) ? 1 : 0;
  }

  private head(): boolean {
    const found = head.exec(this.buffer);
    const name = found ? parsed(found[1]!) : undefined;
    if (found && typeof name === "string") {
      this.name = name;
      this.given = "";
      this.depth = 0;
      this.buffer = this.buffer.slice(found[0].length);
      this.state = "arguments";
      return true;
    }
    const close = this.buffer.indexOf(callClose);
    if (close >= 0 && this.whole(this.buffer.slice(0, close))) {
      this.buffer = this.buffer.slice(close + callClose.length);
      return true;
    }
    const begun = this.buffer.trimStart();
    if (close >= 0 || this.buffer.includes(callOpen) || (begun !== "" && !begun.startsWith("{"))) this.state = "over";
    return false;
  }

  /** A finished call in another order of members, or with its arguments as a string. */
  private whole(inside: string): boolean {
    const value = parsed(inside);
    if (typeof value !== "object" || value === null) return false;
    const { name, arguments: given } = value as { name?: unknown; arguments?: unknown };
    const args = typeof given === "string" ? parsed(given) : given;
    if (typeof name !== "string" || typeof args !== "object" || args === null) return false;
    this.name = name;
    this.given = typeof given === "string" ? given : spacedJson(args);
    this.finish();
    return true;
  }

  private arguments(): boolean {
    let at = 0;
    let done = false;
    for (; at < this.buffer.length && !done; at++) {
      const char = this.buffer[at]!;
      if (this.inString) {
        if (this.escaped) this.escaped = false;
        else if (char === "\\") this.escaped = true;
        else if (char === '"') this.inString = false;
      } else if (char === '"') this.inString = true;
      else if (char === "{" || char === "[") this.depth++;
      else if ((char === "}" || char === "]") && --this.depth === 0) done = true;
    }
    this.given += this.buffer.slice(0, at);
    this.buffer = this.buffer.slice(at);
    if (done) this.state = "tail";
    return done;
  }

  private tail(): boolean {
    const found = tail.exec(this.buffer);
    if (!found && couldClose(this.buffer)) return false;
    // With complete arguments the call is complete; an improperly closed frame is skipped.
    const frame = found ? found[0].length : (/^\s*\}?/.exec(this.buffer)?.[0].length ?? 0);
    this.buffer = this.buffer.slice(frame);
    this.finish();
    return true;
  }

  /** Behind a call: further calls, or the end. */
  private between(): boolean {
    this.buffer = this.buffer.trimStart();
    if (this.buffer.startsWith(callOpen)) {
      this.buffer = this.buffer.slice(callOpen.length);
      this.state = "head";
      return true;
    }
    if (!callOpen.startsWith(this.buffer)) this.state = "over";
    return false;
  }

  private finish(): void {
    const identity = JSON.stringify([this.name, this.given]);
    this.state = this.calls.has(identity) ? "over" : "between";
    if (this.state === "over") return;
    const index = this.calls.size;
    this.calls.add(identity);
    this.events.push({ type: "call", index, id: this.idFor(index), name: this.name, arguments: this.given });
  }

  private say(text: string): void {
    if (text === "") return;
    this.spoke = true;
    this.events.push({ type: "content", text });
  }
}

function firstOf(tags: readonly string[], text: string): { tag: string; at: number } | undefined {
  let first: { tag: string; at: number } | undefined;
  for (const tag of tags) {
    const at = text.indexOf(tag);
    if (at >= 0 && (first === undefined || at < first.at)) first = { tag, at };
  }
  return first;
}

/** Length of the longest end of `text` with which one of the tags begins. */
function beginningOf(tags: readonly string[], text: string): number {
  const longest = Math.max(0, ...tags.map((tag) => tag.length));
  for (let length = Math.min(longest - 1, text.length); length > 0; length--) {
    const end = text.slice(-length);
    if (tags.some((tag) => tag.startsWith(end))) return length;
  }
  return 0;
}

const endsInHalf = (text: string): boolean => /[\ud800-\udbff]$/.test(text);

/** Whether the frame of a call may still be closed behind `text`. */
const couldClose = (text: string): boolean => {
  if (!/^\s*(?:\}\s*(?:<(?:\/[a-z_]*)?)?)?$/.test(text)) return false;
  return callClose.startsWith(text.replace(/^\s*\}?\s*/, ""));
};

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
