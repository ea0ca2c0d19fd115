// A stream of events in the shape of Responses. One `Answer` for each answer: it numbers the events, opens and closes the items, and knows
// the whole response at the end. Whole answers go through it as well and leave the events out.
import { LineshaftError } from "../../../errors/index.ts";
import type { Usage } from "../../../engines/index.ts";
import { spoken } from "../../errors.ts";
import type { AnswerChunk } from "../../types.ts";
import type { Told } from "../told.ts";
import type { ResponsesCall } from "./call.ts";
import { Output } from "./output.ts";
import { Passed } from "./passed.ts";
import { responseObject, usageOf, type Opening, type Standing } from "./response.ts";

type Json = Record<string, unknown>;

/** Ids of responses, and of their items, end as the ids of their calls do. */
const tailOf = (id: string): string => id.slice(id.indexOf("_") + 1);

class Answer {
  readonly call: ResponsesCall;
  readonly #opening: Opening;
  readonly #output: Output;
  readonly #now: () => number;
  /** Set where an engine of the same shape answers: its events are passed on. */
  #passed: Passed | undefined;
  #number = 0;
  #told = "";
  #begun = false;
  /** It was taken by `takeWhole`. */
  isWhole = false;
  #usage: Usage | undefined;
  #said: Json | undefined;
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

  /** Events that open the answer; nothing the second time. */
  begin(): string {
    this.#open();
    return this.#taken();
  }

  #open(): void {
    if (this.#begun) return;
    this.#begun = true;
    const response = responseObject(this.#opening, { status: "in_progress", output: [] });
    this.#tell("response.created", { response });
    this.#tell("response.in_progress", { response });
  }

  /** The response object of an answer that has not ended. */
  get standing(): Json {
    return this.#object({ status: "in_progress" });
  }

  /** Events of one chunk. */
  take(chunk: AnswerChunk): string {
    const { deltas, usage, wire } = chunk;
    if (usage) this.#usage = usage;
    // An engine of the same shape says it itself, and where its answer is not passed on its words are.
    if (wire.shape === "responses") this.#said = usageIn(wire.data) ?? this.#said;
    if (this.#passes(chunk) && (!this.#begun || this.#passed)) {
      this.#begun = true;
      this.#passed ??= new Passed(this.#opening);
      return this.#passed.take(wire);
    }
    this.#open();
    if (this.#passed) this.#number = this.#passed.number;
    for (const delta of deltas) {
      // Responses give one answer to a call.
      if (delta.index !== 0) continue;
      if (this.#passed) this.#told += this.#passed.cut(delta.text, () => this.#number++);
      else this.#output.add(delta);
    }
    return this.#taken();
  }

  /** Events of an engine of the same shape are passed on, where the client gets the answer under the engine's own id. */
  #passes({ wire, altered }: AnswerChunk): boolean {
    return (
      wire.shape === "responses" && altered !== true && !this.call.isBackground && this.call.compacts === undefined
    );
  }

  /** Completes the response, so that it can be kept before its end is told. */
  finish(): void {
    if (this.#response) return;
    if (!this.#passed) {
      this.#open();
      this.#output.end(this.#incomplete === undefined);
    }
    if (this.call.compacts !== undefined && !this.items.some(({ type }) => type === "compaction")) {
      const { code, message } = noSummary();
      this.#response = this.#object({ status: "failed", error: { code, message } });
      return;
    }
    const response = this.#passed?.response(this.#usage);
    // An engine whose events are passed on and that has sent no last one was stopped.
    const incomplete = this.#passed ? "max_output_tokens" : this.#incomplete;
    this.#response =
      response ??
      this.#object(
        incomplete === undefined
          ? { status: "completed", completedAt: Math.floor(this.#now() / 1000) }
          : { status: "incomplete", incomplete },
      );
  }

  /** The response could not be kept, which its client is told. */
  unkept(): void {
    this.#opening.store = false;
    this.#response = { ...this.#response, store: false };
  }

  /** Events that end the answer. */
  end(): string {
    this.finish();
    const last = this.#passed?.end(this.#response!);
    if (last !== undefined) return this.#taken() + last;
    if (this.#passed) this.#number = this.#passed.number;
    this.#tell(`response.${String(this.#response!["status"])}`, { response: this.#response });
    return this.#taken();
  }

  /** Events that end the answer with a failure. */
  fail(failure: LineshaftError): string {
    this.#open();
    if (this.#passed) this.#number = this.#passed.number;
    else this.#output.end(false);
    this.#response = this.#object({ status: "failed", error: { code: failure.code, message: spoken(failure) } });
    this.#tell("response.failed", { response: this.#response });
    return this.#taken();
  }

  /** Takes a whole answer, whose events are not sent. */
  takeWhole(chunk: AnswerChunk): void {
    const { wire, usage } = chunk;
    this.isWhole = true;
    if (this.#passes(chunk)) {
      this.#passed = new Passed(this.#opening);
      this.#passed.takeWhole(wire);
      this.#usage = usage;
    } else this.take(chunk);
    this.finish();
  }

  /** Its body. Throws 502 where a compaction has no summary. */
  get text(): string {
    if (this.call.compacts === "object") return this.#compaction;
    return this.#passed?.wholeText(this.#response!, this.#usage) ?? JSON.stringify(this.#response);
  }

  /** The response object, once the answer has ended. */
  get response(): Json | undefined {
    return this.#response;
  }

  /** The items of the output with what the next turn needs of hidden thought, for storage. */
  get items(): readonly Json[] {
    return this.#passed?.items ?? this.#output.items;
  }

  /** The answer of POST /v1/responses/compact: the messages of the user, then the item that stands for the conversation. */
  get #compaction(): string {
    const { id, createdAt: created_at } = this.#opening;
    const item = this.items.find(({ type }) => type === "compaction");
    if (!item) throw noSummary();
    const usage = this.#usage ? usageOf(this.#usage) : (this.#said ?? null);
    const output = [...this.call.userMessages(id), item];
    return JSON.stringify({ id, object: "response.compaction", created_at, output, usage });
  }

  get #incomplete(): string | undefined {
    const { finish } = this.#output;
    return finish === undefined ? undefined : incompleteBy[finish];
  }

  #object(standing: Omit<Standing, "output" | "usage">): Json {
    const object = responseObject(
      { ...this.#opening, id: this.id },
      {
        ...standing,
        output: this.#passed?.items ?? this.#output.shown,
        ...(this.#usage && { usage: this.#usage }),
      },
    );
    return this.#usage || !this.#said || this.#passed ? object : { ...object, usage: this.#said };
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

/** What an event, or a whole response, says was used. */
function usageIn(data: Json): Json | undefined {
  const response = (data["response"] ?? data) as Json;
  return (response["usage"] ?? undefined) as Json | undefined;
}

const eventText = (type: string, data: Json): string => `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;

/** Ends of an answer that leave it incomplete, in the words of Responses. */
const incompleteBy: Partial<Record<string, string>> = {
  length: "max_output_tokens",
  content_filter: "content_filter",
};

const noSummary = (): LineshaftError =>
  new LineshaftError({
    code: "output_invalid",
    message: "The model wrote no summary of the conversation. Try again, or ask a larger model.",
  });

const streams = new WeakMap<Told, Answer>();

/** The answer of a stream. Errors and waiting bytes go on with its numbers. */
export function streamOf(told: Told): Answer {
  return streams.get(told) ?? newStream(told);
}

/** The answer of a call that came whole. */
export function wholeOf(told: Told, chunk: AnswerChunk): Answer {
  const known = streams.get(told);
  if (known?.isWhole) return known;
  const answer = newStream(told);
  answer.takeWhole(chunk);
  return answer;
}

/** Begins a stream. */
export function newStream(told: Told): Answer {
  const answer = new Answer(told);
  streams.set(told, answer);
  return answer;
}
