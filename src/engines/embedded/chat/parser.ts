// Reads tool calls out of text while it is generated. Three states: text, the head of a call (from `<tool_call>` to where the
// arguments begin), and the arguments, which are passed on as they come. Whatever turns out not to be a call is text again:
// no character is lost but the frame of calls that were understood.
import { callClose, callOpen } from "./hermes.ts";
import { spacedJson } from "./json.ts";

export type ToolCallEvent =
  | { type: "content"; text: string }
  | { type: "call_start"; index: number; id: string; name: string }
  /** Joined, the texts of a call are the exact JSON of its arguments. */
  | { type: "call_arguments"; index: number; text: string }
  /** Not sent for a call that the end of the text cut off. */
  | { type: "call_end"; index: number };

export interface ToolCallParser {
  /** More generated text; answers what is certain by now. */
  push(text: string): ToolCallEvent[];
  /** No more text; answers what was held back. */
  end(): ToolCallEvent[];
}

const head = /^\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)/;
const tail = /^\s*\}\s*<\/tool_call>/;

/** `idFor` makes the id of the n-th call. */
export function createToolCallParser(options: { idFor: (index: number) => string }): ToolCallParser {
  return new Reader(options.idFor);
}

class Reader implements ToolCallParser {
  private readonly idFor: (index: number) => string;
  private state: "text" | "head" | "arguments" | "tail" = "text";
  private buffer = "";
  private events: ToolCallEvent[] = [];
  private calls = 0;
  /** White space that is part of the frame if a call follows, or behind the last call; else it is text. */
  private gap = "";
  private spoke = false;
  private depth = 0;
  private inString = false;
  private escaped = false;

  constructor(idFor: (index: number) => string) {
    this.idFor = idFor;
  }

  push(text: string): ToolCallEvent[] {
    this.buffer += text;
    return this.run(false);
  }

  end(): ToolCallEvent[] {
    return this.run(true);
  }

  private run(ended: boolean): ToolCallEvent[] {
    while (this.step(ended));
    const events = this.events;
    this.events = [];
    return events;
  }

  /** Takes what it can from the buffer; false when it needs more text. */
  private step(ended: boolean): boolean {
    switch (this.state) {
      case "text":
        return this.text(ended);
      case "head":
        return this.head(ended);
      case "arguments":
        return this.arguments(ended);
      case "tail":
        return this.tail(ended);
    }
  }

  private text(ended: boolean): boolean {
    const open = this.buffer.indexOf(callOpen);
    const sure = open >= 0 ? open : ended ? this.buffer.length : this.buffer.length - heldBack(this.buffer);
    const own = this.gap + this.buffer.slice(0, sure);
    this.buffer = this.buffer.slice(open >= 0 ? open + callOpen.length : sure);
    this.gap = "";
    if (own.trim() === "" && (this.calls > 0 || !this.spoke) && (open >= 0 || !ended || this.calls > 0)) this.gap = own;
    else if (open >= 0 && own.endsWith("\n")) {
      this.content(own.slice(0, -1));
      this.gap = "\n";
    } else this.content(own);
    if (open >= 0) this.state = "head";
    return open >= 0;
  }

  private head(ended: boolean): boolean {
    const found = head.exec(this.buffer);
    const name = found ? text(found[1]!) : undefined;
    if (found && name !== undefined) {
      this.start(name);
      this.buffer = this.buffer.slice(found[0].length);
      this.state = "arguments";
      this.depth = 0;
      return true;
    }
    const close = this.buffer.indexOf(callClose);
    if (close >= 0 && this.whole(this.buffer.slice(0, close))) {
      this.buffer = this.buffer.slice(close + callClose.length);
      this.state = "text";
      return true;
    }
    const begun = this.buffer.trimStart();
    const hopeless = close >= 0 || this.buffer.includes(callOpen) || (begun !== "" && !begun.startsWith("{"));
    if (!hopeless && !ended) return false;
    // Not a call after all.
    this.content(this.gap + callOpen);
    this.gap = "";
    this.state = "text";
    return true;
  }

  /** A finished call in another order of members, or with its arguments as a string. */
  private whole(inside: string): boolean {
    const value = parsed(inside);
    if (typeof value !== "object" || value === null) return false;
    const { name, arguments: given } = value as { name?: unknown; arguments?: unknown };
    const args = typeof given === "string" ? parsed(given) : given;
    if (typeof name !== "string" || typeof args !== "object" || args === null) return false;
    this.start(name);
    this.events.push({
      type: "call_arguments",
      index: this.calls,
      text: typeof given === "string" ? given : spacedJson(args),
    });
    this.finish();
    return true;
  }

  private arguments(ended: boolean): boolean {
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
    if (!done && !ended && endsInHalf(this.buffer.slice(0, at))) at--;
    if (at > 0) this.events.push({ type: "call_arguments", index: this.calls, text: this.buffer.slice(0, at) });
    this.buffer = this.buffer.slice(at);
    if (done) this.state = "tail";
    return done;
  }

  private tail(ended: boolean): boolean {
    const found = tail.exec(this.buffer);
    const maybe = !ended && /^\s*(?:\}\s*(?:<(?:\/[a-z_]*)?)?)?$/.test(this.buffer) && couldClose(this.buffer);
    if (!found && maybe) return false;
    // The arguments are complete, so the call is; a frame that was not closed properly is passed over as far as it goes.
    const frame = found ? found[0].length : (/^\s*\}?/.exec(this.buffer)?.[0].length ?? 0);
    this.buffer = this.buffer.slice(frame);
    this.finish();
    this.state = "text";
    return true;
  }

  private start(name: string): void {
    this.gap = "";
    this.events.push({ type: "call_start", index: this.calls, id: this.idFor(this.calls), name });
  }

  private finish(): void {
    this.events.push({ type: "call_end", index: this.calls });
    this.calls++;
  }

  private content(text: string): void {
    if (text === "") return;
    this.spoke = true;
    this.events.push({ type: "content", text });
  }
}

/** How many characters at the end may yet turn out to belong to a call's opening (or are half a character). */
function heldBack(text: string): number {
  const opening = `\n${callOpen}`;
  for (let length = Math.min(opening.length - 1, text.length); length > 0; length--) {
    const end = text.slice(-length);
    if (opening.startsWith(end) || callOpen.startsWith(end)) return length;
  }
  return endsInHalf(text) ? 1 : 0;
}

const endsInHalf = (text: string): boolean => /[\ud800-\udbff]$/.test(text);

const couldClose = (text: string): boolean => {
  const begun = text.replace(/^\s*\}?\s*/, "");
  return callClose.startsWith(begun);
};

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function text(quoted: string): string | undefined {
  const value = parsed(quoted);
  return typeof value === "string" ? value : undefined;
}
