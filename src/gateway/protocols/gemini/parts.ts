// Contents of Gemini's API as messages of the typed view. A thought's signature stands beside the part that follows the thought; in the
// typed view it is a thought of its own before that part. Calls of tools may come without an id: then the id is made of the name and the
// place in the conversation, and results find their calls by name, in order.
import type { Message, Part } from "../../../engines/index.ts";
import { thoughtOf } from "../proof.ts";

type Json = Record<string, unknown>;
type Reasoning = Extract<Part, { kind: "reasoning" }>;

export function messagesOf(instruction: unknown, contents: readonly Json[]): Message[] {
  const ids = new CallIds();
  const system = instructionParts(instruction, ids);
  const said = contents.map(({ role, parts }): Message => {
    const read = withThoughts((parts as Json[]).flatMap((part) => partsOf(part, ids)));
    return { role: role === "model" ? "assistant" : role === "system" ? "system" : "user", parts: read };
  });
  return system.length === 0 ? said : [{ role: "system", parts: system }, ...said];
}

function instructionParts(instruction: unknown, ids: CallIds): Part[] {
  const { parts } = (instruction ?? {}) as { parts?: Json | Json[] };
  if (parts === undefined) return [];
  return (Array.isArray(parts) ? parts : [parts]).flatMap((part) => partsOf(part, ids));
}

/** A proof of another origin belongs to the thought before it, which this API shows as a part of its own. */
function withThoughts(parts: readonly Part[]): Part[] {
  const read: Part[] = [];
  for (const part of parts) {
    const before = read.at(-1);
    if (part.kind === "reasoning" && part.proof && part.proof.origin !== "gemini" && isUnproved(before))
      read[read.length - 1] = { ...part, text: part.text === "" ? before.text : part.text };
    else read.push(part);
  }
  return read;
}

const isUnproved = (part: Part | undefined): part is Reasoning =>
  part?.kind === "reasoning" && part.proof === undefined;

class CallIds {
  #count = 0;
  readonly #open = new Map<string, string[]>();

  called(name: string, id: string | undefined): string {
    const own = id ?? `${name.slice(0, 40).replaceAll(/[^A-Za-z0-9_-]/g, "_")}_${this.#count}`;
    this.#count++;
    const open = this.#open.get(name) ?? [];
    this.#open.set(name, [...open, own]);
    return own;
  }

  answered(name: string, id: string | undefined): string {
    const open = this.#open.get(name) ?? [];
    const own = id ?? open[0] ?? name;
    this.#open.set(
      name,
      open.filter((one) => one !== own),
    );
    return own;
  }
}

function partsOf(part: Json, ids: CallIds): Part[] {
  const { thoughtSignature: signature } = part;
  if (part["thought"] === true && typeof part["text"] === "string")
    return [thoughtOf(part["text"], signature, "gemini")];
  const read = partOf(part, ids);
  const proof = typeof signature === "string" ? thoughtOf("", signature, "gemini") : undefined;
  return proof && (proof.proof || proof.text !== "") ? [proof, ...read] : read;
}

function partOf(part: Json, ids: CallIds): Part[] {
  const { text, inlineData, fileData, functionCall, functionResponse } = part as Record<
    string,
    Json | null | undefined
  >;
  if (typeof text === "string") return text === "" ? [] : [{ kind: "text", text }];
  if (inlineData) {
    const { mimeType, data, displayName } = inlineData as Record<string, string>;
    return [medium(mimeType!, `data:${mimeType};base64,${data}`, displayName)];
  }
  if (fileData && /^https?:/.test(String(fileData["fileUri"])) && !isKeptFile(String(fileData["fileUri"])))
    return [medium(String(fileData["mimeType"] ?? ""), String(fileData["fileUri"]), undefined)];
  if (functionCall) {
    const name = String(functionCall["name"]);
    const id = ids.called(name, idIn(functionCall));
    return [{ kind: "tool_call", id, name, arguments: JSON.stringify(functionCall["args"] ?? {}) }];
  }
  if (functionResponse) return [resultOf(functionResponse, ids)];
  return [{ kind: "opaque", shape: "gemini", item: part }];
}

const isKeptFile = (uri: string): boolean => uri.startsWith("https://generativelanguage.googleapis.com/");

const idIn = ({ id }: Json): string | undefined => (typeof id === "string" && id !== "" ? id : undefined);

/** The result's object is the text that the model reads; `error` in it is how this API says that a call failed. */
function resultOf(given: Json, ids: CallIds): Part {
  const name = String(given["name"]);
  const response = (given["response"] ?? {}) as Json;
  const inside = Array.isArray(given["parts"]) ? (given["parts"] as Json[]).flatMap((one) => partOf(one, ids)) : [];
  return {
    kind: "tool_result",
    id: ids.answered(name, idIn(given)),
    name,
    parts: [{ kind: "text", text: JSON.stringify(response) }, ...inside],
    ...(response["error"] !== undefined && { isError: true }),
  };
}

function medium(type: string, url: string, name: string | undefined): Part {
  const [first] = type.split("/");
  const kind = first === "image" || first === "audio" || first === "video" ? first : "file";
  return { kind, url, ...(name !== undefined && { name }) };
}
