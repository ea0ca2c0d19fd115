// A call as OpenAI's Responses: what engines that speak Responses are sent when the client spoke another API. One write, from the typed
// view. Source: OpenAI's API reference and the types of its official client, as of November 2026.
//
// The engine is asked to keep nothing, so the whole conversation is sent in every turn, with the encrypted thought that continues it.
// Thought of other models is left out: the API refuses a reasoning item that it has not written.
import type { Asked, Message, Part } from "../../asked.ts";
import { allowed, chatToolName, plainArguments, plainTool } from "../chat/write.ts";
import { legalId } from "../ids.ts";
import { pathIn, type Said } from "../paths.ts";
import type { Unsaid, WireWriter, WriteWish } from "../types.ts";
import { unsaidExtensions } from "../extensions.ts";
import { encryptedThought, hidesThought } from "./thought.ts";

type Json = Record<string, unknown>;

/** Labels that the API has under the same names. */
const labels = ["metadata", "user", "safety_identifier"] as const;
const labelSet: ReadonlySet<string> = new Set(labels);

/** Longest name of a tool call that the API takes. */
const idMost = 64;

export const responsesWriter: WireWriter = { unsaid, write };

function unsaid(asked: Asked): Unsaid[] {
  const { shape, sampling, answersPerPrompt } = asked;
  const { topK, minP, seed, stop = [], logprobs } = sampling;
  const noWord = "is not known to OpenAI's Responses";
  const refused = (said: Said, reason = noWord): Unsaid => ({ path: pathIn(shape, said), reason, isHint: false });
  const found: Unsaid[] = [];
  if (minP !== undefined) found.push(refused("minP"));
  if (seed !== undefined) found.push(refused("seed"));
  if (stop.length > 0) found.push(refused("stop"));
  if (logprobs !== undefined) found.push(refused("logprobs", "asks for log probabilities, which are not given here"));
  if (answersPerPrompt > 1) found.push(refused("answers", "asks for several answers, and OpenAI's Responses give one"));
  found.push(...unsaidExtensions(asked, labelSet));
  // Gemini CLI sends it with every call.
  if (topK !== undefined) found.push({ ...refused("topK"), isHint: shape === "gemini" });
  return found;
}

function write(asked: Asked, { model, outputTokens, stream }: WriteWish): Json {
  const { sampling, prompt, extensions } = asked;
  const { instructions, input } = conversation(
    prompt.kind === "messages" ? prompt.messages : [],
    readsBreakpoints(model),
  );
  const tools = toolsOf(asked);
  const reasoning = reasoningOf(asked);
  const text = textOf(asked);
  const fields: Json = {
    model,
    instructions: instructions === "" ? undefined : instructions,
    input,
    stream: stream === true ? true : undefined,
    store: false,
    include: hidesThought(model, asked.thinking.asked) ? [encryptedThought] : undefined,
    max_output_tokens: outputTokens,
    temperature: sampling.temperature,
    top_p: sampling.topP,
    presence_penalty: sampling.presencePenalty,
    frequency_penalty: sampling.frequencyPenalty,
    tools: tools.length > 0 ? tools : undefined,
    tool_choice: tools.length > 0 ? choiceOf(asked.toolChoice) : undefined,
    parallel_tool_calls: tools.length > 0 ? asked.parallelTools : undefined,
    text: Object.keys(text).length > 0 ? text : undefined,
    reasoning: Object.keys(reasoning).length > 0 ? reasoning : undefined,
    prompt_cache_key: asked.cacheKey,
  };
  if (asked.shape === "chat") for (const name of labels) fields[name] = extensions[name] ?? undefined;
  for (const name of Object.keys(fields)) if (fields[name] === undefined) delete fields[name];
  return fields;
}

function toolsOf(asked: Asked): Json[] {
  const opaque = asked.tools.flatMap((tool) => (tool.opaque?.shape === "responses" ? [tool.opaque.item] : []));
  const own = allowed(asked).map((tool): Json => {
    const { strict, ...named } = plainTool(tool);
    // The API judges a schema strictly unless it is told not to, and most schemas are not written for that.
    return { type: "function", ...named, parameters: named["parameters"] ?? noParameters, strict: strict ?? false };
  });
  return [...own, ...opaque];
}

const noParameters = { type: "object", properties: {} };

function choiceOf(choice: Asked["toolChoice"]): unknown {
  if (choice === undefined || typeof choice === "string") return choice;
  if ("name" in choice) return { type: "function", name: choice.name };
  return choice.required ? "required" : "auto";
}

function textOf({ format, verbosity }: Asked): Json {
  const written: Json = {};
  if (format?.kind === "json") written["format"] = { type: "json_object" };
  if (format?.kind === "schema") {
    const { name = "output", schema, strict } = format;
    written["format"] = { type: "json_schema", name, schema, ...(strict !== undefined && { strict }) };
  }
  if (verbosity !== undefined) written["verbosity"] = verbosity;
  return written;
}

/** The API knows words for how much to think, and no number of tokens. A budget becomes the nearest word. */
function reasoningOf({ thinking, shape }: Asked): Json {
  const { asked, effort, budgetTokens, show } = thinking;
  const written: Json = {};
  if (effort !== undefined) written["effort"] = effort;
  else if (asked && budgetTokens !== undefined)
    written["effort"] = budgetTokens <= 4_096 ? "low" : budgetTokens <= 16_384 ? "medium" : "high";
  // The API shows no thought itself, only summaries of it. Chat has no word for whether it is shown.
  if (asked && show !== "omitted" && shape !== "chat") written["summary"] = "auto";
  return written;
}

/**
 * Whether the model takes marks of the prompt cache: OpenAI's take `prompt_cache_breakpoint` from GPT-5.6 on, and refuse it before. No address
 * says so of a model, so its name is read.
 */
function readsBreakpoints(model: string): boolean {
  const [, major, minor = "0"] = /(?:^|[/:])gpt-(\d{1,2})(?:\.(\d{1,2}))?(?![\d.])/.exec(model) ?? [];
  return major !== undefined && (Number(major) > 5 || (Number(major) === 5 && Number(minor) >= 6));
}

/**
 * Instructions at the beginning, and the rest as items. Later instructions stand where they are said, and so do all of them where one is
 * marked, because `instructions` is a text that can have no mark. `marks`: the model takes them.
 */
function conversation(messages: readonly Message[], marks: boolean): { instructions: string; input: Json[] } {
  const isInstruction = ({ role }: Message) => role === "system" || role === "developer";
  const firstOther = messages.findIndex((message) => !isInstruction(message));
  const leading = firstOther < 0 ? messages : messages.slice(0, firstOther);
  if (marks && leading.some(({ parts }) => parts.some((part) => markOf(part) !== undefined)))
    return { instructions: "", input: messages.flatMap((message) => itemsOf(message, marks)) };
  const texts = leading.flatMap(({ parts }) => parts.map((part) => (part.kind === "text" ? part.text : "")));
  const instructions = texts.filter((text) => text !== "").join("\n\n");
  const input = messages.slice(leading.length).flatMap((message) => itemsOf(message, marks));
  // A call has an input, so instructions alone are said as what they are in it.
  if (input.length === 0 && instructions !== "")
    return { instructions: "", input: [{ type: "message", role: "developer", content: textPart(instructions) }] };
  return { instructions, input };
}

const markOf = (part: Part) => ("mark" in part ? part.mark : undefined);

/** The mark of a part as the API has it. How long it is kept is an option of the whole call there. */
const breakpoint = (part: Part, marks: boolean): Json =>
  marks && markOf(part) ? { prompt_cache_breakpoint: { mode: "explicit" } } : {};

const textPart = (text: string): Json[] => [{ type: "input_text", text }];

/** Items of a message, in the order of its parts. Neighbouring parts of text and media are one item. */
function itemsOf({ role, parts }: Message, marks: boolean): Json[] {
  const items: Json[] = [];
  let content: Json[] = [];
  const close = () => {
    if (content.length > 0) items.push({ type: "message", role, content });
    content = [];
  };
  for (const part of parts) {
    const said = contentOf(part, role === "assistant", marks);
    if (said) {
      content.push(said);
      continue;
    }
    const own = itemOf(part, marks);
    if (!own) continue;
    close();
    items.push(own);
  }
  close();
  return items;
}

/** A part that stands inside a message; undefined for parts that are items of their own, and for what says nothing. */
function contentOf(part: Part, isAnswer: boolean, marks: boolean): Json | undefined {
  const mark = breakpoint(part, marks);
  switch (part.kind) {
    case "text":
      if (part.text === "") return undefined;
      return isAnswer
        ? { type: "output_text", text: part.text, annotations: [] }
        : { type: "input_text", text: part.text, ...mark };
    case "refusal":
      return isAnswer ? { type: "refusal", refusal: part.text } : { type: "input_text", text: part.text };
    case "image":
      return { type: "input_image", image_url: part.url, detail: detailOf(part.detail), ...mark };
    case "file": {
      const { url, name = "document" } = part;
      return url.startsWith("data:")
        ? { type: "input_file", filename: name, file_data: url, ...mark }
        : { type: "input_file", file_url: url, ...mark };
    }
    case "audio": {
      const [, format, data] = /^data:audio\/([\w.+-]+);base64,(.*)$/s.exec(part.url) ?? [];
      return data === undefined ? undefined : { type: "input_audio", input_audio: { data, format } };
    }
    default:
      return undefined;
  }
}

const detailOf = (detail: string | undefined): string =>
  detail === "low" || detail === "high" || detail === "original" ? detail : "auto";

function itemOf(part: Part, marks: boolean): Json | undefined {
  switch (part.kind) {
    case "tool_call":
      return {
        type: "function_call",
        call_id: legalId(part.id, idMost),
        name: chatToolName(part),
        arguments: plainArguments(part),
      };
    case "tool_result":
      return { type: "function_call_output", call_id: legalId(part.id, idMost), output: outputOf(part, marks) };
    case "reasoning":
      return thoughtItem(part);
    case "opaque":
      return part.shape === "responses" ? part.item : undefined;
    default:
      return undefined;
  }
}

/**
 * A result of text alone is written as text, which every server of this API reads, unless it is marked. The API has no word for a failed tool.
 * The mark of a result stands on its last part.
 */
function outputOf(result: Extract<Part, { kind: "tool_result" }>, marks: boolean): string | Json[] {
  const { parts, isError } = result;
  const prefix = isError === true ? "Error: " : "";
  const isMarked = marks && (result.mark !== undefined || parts.some((part) => markOf(part) !== undefined));
  if (!isMarked && parts.every(({ kind }) => kind === "text"))
    return prefix + parts.map((part) => (part.kind === "text" ? part.text : "")).join("");
  const content = parts.map((part) => contentOf(part, false, marks)).filter((one) => one !== undefined);
  if (prefix !== "") content.unshift(...textPart(prefix.trim()));
  if (content.length > 0) Object.assign(content.at(-1)!, breakpoint(result, marks));
  return content.length > 0 ? content : "";
}

/** Only OpenAI's own encrypted thought continues anything here. */
function thoughtItem({ text, summary, proof }: Extract<Part, { kind: "reasoning" }>): Json | undefined {
  if (proof?.origin !== "openai" || proof.encrypted === undefined) return undefined;
  return {
    type: "reasoning",
    ...(proof.id !== undefined && { id: proof.id }),
    summary: summary === true && text !== "" ? [{ type: "summary_text", text }] : [],
    encrypted_content: proof.encrypted,
  };
}
