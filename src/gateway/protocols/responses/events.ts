// A stream of events in the shape of Responses. One `Answer` for each answer: it numbers the events, opens and closes the items, and knows
// the whole response at the end. Whole answers go through it as well and leave the events out.
import type { LineshaftError } from "../../../errors/index.ts";
import type { Usage } from "../../../engines/index.ts";
import { spoken } from "../../errors.ts";
import type { AnswerChunk } from "../../types.ts";
import type { Told } from "../types.ts";
import type { ResponsesCall } from "./call.ts";
import { Output } from "./output.ts";
import { Passed } from "./passed.ts";
import { responseObject, usageOf, type Opening, type Standing } from "./response.ts";

type Json = Record<string, unknown>;

/** Ids of responses, and of their items, end as the ids of their calls do. */
const tailOf = (id: string): string => id.slice(id.indexOf("_") + 1);

export class Answer {
  readonly call: ResponsesCall;
  readonly #opening: Opening;
  readonly #output: Output;
  readonly #now: () => number;
  /** Set where an engine of the same shape answers: its events are passed on. */
  #passed: Passed | undefined;
  #number = 0;
  #told = "";
  #begun = false;
  #closed = false;
  #usage: Usage | undefined;
  #response: Json | undefined;

  constructor({ call, id, createdMs }: Told, now: () => number = Date.now) {
    this.call = call as ResponsesCall;
    this.#now = now;
    const { shown: body, stores: store, outputWishes } = this.call;
    const tail = tailOf(id);
    this.#opening = { id: `resp_${tail}`, createdAt: Math.floor(createdMs / 1000), body, store };
    this.#output = new Output({ tail, ...outputWishes }, (type, members) => this.#tell(type, members));
  }

  /** The id that the client knows it by: that of the engine where its events are passed on. */
  get id(): string {
    return this.#passed?.id ?? this.#opening.id;
  }

  /** Whether it is kept for later requests. It is not where it could not be written. */
  set store(store: boolean) {
    this.#opening.store = store;
  }

  /** Events that open the answer; nothing the second time. */
  begin(): string {
    if (this.#begun) return "";
    this.#begun = true;
    const response = responseObject(this.#opening, { status: "in_progress", output: [] });
    this.#tell("response.created", { response });
    this.#tell("response.in_progress", { response });
    return this.#taken();
  }

  /** Events of one chunk. */
  take(chunk: AnswerChunk): string {
    const { deltas, usage, wire, altered } = chunk;
    if (usage) this.#usage = usage;
    if (wire.shape === "responses" && altered !== true && (!this.#begun || this.#passed)) {
      this.#begun = true;
      this.#passed ??= new Passed(this.#opening);
      return this.#passed.take(wire);
    }
    const begun = this.begin();
    if (this.#passed) this.#number = this.#passed.number;
    for (const delta of deltas) {
      // Responses give one answer to a call.
      if (delta.index !== 0) continue;
      if (this.#passed) this.#told += this.#passed.cut(delta.text, () => this.#number++);
      else this.#output.add(delta);
    }
    return begun + this.#taken();
  }

  /** Closes what is open; answers its events. The end itself is told by `end`. */
  close(): string {
    if (this.#closed) return "";
    this.#closed = true;
    if (this.#passed) return "";
    const begun = this.begin();
    this.#output.end(this.#incomplete === undefined);
    return begun + this.#taken();
  }

  /** Events that end the answer. */
  end(): string {
    const closed = this.close();
    const last = this.#passed?.end(this.#usage);
    if (last) {
      this.#response = last.response;
      return closed + last.text;
    }
    if (this.#passed) this.#number = this.#passed.number;
    const incomplete = this.#passed ? "max_output_tokens" : this.#incomplete;
    this.#response = this.#object(
      incomplete === undefined
        ? { status: "completed", completedAt: Math.floor(this.#now() / 1000) }
        : { status: "incomplete", incomplete },
    );
    this.#tell(incomplete === undefined ? "response.completed" : "response.incomplete", { response: this.#response });
    return closed + this.#taken();
  }

  /** Events that end the answer with a failure. */
  fail(failure: LineshaftError): string {
    const begun = this.begin();
    if (this.#passed) this.#number = this.#passed.number;
    else this.#output.end(false);
    this.#closed = true;
    this.#response = this.#object({ status: "failed", error: { code: failure.code, message: spoken(failure) } });
    this.#tell("response.failed", { response: this.#response });
    return begun + this.#taken();
  }

  /** A whole answer's body. */
  whole(chunk: AnswerChunk): string {
    const { wire, usage, altered } = chunk;
    if (wire.shape !== "responses" || altered === true) {
      if (!this.#begun) this.take(chunk);
      this.end();
      return JSON.stringify(this.#response);
    }
    this.#passed ??= new Passed(this.#opening);
    this.#response = { ...this.#passed.whole(wire), ...(usage && { usage: usageOf(usage) }) };
    return wire.text !== undefined && !usage && !this.#opening.store ? wire.text : JSON.stringify(this.#response);
  }

  /** The response object, once the answer has ended. */
  get response(): Json | undefined {
    return this.#response;
  }

  /** The items of the output with what the next turn needs of hidden thought, for storage. */
  get items(): readonly Json[] {
    return this.#passed?.items ?? this.#output.items;
  }

  get #incomplete(): string | undefined {
    const { finish } = this.#output;
    return finish === undefined ? undefined : incompleteBy[finish];
  }

  #object(standing: Omit<Standing, "output" | "usage">): Json {
    return responseObject(
      { ...this.#opening, id: this.id },
      {
        ...standing,
        output: this.#passed?.items ?? this.#output.shown,
        ...(this.#usage && { usage: this.#usage }),
      },
    );
  }

  #tell(type: string, members: Json): void {
    this.#told += eventText(type, { type, sequence_number: this.#number++, ...members });
  }

  #taken(): string {
    const told = this.#told;
    this.#told = "";
    return told;
  }
}

const eventText = (type: string, data: Json): string => `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;

/** Ends of an answer that leave it incomplete, in the words of Responses. */
const incompleteBy: Partial<Record<string, string>> = {
  length: "max_output_tokens",
  content_filter: "content_filter",
};

const streams = new WeakMap<Told, Answer>();

/** The answer of a stream. Errors and waiting bytes go on with its numbers. */
export function streamOf(told: Told): Answer {
  return streams.get(told) ?? newStream(told);
}

/** Begins a stream. */
export function newStream(told: Told): Answer {
  const answer = new Answer(told);
  streams.set(told, answer);
  return answer;
}
