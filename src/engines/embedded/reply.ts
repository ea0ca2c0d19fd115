// Turns a call's tokens into an answer: text, cut at stop strings; tool calls parsed from it; the switch to a grammar when a call begins.
// The gateway validates finished answers, for every engine alike. This file does no HTTP: it passes deltas on and tells the loop what to do
// next.
import { createAnswerParser, formTags, type AnswerEvent, type AnswerParser } from "./chat/index.ts";
import type { CallEnd, Verdict } from "./call.ts";
import type { AnswerForm } from "./grammars.ts";
import { StopStrings, TokenText } from "./text.ts";

export type Delta = { type: "text"; text: string } | Extract<AnswerEvent, { type: "call" }>;

export type FinishReason = "stop" | "length" | "tool_calls" | "abort";

/** How a call ended (OpenAI's finish reason), and its text. */
export interface Outcome {
  finishReason: FinishReason;
  /** The answer as the model wrote it, tool calls and their frames included. */
  text: string;
  /** The tokens of exactly that text, where it ends at a token's border. */
  tokens: number[] | undefined;
}

interface ReplyParts {
  detokenize(tokens: readonly number[], before: readonly number[]): string;
  tokenize(text: string): number[];
  stops: readonly string[];
  /** Absent for completions, whose text is passed on as it is. */
  form: AnswerForm | undefined;
  /** Text of the tokens by which the model's template begins and ends turns. */
  turnMarkers: readonly string[];
  idFor(index: number): string;
  onDelta(delta: Delta): void;
  /** Tokens of the text that the answer goes on with; absent where it begins anew. */
  before?: readonly number[];
}

export class Reply {
  private readonly parts: ReplyParts;
  private readonly text: TokenText;
  private readonly stops: StopStrings;
  private parser: AnswerParser | undefined;
  private tokens: number[] = [];
  private triggered = false;
  private stopped = false;
  private passed = 0;
  private calls = 0;

  constructor(parts: ReplyParts) {
    this.parts = parts;
    this.text = new TokenText(parts.detokenize, parts.before);
    this.stops = new StopStrings(parts.stops);
    this.parser = parserFor(parts);
  }

  /** Takes the next token. */
  onToken(token: number): Verdict {
    const before = this.text.whole.length;
    this.tokens.push(token);
    const piece = this.text.push(token);
    const rewind = this.beginsCall(before);
    if (rewind) {
      this.pass(this.text.whole.slice(before));
      return rewind;
    }
    return this.pass(piece) ? { type: "stop" } : { type: "go" };
  }

  /** The call has ended; passes on what was held back. */
  finish(reason: Exclude<CallEnd["reason"], "error">): Outcome {
    const cut = reason !== "stop" || this.stopped;
    if (!this.stopped) {
      this.pass(this.text.flush());
      this.emit(this.stops.flush());
    }
    for (const event of this.parser?.end(cut) ?? []) this.deliver(event);
    const said = this.text.whole.slice(0, this.passed);
    const { keep, rest } = this.text.cutAt(this.passed);
    return {
      finishReason: reason === "stop" && this.calls > 0 ? "tool_calls" : reason,
      text: said,
      tokens: rest === "" ? this.tokens.slice(0, keep) : undefined,
    };
  }

  /** Where the trigger of the tools' grammar has just been completed, the way back to its last character. */
  private beginsCall(before: number): Verdict | undefined {
    const wanted = this.parts.form?.onTrigger;
    if (!wanted || this.triggered) return undefined;
    const from = Math.max(0, before - wanted.trigger.length + 1);
    const at = this.text.whole.indexOf(wanted.trigger, from);
    if (at < 0) return undefined;
    this.triggered = true;
    const end = at + wanted.trigger.length;
    const { keep, rest } = this.text.cutAt(end);
    const tokens = rest === "" ? [] : this.parts.tokenize(rest);
    this.tokens = [...this.tokens.slice(0, keep), ...tokens];
    this.text.reset(this.tokens, this.text.whole.slice(0, end));
    return { type: "rewind", keep, tokens, grammar: wanted.grammar };
  }

  /** Passes text on up to where a stop string may begin; true when a stop string has ended the answer. */
  private pass(piece: string): boolean {
    const { text, stopped } = this.stops.push(piece);
    this.emit(text);
    this.stopped ||= stopped || (this.parser?.over ?? false);
    return this.stopped;
  }

  private emit(text: string): void {
    if (text === "") return;
    // If the model may call or answer in a schema, the whole answer is one of the two, because JSON may contain text that looks like a tag.
    if (this.passed === 0 && this.parts.form?.json && !text.startsWith("<")) this.parser = undefined;
    this.passed += text.length;
    if (!this.parser) return this.parts.onDelta({ type: "text", text });
    for (const event of this.parser.push(text)) this.deliver(event);
  }

  private deliver(event: AnswerEvent): void {
    if (event.type === "content") return this.parts.onDelta({ type: "text", text: event.text });
    this.calls++;
    this.parts.onDelta(event);
  }
}

/** Free text of a chat is parsed for calls and turn markers. An answer under a schema's grammar is not. */
function parserFor({ form, idFor, turnMarkers }: ReplyParts): AnswerParser | undefined {
  if (!form || (form.json && !form.tools)) return undefined;
  const endMarkers = form.showsForm ? [...formTags, ...turnMarkers] : turnMarkers;
  return createAnswerParser({ idFor, tools: form.tools, endMarkers });
}
