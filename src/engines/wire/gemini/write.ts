// A call as Google's generateContent: what engines that speak Gemini are sent when the client spoke another API. One write, from the typed
// view. The model and whether the answer streams stand in the address, not in the body. Source: Google's API reference of the Gemini API,
// "Function calling" and "Thought signatures", as of November 2026.
//
// Google refuses a turn of results that has not as many as the turn of calls before it, so neighbouring turns of one role become one.
import type { Asked, Message, Part } from "../../asked.ts";
import { allowed, chatToolName, plainArguments, plainTool } from "../chat/write.ts";
import { unsaidExtensions } from "../extensions.ts";
import { legalId } from "../ids.ts";
import { pathIn, type Said } from "../paths.ts";
import type { Unsaid, WireWriter, WriteWish } from "../types.ts";
import { object } from "../values.ts";
import { thinkingConfig } from "./thinking.ts";
import { asksForSignatures, noSignature } from "./models.ts";

type Json = Record<string, unknown>;

const nothing: ReadonlySet<string> = new Set();

export const geminiWriter: WireWriter = { unsaid, write };

function unsaid(asked: Asked): Unsaid[] {
  const { shape, sampling } = asked;
  const { minP, logprobs } = sampling;
  const refused = (said: Said, reason: string): Unsaid => ({ path: pathIn(shape, said), reason, isHint: false });
  const found: Unsaid[] = [];
  if (minP !== undefined) found.push(refused("minP", "is not known to Google's API"));
  if (logprobs !== undefined) found.push(refused("logprobs", "asks for log probabilities, which are not given here"));
  return [...found, ...unsaidExtensions(asked, nothing)];
}

function write(asked: Asked, { model, outputTokens }: WriteWish): Json {
  const { system, contents } = conversation(asked.prompt.kind === "messages" ? asked.prompt.messages : [], model);
  const tools = toolsOf(asked);
  const config = toolConfigOf(asked.toolChoice);
  const fields: Json = {
    systemInstruction: system.length > 0 ? { parts: system } : undefined,
    contents,
    tools: tools.length > 0 ? tools : undefined,
    toolConfig: tools.length > 0 && config ? { functionCallingConfig: config } : undefined,
    generationConfig: generationConfig(asked, model, outputTokens),
  };
  for (const name of Object.keys(fields)) if (fields[name] === undefined) delete fields[name];
  return fields;
}

function generationConfig(asked: Asked, model: string, outputTokens: number | undefined): Json | undefined {
  const { sampling, format, answersPerPrompt, thinking } = asked;
  const config: Json = {
    temperature: sampling.temperature,
    topP: sampling.topP,
    topK: sampling.topK,
    seed: sampling.seed,
    presencePenalty: sampling.presencePenalty,
    frequencyPenalty: sampling.frequencyPenalty,
    stopSequences: sampling.stop && sampling.stop.length > 0 ? sampling.stop : undefined,
    maxOutputTokens: outputTokens,
    candidateCount: answersPerPrompt > 1 ? answersPerPrompt : undefined,
    responseMimeType: format ? "application/json" : undefined,
    responseJsonSchema: format?.kind === "schema" && object(format.schema) ? format.schema : undefined,
    thinkingConfig: thinkingConfig(thinking, model),
  };
  for (const name of Object.keys(config)) if (config[name] === undefined) delete config[name];
  return Object.keys(config).length > 0 ? config : undefined;
}

function toolsOf(asked: Asked): Json[] {
  const declarations = allowed(asked).map((tool): Json => {
    const { name, description, parameters } = plainTool(tool);
    return {
      name,
      ...(description !== undefined && { description }),
      ...(parameters !== undefined && { parametersJsonSchema: parameters }),
    };
  });
  const own = asked.tools.flatMap(({ opaque }) => (opaque?.shape === "gemini" ? [opaque.item] : []));
  return declarations.length === 0 ? own : [{ functionDeclarations: declarations }, ...own];
}

function toolConfigOf(choice: Asked["toolChoice"]): Json | undefined {
  if (choice === undefined) return undefined;
  if (choice === "none") return { mode: "NONE" };
  if (choice === "auto") return { mode: "AUTO" };
  if (choice === "required") return { mode: "ANY" };
  if ("name" in choice) return { mode: "ANY", allowedFunctionNames: [choice.name] };
  return choice.required ? { mode: "ANY" } : { mode: "AUTO" };
}

interface Turn {
  role: "user" | "model";
  parts: Json[];
}

/** Instructions at the beginning are the system's; later ones stand where they are said, as text of the user's turn. */
function conversation(messages: readonly Message[], model: string): { system: Json[]; contents: Turn[] } {
  const isInstruction = ({ role }: Message) => role === "system" || role === "developer";
  const firstOther = messages.findIndex((message) => !isInstruction(message));
  const leading = firstOther < 0 ? messages : messages.slice(0, firstOther);
  const names = new Map<string, string>();
  const writer = new PartWriter(names, model);
  const system = leading.flatMap(({ parts }) => writer.parts(parts)).filter((part) => "text" in part);
  const contents: Turn[] = [];
  for (const { role, parts } of messages.slice(leading.length)) {
    const turn = role === "assistant" ? "model" : "user";
    const written = writer.parts(parts);
    if (written.length === 0) continue;
    const last = contents.at(-1);
    if (last?.role === turn) last.parts.push(...written);
    else contents.push({ role: turn, parts: written });
  }
  for (const turn of contents) if (turn.role === "user") turn.parts = resultsFirst(turn.parts);
  // A call has contents, so instructions alone are said by the user.
  if (contents.length === 0 && system.length > 0) return { system: [], contents: [{ role: "user", parts: system }] };
  return { system, contents };
}

const resultsFirst = (parts: Json[]): Json[] => [
  ...parts.filter((part) => "functionResponse" in part),
  ...parts.filter((part) => !("functionResponse" in part)),
];

class PartWriter {
  /** Names of the functions that were called, by the ids of the calls: results name the function. */
  readonly #names: Map<string, string>;
  readonly #signs: boolean;

  constructor(names: Map<string, string>, model: string) {
    this.#names = names;
    this.#signs = asksForSignatures(model);
  }

  /** Parts of a message. A thought's signature stands beside the part that follows the thought; the thought itself is not sent back. */
  parts(parts: readonly Part[]): Json[] {
    const written: Json[] = [];
    let signature: string | undefined;
    let hasCall = false;
    for (const part of parts) {
      if (part.kind === "reasoning") {
        if (part.proof?.origin === "gemini") signature = part.proof.signature ?? signature;
        continue;
      }
      for (const one of this.#part(part)) {
        const isCall = "functionCall" in one;
        // The first call of a turn has a signature, which calls of other models have not.
        if (isCall && !hasCall && this.#signs) signature ??= noSignature;
        hasCall ||= isCall;
        written.push(signature === undefined ? one : { ...one, thoughtSignature: signature });
        signature = undefined;
      }
    }
    if (signature !== undefined) written.push({ text: "", thoughtSignature: signature });
    return written;
  }

  #part(part: Exclude<Part, { kind: "reasoning" }>): Json[] {
    switch (part.kind) {
      case "text":
      case "refusal":
        return part.text === "" ? [] : [{ text: part.text }];
      case "image":
      case "audio":
      case "video":
      case "file":
        return [mediumOf(part)];
      case "tool_call": {
        const name = chatToolName(part);
        this.#names.set(part.id, name);
        return [{ functionCall: { id: legalId(part.id), name, args: argumentsOf(plainArguments(part)) } }];
      }
      case "tool_result":
        return [this.#result(part)];
      case "opaque":
        return part.shape === "gemini" ? [part.item] : [];
    }
  }

  /** The API reads a result from `output`, and a failure from `error`. */
  #result({ id, name, parts, isError }: Extract<Part, { kind: "tool_result" }>): Json {
    const text = parts.map((part) => (part.kind === "text" ? part.text : "")).join("");
    const media = parts.flatMap((part) => ("url" in part ? [mediumOf(part)] : []));
    return {
      functionResponse: {
        id: legalId(id),
        name: this.#names.get(id) ?? name ?? id,
        response: { [isError === true ? "error" : "output"]: text },
        ...(media.length > 0 && { parts: media }),
      },
    };
  }
}

function mediumOf({ kind, url }: Extract<Part, { url: string }>): Json {
  const [, mimeType, data] = /^data:([^;,]+)[^,]*;base64,(.*)$/s.exec(url) ?? [];
  if (mimeType !== undefined) return { inlineData: { mimeType, data } };
  const usual = { image: "image/jpeg", audio: "audio/mpeg", video: "video/mp4", file: "application/pdf" }[kind];
  return { fileData: { mimeType: usual, fileUri: url } };
}

/** Arguments are an object. A model's text that is none is kept as the one it was. */
function argumentsOf(text: string): Json {
  if (text.trim() === "") return {};
  try {
    const read = object(JSON.parse(text));
    if (read) return read;
  } catch {
    // The model wrote no JSON.
  }
  return { input: text };
}
