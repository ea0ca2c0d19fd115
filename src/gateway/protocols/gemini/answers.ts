// Answers as Google's clients read them: candidates with parts, reasons to finish, usage. A stream is a row of such objects, each with the
// parts that are new; the last one has the reason and the usage, and there is no event for the end. A call of a tool is one part, so it is
// told when its arguments are complete: when the next part begins, or at the end.
import { chatToolName } from "../../../engines/index.ts";
import type { AnswerDelta, Part, Proof, ToolCallDelta, Usage } from "../../../engines/index.ts";
import type { AnswerChunk } from "../../types.ts";
import { inputOf } from "../messages/answers.ts";
import { proofText } from "../proof.ts";
import type { StreamEncoder, Told } from "../types.ts";

type Json = Record<string, unknown>;

/** Reasons that Google names otherwise. Any other word passes as it is. */
const reasons: Readonly<Record<string, string>> = {
  stop: "STOP",
  tool_calls: "STOP",
  function_call: "STOP",
  length: "MAX_TOKENS",
  content_filter: "SAFETY",
  refusal: "SAFETY",
  pause: "STOP",
};

const reasonOf = (finish: string): string => (Object.hasOwn(reasons, finish) ? reasons[finish]! : finish);

/** Thought is counted beside the answer's text, and both make the output. */
function geminiUsage(usage: Usage): Json {
  const { promptTokens, cachedTokens, outputTokens, reasoningTokens } = usage;
  return {
    promptTokenCount: promptTokens,
    candidatesTokenCount: outputTokens - reasoningTokens,
    totalTokenCount: promptTokens + outputTokens,
    ...(reasoningTokens > 0 && { thoughtsTokenCount: reasoningTokens }),
    ...(cachedTokens > 0 && { cachedContentTokenCount: cachedTokens }),
  };
}

/** What stands around the candidates: the model as the client named it, and an id. */
const frameOf = ({ call, id }: Told): Json => ({ modelVersion: call.model, responseId: id });

/** JSON text of a whole answer. */
export function wholeContent({ deltas, wire, usage, altered }: AnswerChunk, told: Told): string {
  if (wire.shape === "gemini" && altered !== true) {
    if (usage === undefined) return wire.text ?? JSON.stringify(wire.data);
    return JSON.stringify({ ...wire.data, usageMetadata: geminiUsage(usage) });
  }
  const parts = new Parts(told);
  const delta = deltas[0] ?? { index: 0 };
  const written = delta.blocks
    ? delta.blocks.flatMap((block, place) => parts.add(asDelta(block, place)))
    : parts.add(delta);
  return JSON.stringify({
    candidates: [candidate([...written, ...parts.end()], delta.finish ?? "stop")],
    ...(usage && { usageMetadata: geminiUsage(usage) }),
    ...frameOf(told),
  });
}

export function contentEvents(told: Told): StreamEncoder {
  const parts = new Parts(told);
  let finish: string | undefined;
  let usage: Usage | undefined;
  /** The engine's own last event has passed. */
  let ended = false;
  const event = (body: Json): string => `data: ${JSON.stringify({ ...body, ...frameOf(told) })}\n\n`;
  return (chunk) => {
    if (!chunk) {
      if (ended) return "";
      const usageMetadata = usage && geminiUsage(usage);
      return event({ candidates: [candidate(parts.end(), finish ?? "stop")], ...(usageMetadata && { usageMetadata }) });
    }
    usage = chunk.usage ?? usage;
    const { wire } = chunk;
    if (wire.shape === "gemini" && chunk.altered !== true && chunk.usage === undefined && wire.text !== undefined) {
      ended ||= finishes(wire.data);
      return `data: ${wire.text}\n\n`;
    }
    const written: Json[] = [];
    for (const delta of chunk.deltas) {
      if (delta.index !== 0) continue;
      written.push(...parts.add(delta));
      finish = delta.finish ?? finish;
    }
    return written.length === 0 ? "" : event({ candidates: [candidate(written, undefined)] });
  };
}

const finishes = ({ candidates }: Json): boolean =>
  Array.isArray(candidates) && (candidates as (Json | null)[]).some((one) => typeof one?.["finishReason"] === "string");

const candidate = (parts: Json[], finish: string | undefined): Json => ({
  content: { parts, role: "model" },
  ...(finish !== undefined && { finishReason: reasonOf(finish) }),
  index: 0,
});

/** Turns pieces of an answer into parts, in their order. */
class Parts {
  readonly #told: Told;
  readonly #names: ReadonlyMap<string, string>;
  readonly #calls = new Map<number, { id: string; name: string; arguments: string }>();
  /** Thought that has passed since the last proof, and the proof that the next part carries. */
  #thought = "";
  #proof: Proof | undefined;

  constructor(told: Told) {
    this.#told = told;
    const long = told.call.tools.filter(({ name }) => name.length > 64);
    this.#names = new Map(long.map((tool) => [chatToolName(tool), tool.name]));
  }

  add({ reasoning, proof, text, refusal, toolCalls = [], opaque = [] }: AnswerDelta): Json[] {
    const parts: Json[] = [];
    // What follows a call of a tool tells that the call is complete.
    if (reasoning || opaque.length > 0) parts.push(...this.#flush());
    if (reasoning) {
      this.#thought += reasoning;
      if (this.#told.call.thinking.show !== "omitted") parts.push({ text: reasoning, thought: true });
    }
    this.#proof = proof ?? this.#proof;
    for (const { shape, item } of opaque) if (shape === "gemini") parts.push(item);
    for (const said of [text, refusal]) if (said) parts.push(...this.#flush(), this.#proved({ text: said }));
    for (const call of toolCalls) this.#call(call);
    return parts;
  }

  /** What is left: calls that are complete now, and a proof that no part followed. */
  end(): Json[] {
    const parts = this.#flush();
    return this.#proof ? [...parts, this.#proved({ text: "" })] : parts;
  }

  #call({ index, id, name, arguments: text = "" }: ToolCallDelta): void {
    const call = this.#calls.get(index) ?? { id: `call_${index}`, name: "", arguments: "" };
    if (id !== undefined) call.id = id;
    call.name += name ?? "";
    call.arguments += text;
    this.#calls.set(index, call);
  }

  #flush(): Json[] {
    const calls = [...this.#calls].toSorted(([a], [b]) => a - b);
    this.#calls.clear();
    return calls.map(([, { id, name, arguments: text }]) =>
      this.#proved({ functionCall: { id, name: this.#names.get(name) ?? name, args: inputOf(text) } }),
    );
  }

  /** The first part after a thought carries its proof. Clients leave thoughts out of what they send back, so its text goes with it. */
  #proved(part: Json): Json {
    const signature = this.#proof && proofText(this.#proof, "gemini", this.#thought);
    this.#proof = undefined;
    this.#thought = "";
    return signature === undefined ? part : { ...part, thoughtSignature: signature };
  }
}

function asDelta(part: Part, place: number): AnswerDelta {
  switch (part.kind) {
    case "text":
      return { index: 0, text: part.text };
    case "refusal":
      return { index: 0, refusal: part.text };
    case "reasoning":
      return { index: 0, reasoning: part.text, ...(part.proof && { proof: part.proof }) };
    case "tool_call":
      return { index: 0, toolCalls: [{ index: place, id: part.id, name: part.name, arguments: part.arguments }] };
    case "opaque":
      return { index: 0, opaque: [{ shape: part.shape, item: part.item }] };
    default:
      return { index: 0 };
  }
}
