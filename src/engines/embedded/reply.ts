// What becomes of a call's tokens: text, cut at stop strings; tool calls read out of it; the switch to a grammar when a call
// begins; and in the end the judgement of the whole. Knows nothing of HTTP: it hands deltas on and answers the loop.
import { createToolCallParser, type ToolCallEvent, type ToolCallParser } from "./chat/index.ts";
import type { CallEnd, Verdict } from "./call.ts";
import { ApiError } from "./errors.ts";
import type { AnswerForm } from "./grammars.ts";
import { StopStrings, TokenText } from "./text.ts";

export type Delta = { type: "text"; text: string } | Exclude<ToolCallEvent, { type: "content" } | { type: "call_end" }>;

export type FinishReason = "stop" | "length" | "tool_calls" | "abort";

/** How a call ended, in OpenAI's words, and what was said. */
export interface Outcome {
  finishReason: FinishReason;
  /** All text that was passed on, tool calls included, as the model wrote it. */
  text: string;
  /** The tokens of exactly that text, where it ends at a token's border. */
  tokens: number[] | undefined;
}

export interface ReplyParts {
  detokenize(tokens: readonly number[], before: readonly number[]): string;
  tokenize(text: string): number[];
  stops: readonly string[];
  form: AnswerForm | undefined;
  idFor(index: number): string;
  onDelta(delta: Delta): void;
}

export class Reply {
  private readonly parts: ReplyParts;
  private readonly text: TokenText;
  private readonly stops: StopStrings;
  private readonly parser: ToolCallParser | undefined;
  private tokens: number[] = [];
  private triggered = false;
  private stopped = false;
  private passed = 0;
  private calls = 0;

  constructor(parts: ReplyParts) {
    this.parts = parts;
    this.text = new TokenText(parts.detokenize);
    this.stops = new StopStrings(parts.stops);
    this.parser = parts.form?.tools ? createToolCallParser({ idFor: parts.idFor }) : undefined;
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

  /** The call has ended; passes on what was held back. Throws when the answer is not what was promised. */
  finish(reason: Exclude<CallEnd["reason"], "error">): Outcome {
    if (!this.stopped) {
      this.pass(this.text.flush());
      this.emit(this.stops.flush());
    }
    for (const event of this.parser?.end() ?? []) this.deliver(event);
    const said = this.text.whole.slice(0, this.passed);
    if (reason === "stop" && !this.stopped && this.calls === 0) this.judge(said);
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

  /** Passes text on as far as no stop string may begin in it; true when one has ended the answer. */
  private pass(piece: string): boolean {
    const { text, stopped } = this.stops.push(piece);
    this.emit(text);
    this.stopped ||= stopped;
    return stopped;
  }

  private emit(text: string): void {
    if (text === "") return;
    this.passed += text.length;
    if (!this.parser) return this.parts.onDelta({ type: "text", text });
    for (const event of this.parser.push(text)) this.deliver(event);
  }

  private deliver(event: ToolCallEvent): void {
    if (event.type === "content") return this.parts.onDelta({ type: "text", text: event.text });
    if (event.type === "call_end") return;
    if (event.type === "call_start") this.calls++;
    this.parts.onDelta(event);
  }

  private judge(text: string): void {
    const wrong = this.parts.form?.validate?.(text) ?? null;
    if (wrong === null) return;
    throw new ApiError({
      status: 500,
      code: "schema_violation",
      message: `The answer does not satisfy the schema: ${wrong}`,
      hint: "Send the call again; if it fails again, report the schema.",
    });
  }
}
