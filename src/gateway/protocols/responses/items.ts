// Items of a Responses input as messages. A turn of the assistant comes as several items (thought, text, calls of tools); they become one
// message, because engines pair the results of tools with the message that called them. Results of one turn become one message as well.
//
// Items are checked when the body is decoded and become messages only for a reader that asks for them. Kinds that are not listed here are
// kept whole: an engine that speaks Responses is sent them, any other engine refuses them by name.
import type { Message, Part } from "../../../engines/index.ts";
import { invalidAt } from "../../refusals.ts";
import { isEnvelope, readEnvelope, type Envelope } from "../proof.ts";
import { checkTools } from "./tools.ts";

type Json = Record<string, unknown>;

/** What `encrypted_content` holds: OpenAI's own proof, or an envelope. Undefined for an envelope that cannot be read. */
function provedBy(encrypted: unknown): Envelope | undefined {
  if (typeof encrypted !== "string") return undefined;
  return isEnvelope(encrypted) ? readEnvelope(encrypted) : { proof: { origin: "openai", encrypted } };
}

const roles = new Set(["user", "assistant", "system", "developer"]);

/** Parts of messages and of tools' results, and the member that must be a text. */
const texts: Record<string, string> = {
  input_text: "text",
  output_text: "text",
  text: "text",
  summary_text: "text",
  reasoning_text: "text",
  refusal: "refusal",
};

/** The kind of an item; a message may leave it out, and so may a reference. */
export const kindOf = (item: Json): string =>
  typeof item["type"] === "string" ? item["type"] : item["role"] !== undefined ? "message" : "item_reference";

/** What becomes of each kind of item. `undefined` in the table: it is kept whole. */
const checks: Record<string, (item: Json, at: string) => void> = {
  message(item, at) {
    if (!roles.has(item["role"] as string)) throw invalidAt(`${at}.role`, `must be one of ${[...roles].join(", ")}.`);
    checkContent(item["content"], `${at}.content`);
  },
  function_call(item, at) {
    checkTexts(item, ["call_id", "name", "arguments"], at);
  },
  custom_tool_call(item, at) {
    checkTexts(item, ["call_id", "name", "input"], at);
  },
  function_call_output: checkOutput,
  custom_tool_call_output: checkOutput,
  reasoning(item, at) {
    for (const list of ["summary", "content"])
      if (item[list] !== undefined && item[list] !== null) checkParts(item[list], `${at}.${list}`);
    if (item["encrypted_content"] !== undefined && item["encrypted_content"] !== null)
      checkTexts(item, ["encrypted_content"], at);
  },
  additional_tools(item, at) {
    if (!Array.isArray(item["tools"])) throw invalidAt(`${at}.tools`, "must be a list of tools.");
    for (const [place, tool] of (item["tools"] as unknown[]).entries())
      if (tool === null || typeof tool !== "object") throw invalidAt(`${at}.tools[${place}]`, "must be a tool.");
    checkTools(item["tools"] as Json[], `${at}.tools`);
  },
  compaction(item, at) {
    checkTexts(item, ["encrypted_content"], at);
  },
};

/** Throws a 400 at the first item that cannot be read. `path`: where the list stands in the body. */
export function checkItems(items: readonly Json[], path = "input"): void {
  for (const [place, item] of items.entries()) {
    const kind = kindOf(item);
    if (Object.hasOwn(checks, kind)) checks[kind]!(item, `${path}[${place}]`);
  }
}

function checkTexts(item: Json, names: readonly string[], at: string): void {
  for (const name of names) if (typeof item[name] !== "string") throw invalidAt(`${at}.${name}`, "must be a text.");
}

function checkOutput(item: Json, at: string): void {
  checkTexts(item, ["call_id"], at);
  checkContent(item["output"], `${at}.output`);
}

function checkContent(content: unknown, at: string): void {
  if (typeof content !== "string") checkParts(content, at);
}

function checkParts(parts: unknown, at: string): void {
  if (!Array.isArray(parts)) throw invalidAt(at, "must be a text or a list of parts.");
  for (const [place, part] of (parts as (Json | null)[]).entries()) {
    const here = `${at}[${place}]`;
    if (part === null || typeof part !== "object") throw invalidAt(here, "must be a part with a `type`.");
    const type = String(part["type"]);
    if (Object.hasOwn(texts, type)) checkTexts(part, [texts[type]!], here);
    else if (type === "input_image" || type === "input_file" || type === "input_audio") checkMedium(part, type, here);
    else
      throw invalidAt(
        `${here}.type`,
        `\`${type.slice(0, 40)}\` is no kind of part. Send one of ${[...Object.keys(texts), "input_image", "input_file", "input_audio"].join(", ")}.`,
      );
  }
}

function checkMedium(part: Json, type: string, at: string): void {
  if (part["file_id"] !== undefined && part["file_id"] !== null)
    throw invalidAt(`${at}.file_id`, "is not accepted: it names a file that the provider keeps. Send the data itself.");
  if (type === "input_audio") {
    const audio = part["input_audio"] as Json | null | undefined;
    if (typeof audio?.["data"] !== "string" || typeof audio["format"] !== "string")
      throw invalidAt(`${at}.input_audio`, "must have `data` and `format`.");
    return;
  }
  const names = type === "input_image" ? ["image_url"] : ["file_data", "file_url"];
  if (!names.some((name) => typeof part[name] === "string"))
    throw invalidAt(`${at}.${names[0]}`, "must be a text: an https address, or data:.");
}

/**
 * Throws a 400 where a turn (`own`) brings a result of a call that the conversation (`all`) does not have, as OpenAI does. A compacted
 * conversation may have had the call.
 */
export function checkResults(own: readonly Json[], all: readonly Json[]): void {
  const isResult = (item: Json) => ["function_call_output", "custom_tool_call_output"].includes(kindOf(item));
  if (!own.some(isResult) || all.some((item) => kindOf(item) === "compaction")) return;
  const called = all.filter((item) => ["function_call", "custom_tool_call"].includes(kindOf(item)));
  const calls = new Set(called.map((item) => item["call_id"]));
  for (const [place, item] of own.entries())
    if (isResult(item) && !calls.has(item["call_id"]))
      throw invalidAt(
        `input[${place}].call_id`,
        `names no call of this conversation: no tool call found for ${kindOf(item)} with call_id ${String(item["call_id"]).slice(0, 64)}.`,
      );
}

/** The conversation of a body whose items were checked. */
export function messagesOf(
  instructions: string | null | undefined,
  input: string | readonly Json[] | null | undefined,
): Message[] {
  const messages: Message[] = [];
  if (typeof instructions === "string" && instructions !== "")
    messages.push({ role: "system", parts: [{ kind: "text", text: instructions }] });
  if (typeof input === "string") messages.push({ role: "user", parts: [{ kind: "text", text: input }] });
  else if (input) {
    const builder = new Conversation(messages);
    for (const item of input) builder.add(item);
  }
  return messages;
}

/** Gathers items into messages. */
class Conversation {
  readonly #messages: Message[];
  /** Parts of the last message, while it may grow. */
  #open: { role: "assistant" | "results"; parts: Part[] } | undefined;

  constructor(messages: Message[]) {
    this.#messages = messages;
  }

  add(item: Json): void {
    switch (kindOf(item)) {
      case "message":
        return this.#message(item);
      case "reasoning":
        return this.#assistant(reasoningOf(item), false);
      case "function_call":
      case "custom_tool_call":
        return this.#assistant([callOf(item)], false);
      case "function_call_output":
      case "custom_tool_call_output":
        return this.#result(item);
      case "additional_tools":
        return;
      case "compaction":
        return this.#compaction(item);
      default:
        return this.#push({ role: "user", parts: [{ kind: "opaque", shape: "responses", item }] });
    }
  }

  #message(item: Json): void {
    const parts = partsOf(item["content"]);
    if (item["role"] === "assistant") this.#assistant(parts, true);
    else this.#push({ role: item["role"] as Message["role"], parts });
  }

  /**
   * A message of text begins a new turn unless calls of tools are open, whose results must follow them; thought begins one after text.
   */
  #assistant(parts: readonly Part[], isText: boolean): void {
    if (parts.length === 0) return;
    const open = this.#open?.role === "assistant" ? this.#open.parts : undefined;
    const hasCall = open?.some(({ kind }) => kind === "tool_call");
    const hasText = open?.some(({ kind }) => kind === "text" || kind === "refusal");
    const begins = !hasCall && hasText && (isText || parts.some(({ kind }) => kind === "reasoning"));
    if (open && !begins) return void open.push(...parts);
    const grown = [...parts];
    this.#push({ role: "assistant", parts: grown });
    this.#open = { role: "assistant", parts: grown };
  }

  #result(item: Json): void {
    const part: Part = { kind: "tool_result", id: item["call_id"] as string, parts: partsOf(item["output"]) };
    if (this.#open?.role === "results") return void this.#open.parts.push(part);
    const parts = [part];
    this.#push({ role: "user", parts });
    this.#open = { role: "results", parts };
  }

  /** A summary of our own is told as an instruction; another API's is kept whole. */
  #compaction(item: Json): void {
    const summary = provedBy(item["encrypted_content"])?.summary;
    const part: Part =
      summary === undefined
        ? { kind: "opaque", shape: "responses", item }
        : { kind: "text", text: `Summary of the conversation so far:\n\n${summary}` };
    this.#push({ role: "developer", parts: [part] });
  }

  #push(message: Message): void {
    this.#messages.push(message);
    this.#open = undefined;
  }
}

function callOf(item: Json): Part {
  const { call_id: id, name, namespace } = item as { call_id: string; name: string; namespace?: unknown };
  const custom = kindOf(item) === "custom_tool_call";
  return {
    kind: "tool_call",
    id,
    name,
    arguments: (custom ? item["input"] : item["arguments"]) as string,
    ...(custom && { custom: true }),
    ...(typeof namespace === "string" && { namespace }),
  };
}

/** Thought of an earlier turn: its text, else its summary; what is encrypted proves or continues it. */
function reasoningOf(item: Json): Part[] {
  const read = (list: unknown) =>
    Array.isArray(list) ? (list as Json[]).map((part) => (part["text"] as string | undefined) ?? "").join("\n") : "";
  const text = read(item["content"]);
  const summary = read(item["summary"]);
  const { id } = item;
  const proof = provedBy(item["encrypted_content"]);
  const said = text || (proof?.text ?? "");
  if (said === "" && summary === "" && !proof?.proof) return [];
  return [
    {
      kind: "reasoning",
      text: said || summary,
      ...(said === "" && summary !== "" && { summary: true }),
      ...(proof?.proof && { proof: { ...proof.proof, ...(typeof id === "string" && { id }) } }),
    },
  ];
}

/** Content of a message, or the result of a tool. */
function partsOf(content: unknown): Part[] {
  if (typeof content === "string") return [{ kind: "text", text: content }];
  return (content as Json[]).map(partOf);
}

function partOf(part: Json): Part {
  const { type, detail, filename } = part;
  switch (type) {
    case "refusal":
      return { kind: "refusal", text: part["refusal"] as string };
    case "input_image":
      return {
        kind: "image",
        url: part["image_url"] as string,
        ...(typeof detail === "string" && { detail }),
        ...markOf(part),
      };
    case "input_file":
      return {
        kind: "file",
        url: (part["file_data"] ?? part["file_url"]) as string,
        ...(typeof filename === "string" && { name: filename }),
        ...markOf(part),
      };
    case "input_audio": {
      const { format, data } = part["input_audio"] as { format: string; data: string };
      return { kind: "audio", url: `data:audio/${format};base64,${data}` };
    }
    default:
      return { kind: "text", text: part["text"] as string, ...markOf(part) };
  }
}

/** OpenAI's explicit breakpoint of the prompt cache. Its time is written as `30m` or `12h`; without one it is the default of the engine. */
function markOf(part: Json): { mark?: { ttlSeconds?: number } } {
  const given = part["prompt_cache_breakpoint"] as Json | null | undefined;
  if (given === null || typeof given !== "object") return {};
  const { ttl } = given;
  const [, count, unit] = typeof ttl === "string" ? (/^(\d{1,4})([mh])$/.exec(ttl) ?? []) : [];
  return { mark: count === undefined ? {} : { ttlSeconds: Number(count) * (unit === "h" ? 3600 : 60) } };
}
