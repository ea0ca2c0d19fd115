// An answer's deltas as output items, and the events that tell of them. One machine for streams and for whole answers: a whole answer is a
// stream whose events are left out, so that both say the same.
//
// Items are opened in the order in which their first piece comes. Text and thought are closed when a piece of another kind comes; calls of
// tools stay open together, because engines may write two of them in turns. Everything is closed at the end.
import type { AnswerDelta, Part, Proof, ToolCallDelta } from "../../../engines/index.ts";
import { compactionItem } from "./compact.ts";
import { customInput, type ToolNames } from "./names.ts";
import { encryptedOf, partOf, type OpenCall, type OpenText } from "./openItems.ts";

type Json = Record<string, unknown>;

/** Takes an event by its type and members. */
type Tell = (type: string, members: Json) => void;

export interface OutputWishes {
  /** Tail of the ids of items: that of the answer's call. */
  tail: string;
  names: ToolNames;
  /** Thought is told as a summary as well. */
  summary: boolean;
  /** Thought carries what the next turn needs to go on with it. */
  encrypted: boolean;
  /** The text is a summary, which is told as one item at the end. */
  compacts: boolean;
}

export class Output {
  /** Items that are complete, by their place, with what the next turn needs of hidden thought. */
  readonly items: Json[] = [];
  finish: string | undefined;
  readonly #wishes: OutputWishes;
  readonly #tell: Tell;
  /** Items that were opened. */
  #count = 0;
  #text: OpenText | undefined;
  #summary = "";
  readonly #calls = new Map<number, OpenCall>();

  constructor(wishes: OutputWishes, tell: Tell) {
    this.#wishes = wishes;
    this.#tell = tell;
  }

  add(delta: AnswerDelta): void {
    if (delta.blocks) for (const part of delta.blocks) this.#block(part);
    else this.#pieces(delta);
    if (delta.finish !== undefined) this.finish = delta.finish;
  }

  #pieces({ reasoning, proof, text, refusal, toolCalls, opaque }: AnswerDelta): void {
    if (reasoning) this.#piece("reasoning", reasoning);
    if (proof) this.#proof(proof);
    if (text) this.#piece("text", text);
    if (refusal) this.#piece("refusal", refusal);
    for (const call of toolCalls ?? []) this.#call(call);
    for (const { shape, item } of opaque ?? []) if (shape === "responses") this.#whole(item);
  }

  /** A part of a whole answer. */
  #block(part: Part): void {
    switch (part.kind) {
      case "text":
        return this.#piece("text", part.text);
      case "refusal":
        return this.#piece("refusal", part.text);
      case "reasoning":
        this.#piece("reasoning", part.text);
        if (part.proof) this.#proof(part.proof);
        return this.#closeText();
      case "tool_call": {
        const { id, name, arguments: text } = part;
        return this.#call({ index: this.#calls.size, id, name, arguments: text });
      }
      case "opaque":
        return part.shape === "responses" ? this.#whole(part.item) : undefined;
      default:
    }
  }

  #piece(kind: OpenText["kind"], piece: string): void {
    if (this.#wishes.compacts && kind === "text") return void (this.#summary += piece);
    const open = this.#opened(kind);
    open.text += piece;
    const at = { item_id: open.item.id, output_index: open.index };
    const content = { content_index: open.item.content.length };
    if (kind === "text") this.#tell("response.output_text.delta", { ...at, ...content, delta: piece, logprobs: [] });
    else if (kind === "refusal") this.#tell("response.refusal.delta", { ...at, ...content, delta: piece });
    else if (this.#wishes.summary)
      this.#tell("response.reasoning_summary_text.delta", { ...at, summary_index: 0, delta: piece });
    else this.#tell("response.reasoning_text.delta", { ...at, ...content, delta: piece });
  }

  /** The open item and part that a piece of this kind belongs to: a new one where another is open. */
  #opened(kind: OpenText["kind"]): OpenText {
    const before = this.#text;
    if (before?.kind === kind) return this.#begun(before);
    this.#closeCalls("completed");
    // Text and refusals are parts of one message; thought is an item of its own.
    const goesOn = before !== undefined && kind !== "reasoning" && before.kind !== "reasoning";
    if (goesOn) this.#closePart(before);
    else this.#closeText();
    this.#text = goesOn ? { ...before, kind, text: "", begun: false } : this.#newItem(kind);
    return this.#begun(this.#text);
  }

  /** Tells of the part, once. */
  #begun(open: OpenText): OpenText {
    if (open.begun) return open;
    open.begun = true;
    const at = { item_id: open.item.id, output_index: open.index };
    if (open.kind === "reasoning" && this.#wishes.summary)
      this.#tell("response.reasoning_summary_part.added", {
        ...at,
        summary_index: 0,
        part: { type: "summary_text", text: "" },
      });
    else
      this.#tell("response.content_part.added", {
        ...at,
        content_index: open.item.content.length,
        part: partOf(open.kind, ""),
      });
    return open;
  }

  #newItem(kind: OpenText["kind"]): OpenText {
    const index = this.#count++;
    const item: OpenText["item"] =
      kind === "reasoning"
        ? { id: this.#id("rs", index), type: "reasoning", summary: [], content: [] }
        : { id: this.#id("msg", index), type: "message", status: "in_progress", role: "assistant", content: [] };
    this.#tell("response.output_item.added", { output_index: index, item: { ...item, content: [] } });
    return { kind, index, item, text: "", proof: undefined, begun: false };
  }

  /** What proves the thought that has just come; a proof without thought is hidden thought. */
  #proof(proof: Proof): void {
    if (this.#text?.kind !== "reasoning") {
      this.#closeText();
      this.#closeCalls("completed");
      this.#text = this.#newItem("reasoning");
    }
    this.#text!.proof = { ...this.#text!.proof, ...proof };
  }

  #closePart({ kind, index, item, text }: OpenText): void {
    const part = partOf(kind, text);
    const at = { item_id: item.id, output_index: index, content_index: item.content.length };
    if (kind === "text") this.#tell("response.output_text.done", { ...at, text, logprobs: [] });
    else this.#tell("response.refusal.done", { ...at, refusal: text });
    this.#tell("response.content_part.done", { ...at, part });
    item.content.push(part);
  }

  #closeText(status = "completed"): void {
    const open = this.#text;
    if (!open) return;
    this.#text = undefined;
    if (open.kind === "reasoning") this.#closeThought(open);
    else {
      this.#closePart(open);
      open.item["status"] = status;
    }
    this.#done(open.index, open.item);
  }

  #closeThought({ index, item, text, proof }: OpenText): void {
    const at = { item_id: item.id, output_index: index };
    const { summary, encrypted } = this.#wishes;
    if (text !== "" && summary) {
      const part = { type: "summary_text", text };
      this.#tell("response.reasoning_summary_text.done", { ...at, summary_index: 0, text });
      this.#tell("response.reasoning_summary_part.done", { ...at, summary_index: 0, part });
      item["summary"] = [part];
    } else if (text !== "") {
      const part = partOf("reasoning", text);
      this.#tell("response.reasoning_text.done", { ...at, content_index: 0, text });
      this.#tell("response.content_part.done", { ...at, content_index: 0, part });
      item.content.push(part);
    }
    // A client that shows summaries alone does not send the thought back, so the envelope keeps it.
    if (encrypted || proof || summary) item["encrypted_content"] = encryptedOf(text, proof);
  }

  #call({ index, id, name, arguments: text }: ToolCallDelta): void {
    this.#closeText();
    let call = this.#calls.get(index);
    if (!call) {
      const place = this.#count++;
      call = { index: place, id: this.#id("fc", place), callId: "", name: "", arguments: "", begun: false };
      this.#calls.set(index, call);
    }
    call.callId ||= id ?? "";
    call.name += name ?? "";
    // A call is told once its name is known.
    if (call.name !== "") this.#begin(call);
    if (!text) return;
    call.arguments += text;
    if (!this.#wishes.names.of(call.name).custom)
      this.#tell("response.function_call_arguments.delta", {
        item_id: call.id,
        output_index: call.index,
        delta: text,
      });
  }

  #begin(call: OpenCall): void {
    if (call.begun) return;
    call.begun = true;
    call.callId ||= `call_${this.#wishes.tail}${call.index}`;
    this.#tell("response.output_item.added", { output_index: call.index, item: this.#callItem(call, "in_progress") });
  }

  #callItem({ id, callId, name: called, arguments: text }: OpenCall, status: string): Json {
    const { name, namespace, custom } = this.#wishes.names.of(called);
    const written = status === "in_progress" ? "" : text;
    return {
      id,
      type: custom ? "custom_tool_call" : "function_call",
      status,
      ...(custom ? { input: customInput(written) } : { arguments: written }),
      call_id: callId,
      name,
      ...(namespace !== undefined && { namespace }),
    };
  }

  #closeCalls(status: string): void {
    for (const call of this.#calls.values()) {
      this.#begin(call);
      const item = this.#callItem(call, status);
      const at = { item_id: call.id, output_index: call.index };
      if (item["type"] === "custom_tool_call") {
        const { input } = item;
        if (input !== "") this.#tell("response.custom_tool_call_input.delta", { ...at, delta: input });
        this.#tell("response.custom_tool_call_input.done", { ...at, input });
      } else {
        this.#tell("response.function_call_arguments.done", { ...at, name: item["name"], arguments: call.arguments });
      }
      this.#done(call.index, item);
    }
    this.#calls.clear();
  }

  /** An item that came whole from an engine of the same API. */
  #whole(item: Json): void {
    this.#closeText();
    this.#closeCalls("completed");
    const index = this.#count++;
    const named = typeof item["id"] === "string" ? item : { ...item, id: this.#id("it", index) };
    this.#tell("response.output_item.added", { output_index: index, item: named });
    this.#done(index, named);
  }

  #done(index: number, item: Json): void {
    this.items[index] = item;
    this.#tell("response.output_item.done", { output_index: index, item: this.#shown(item) });
  }

  /** Items as the client is shown them: hidden thought only where it asked for it. */
  get shown(): Json[] {
    return this.items.map((item) => this.#shown(item));
  }

  #shown(item: Json): Json {
    if (this.#wishes.encrypted || item["type"] !== "reasoning" || item["encrypted_content"] === undefined) return item;
    const { encrypted_content: _kept, ...rest } = item;
    return rest;
  }

  /** Closes what is open. `isWhole`: the answer has come to its own end. */
  end(isWhole: boolean): void {
    const status = isWhole ? "completed" : "incomplete";
    this.#closeText(status);
    this.#closeCalls(status);
    if (this.#summary.trim() !== "") this.#whole(compactionItem(this.#id("cmp", this.#count), this.#summary));
    this.#summary = "";
  }

  #id(prefix: string, index: number): string {
    return `${prefix}_${this.#wishes.tail}${index}`;
  }
}
