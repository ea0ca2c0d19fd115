// A stream as Anthropic's clients read it: message_start, blocks that are opened, filled and closed one after the other, message_delta with
// the reason and the usage, message_stop. The order of an answer's pieces is the order of its blocks: a block is closed when a piece of
// another kind comes.
//
// Engines of other APIs may write two calls of tools in turns. The client knows one open block, so pieces of a later call wait until the
// earlier call's arguments are a whole JSON object, or until the end.
import type { AnswerDelta, Proof, ToolCallDelta } from "../../../engines/index.ts";
import type { AnswerChunk } from "../../types.ts";
import { proofText } from "../proof.ts";
import type { StreamEncoder, Told } from "../types.ts";
import {
  frameOf,
  inputOf,
  messagesUsage,
  noUsage,
  stopOf,
  textBlock,
  thoughtShown,
  toolBlock,
  toolNames,
} from "./answers.ts";

type Json = Record<string, unknown>;

interface Call {
  id: string;
  name: string;
  arguments: string;
}

type Open =
  | { kind: "text" }
  | { kind: "thinking"; signed: boolean }
  | { kind: "tool"; at: number; call: Call }
  | { kind: "passed" };

/** One event as it is written. */
export const eventText = (type: string, members: Json): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`;

export function messageEvents(told: Told): StreamEncoder {
  const writer = new MessageEvents(told);
  return (chunk) => (chunk ? writer.take(chunk) : writer.end());
}

class MessageEvents {
  readonly #told: Told;
  readonly #shown: { told: boolean; text: boolean };
  readonly #names: ReadonlyMap<string, string>;
  #text = "";
  #begun = false;
  /** Blocks that were opened. */
  #count = 0;
  #open: Open | undefined;
  readonly #waiting = new Map<number, Call>();
  /** Thought whose text the client is not shown: its proof may need it. */
  #hidden = "";
  #called = false;
  #finish: string | undefined;
  #stopSequence: string | undefined;
  #usage: Json | undefined;
  /** The engine's own message_delta has passed, which says how the answer ended. */
  #ended = false;

  constructor(told: Told) {
    this.#told = told;
    this.#shown = thoughtShown(told);
    this.#names = toolNames(told);
  }

  take(chunk: AnswerChunk): string {
    const { deltas, wire, usage, altered } = chunk;
    if (usage) this.#usage = messagesUsage(usage);
    if (wire.shape === "messages" && altered !== true && usage === undefined && wire.text !== undefined) {
      this.#pass(wire.data, wire.text);
      return this.#written();
    }
    if (!this.#begun) this.#begin(wire.shape === "messages" ? (wire.data["message"] as Json | undefined) : undefined);
    for (const delta of deltas) if (delta.index === 0) this.#add(delta);
    return this.#written();
  }

  end(): string {
    if (!this.#begun) this.#begin(undefined);
    this.#close();
    for (const at of [...this.#waiting.keys()].toSorted((a, b) => a - b)) this.#openCall(at);
    this.#close();
    if (!this.#ended)
      this.#event("message_delta", {
        delta: stopOf(this.#finish ?? "stop", this.#stopSequence, this.#called),
        usage: this.#usage ?? noUsage,
      });
    this.#event("message_stop", {});
    return this.#written();
  }

  /** An event of Anthropic's own API, as it came. */
  #pass(data: Json, text: string): void {
    const type = String(data["type"]);
    if (type === "message_stop") return;
    if (type === "message_start") this.#begun = true;
    if (type === "message_delta") this.#ended = true;
    if (type === "content_block_start") {
      this.#count++;
      const block = data["content_block"] as Json | undefined;
      this.#open = block?.["type"] === "text" ? { kind: "text" } : { kind: "passed" };
    }
    if (type === "content_block_stop") this.#open = undefined;
    this.#text += `event: ${type}\ndata: ${text}\n\n`;
  }

  #begin(message: Json | undefined): void {
    this.#begun = true;
    const empty = { content: [], stop_reason: null, stop_sequence: null, usage: noUsage };
    this.#event("message_start", { message: message ?? { ...frameOf(this.#told), ...empty } });
  }

  #add(delta: AnswerDelta): void {
    if (delta.reasoning && this.#shown.told) this.#think(delta.reasoning);
    if (delta.proof && this.#shown.told) this.#prove(delta.proof);
    for (const { shape, item } of delta.opaque ?? []) if (shape === "messages") this.#block(item);
    if (delta.text) this.#say(delta.text);
    if (delta.refusal) this.#say(delta.refusal);
    for (const call of delta.toolCalls ?? []) this.#call(call);
    this.#finish = delta.finish ?? this.#finish;
    this.#stopSequence = delta.stopSequence ?? this.#stopSequence;
  }

  #think(thinking: string): void {
    if (!this.#shown.text) {
      this.#hidden += thinking;
      return;
    }
    this.#openThought();
    this.#delta({ type: "thinking_delta", thinking });
  }

  #openThought(): void {
    if (this.#open?.kind === "thinking") return;
    this.#start({ kind: "thinking", signed: false }, { type: "thinking", thinking: "", signature: "" });
  }

  /** What proves the thought ends its block. */
  #prove(proof: Proof): void {
    if (proof.origin === "anthropic" && proof.encrypted !== undefined)
      return this.#block({ type: "redacted_thinking", data: proof.encrypted });
    const signature = proofText(proof, "anthropic", this.#hidden);
    this.#hidden = "";
    if (signature === undefined) return;
    this.#openThought();
    if (this.#open?.kind === "thinking") this.#open.signed = true;
    this.#delta({ type: "signature_delta", signature });
    this.#close();
  }

  #say(text: string): void {
    if (this.#open?.kind !== "text") this.#start({ kind: "text" }, textBlock(""));
    this.#delta({ type: "text_delta", text });
  }

  #call({ index, id, name, arguments: text = "" }: ToolCallDelta): void {
    const open = this.#open;
    if (open?.kind === "tool" && open.at === index) {
      open.call.arguments += text;
      if (text !== "") this.#delta({ type: "input_json_delta", partial_json: text });
      return;
    }
    const call = this.#waiting.get(index) ?? { id: `toolu_${index}`, name: "", arguments: "" };
    if (id !== undefined) call.id = id;
    call.name += name ?? "";
    call.arguments += text;
    this.#waiting.set(index, call);
    if (call.name !== "" && (open?.kind !== "tool" || isWhole(open.call.arguments))) this.#openCall(index);
  }

  #openCall(at: number): void {
    const call = this.#waiting.get(at)!;
    this.#waiting.delete(at);
    this.#called = true;
    const name = this.#names.get(call.name) ?? call.name;
    this.#start({ kind: "tool", at, call }, toolBlock(call.id, name, {}));
    if (call.arguments !== "") this.#delta({ type: "input_json_delta", partial_json: call.arguments });
  }

  /** A block that comes in one piece. */
  #block(block: Json): void {
    this.#start({ kind: "passed" }, block);
    this.#close();
  }

  #start(open: Open, block: Json): void {
    this.#close();
    this.#open = open;
    this.#event("content_block_start", { index: this.#count++, content_block: block });
  }

  #delta(delta: Json): void {
    this.#event("content_block_delta", { index: this.#count - 1, delta });
  }

  #close(): void {
    if (!this.#open) return;
    // Clients read the end of a thought by its signature, which is empty where the engine proves nothing.
    if (this.#open.kind === "thinking" && !this.#open.signed) this.#delta({ type: "signature_delta", signature: "" });
    this.#open = undefined;
    this.#event("content_block_stop", { index: this.#count - 1 });
  }

  #event(type: string, members: Json): void {
    this.#text += eventText(type, members);
  }

  #written(): string {
    const text = this.#text;
    this.#text = "";
    return text;
  }
}

const isWhole = (text: string): boolean => text.trim() !== "" && inputOf(text)["raw_arguments"] === undefined;
