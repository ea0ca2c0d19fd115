// The events of an engine that speaks Responses itself, as they are passed on: byte for byte, but for what only Lineshaft knows (whether
// the response is kept, what it goes on from, what is billed), which stands in the events that carry the whole response.
import { isDeepStrictEqual } from "node:util";
import type { Usage, WireObject } from "../../../engines/index.ts";
import { usageOf, type Opening } from "./response.ts";

type Json = Record<string, unknown>;

/** Events that end a response. */
const ends = new Set(["response.completed", "response.incomplete", "response.failed"]);

export class Passed {
  /** Items that are complete. */
  readonly items: Json[] = [];
  id: string | undefined;
  /** Number of the next event. */
  number = 0;
  readonly #opening: Opening;
  /** Where the text stands that came last. */
  #at: Json | undefined;
  /** The event that ended it; it is told after the response was stored. */
  #last: { type: string; data: Json; text: string | undefined } | undefined;

  constructor(opening: Opening) {
    this.#opening = opening;
  }

  /** Text of an event; nothing of the last one, which `end` gives. */
  take({ data, text }: WireObject): string {
    const type = String(data["type"]);
    const { sequence_number: number, response, item } = data;
    if (typeof number === "number") this.number = number + 1;
    if (type === "response.output_item.done" && item) this.items.push(item as Json);
    if (type === "response.output_text.delta") {
      const { item_id, output_index, content_index } = data;
      this.#at = { item_id, output_index, content_index };
    }
    if (response !== null && typeof response === "object") {
      this.id ??= (response as Json)["id"] as string | undefined;
      if (ends.has(type)) {
        this.#last = { type, data, text };
        return "";
      }
      if (this.#knowsMore) return framed(type, JSON.stringify({ ...data, response: this.#known(response as Json) }));
    }
    return framed(type, text ?? JSON.stringify(data));
  }

  /** The response that has ended; undefined where the engine has sent none, because it was stopped. */
  response(usage: Usage | undefined): Json | undefined {
    if (!this.#last) return undefined;
    const response = (this.#last.data["response"] ?? this.#last.data) as Json;
    return { ...this.#known(response), ...(usage && { usage: usageOf(usage) }) };
  }

  /** The event that ended it, with the response as it is now; undefined where the engine has sent none. */
  end(response: Json): string | undefined {
    if (!this.#last) return undefined;
    const { type, data, text } = this.#last;
    const isSame = text !== undefined && isDeepStrictEqual(data["response"], response);
    return framed(type, isSame ? text : JSON.stringify({ ...data, response }));
  }

  /** An event of text that the gateway has cut from a chunk. */
  cut(text: string | undefined, next: () => number): string {
    if (!text || !this.#at) return "";
    const type = "response.output_text.delta";
    return framed(type, JSON.stringify({ type, sequence_number: next(), ...this.#at, delta: text, logprobs: [] }));
  }

  takeWhole({ data, text }: WireObject): void {
    this.id = data["id"] as string | undefined;
    if (Array.isArray(data["output"])) this.items.push(...(data["output"] as Json[]));
    this.#last = { type: "", data, text };
  }

  /** Text of a whole response: what the engine sent, where nothing has to be said otherwise. */
  wholeText(response: Json, usage: Usage | undefined): string {
    const text = this.#last?.text;
    return text !== undefined && !usage && !this.#knowsMore ? text : JSON.stringify(response);
  }

  /** The engine is asked to keep nothing, so only Lineshaft knows what is kept and gone on from. */
  get #knowsMore(): boolean {
    const { body, store } = this.#opening;
    return store || (body["previous_response_id"] ?? body["conversation"] ?? undefined) !== undefined;
  }

  #known(response: Json): Json {
    if (!this.#knowsMore) return response;
    const { body, store } = this.#opening;
    const { previous_response_id: previous, conversation } = body;
    return {
      ...response,
      store,
      ...(previous !== undefined && previous !== null && { previous_response_id: previous }),
      ...(conversation !== undefined &&
        conversation !== null && {
          conversation: typeof conversation === "string" ? { id: conversation } : conversation,
        }),
    };
  }
}

const framed = (type: string, data: string): string => `event: ${type}\ndata: ${data}\n\n`;
