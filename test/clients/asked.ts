// What a request asks for, read from the JSON of any wire that an engine may be sent. It reads only what the rule engine decides by, and is
// written apart from the gateway's own readers, so that a mistake of those is not repeated here.
type Json = Record<string, any>;

export interface Seen {
  /** Text of every message of the user, oldest first. */
  said: string[];
  system: string;
  tools: { name: string; schema: Json; custom: boolean }[];
  choice: "auto" | "required" | "none" | { name: string };
  /** Results of tools, oldest first, and the calls that asked for them. */
  results: string[];
  calls: { name: string; arguments: string }[];
  /** The last message is a tool's result. */
  answersTool: boolean;
  /** Schema of the answer; `{}` where any JSON is asked for. */
  schema?: Json;
  media: number;
  thinks: boolean;
  stream: boolean;
}

/** Reads a body by its path: `/chat/completions`, `/completions`, `/messages`, `/responses` or Gemini's. */
export function readSeen(path: string, body: Json): Seen {
  if (path.includes("/chat/completions")) return readChat(body);
  if (path.endsWith("/completions")) return { ...empty(body), said: [String(body["prompt"])] };
  if (path.includes("/messages")) return readMessages(body);
  if (path.includes("/responses")) return readResponses(body);
  if (path.includes("enerateContent")) return readGemini(body, path);
  throw new Error(`The rule engine reads no body of ${path}.`);
}

function empty(body: Json): Seen {
  const stream = body["stream"] === true;
  return {
    said: [],
    system: "",
    tools: [],
    choice: "auto",
    results: [],
    calls: [],
    answersTool: false,
    media: 0,
    thinks: false,
    stream,
  };
}

const list = (value: unknown): Json[] => (Array.isArray(value) ? (value as Json[]) : []);

const textOf = (content: unknown): string =>
  typeof content === "string"
    ? content
    : list(content)
        .map((part) => part["text"] ?? (part["content"] === undefined ? "" : textOf(part["content"])))
        .join("\n");

const mediaIn = (content: unknown): number =>
  list(content).filter((part) =>
    ["image_url", "input_image", "image", "input_audio", "file", "input_file", "document"].includes(part["type"]),
  ).length +
  list(content).reduce((sum, part) => sum + (part["content"] === undefined ? 0 : mediaIn(part["content"])), 0);

function readChat(body: Json): Seen {
  const seen = empty(body);
  for (const message of list(body["messages"])) {
    const text = textOf(message["content"]);
    seen.answersTool = message["role"] === "tool";
    if (message["role"] === "tool") seen.results.push(text);
    else if (message["role"] === "system" || message["role"] === "developer") seen.system += text;
    else if (message["role"] === "user") seen.said.push(text);
    seen.media += mediaIn(message["content"]);
    for (const call of list(message["tool_calls"]))
      seen.calls.push({ name: call["function"].name, arguments: call["function"].arguments });
  }
  seen.tools = list(body["tools"]).map((tool) => ({
    name: tool["function"]?.name,
    schema: tool["function"]?.parameters ?? {},
    custom: false,
  }));
  seen.choice = choiceOf(body["tool_choice"]);
  const format = body["response_format"];
  if (format?.type === "json_schema") seen.schema = format.json_schema.schema ?? {};
  else if (format?.type === "json_object") seen.schema = {};
  seen.thinks = thinksBy(body["reasoning_effort"]);
  return seen;
}

function readMessages(body: Json): Seen {
  const seen = empty(body);
  seen.system = textOf(body["system"]);
  for (const message of list(body["messages"])) {
    const content = message["content"];
    seen.answersTool = false;
    if (typeof content === "string") seen.said.push(...(message["role"] === "user" ? [content] : []));
    for (const block of list(content)) {
      if (block["type"] === "tool_result") seen.results.push(textOf(block["content"]));
      if (block["type"] === "tool_result") seen.answersTool = true;
      if (block["type"] === "tool_use")
        seen.calls.push({ name: block["name"], arguments: JSON.stringify(block["input"]) });
      if (block["type"] === "text" && message["role"] === "user") seen.said.push(block["text"]);
      if (block["type"] === "text" && message["role"] === "system") seen.system += block["text"];
    }
    seen.media += mediaIn(content);
  }
  seen.tools = list(body["tools"])
    .filter((tool) => tool["input_schema"] !== undefined)
    .map((tool) => ({ name: tool["name"], schema: tool["input_schema"], custom: false }));
  const choice = body["tool_choice"];
  seen.choice = choice?.type === "any" ? "required" : choice?.type === "tool" ? { name: choice.name } : "auto";
  if (choice?.type === "none") seen.choice = "none";
  const format = body["output_config"]?.format ?? body["output_format"];
  if (format?.type === "json_schema") seen.schema = format.schema;
  seen.thinks = body["thinking"]?.type === "enabled" || body["thinking"]?.type === "adaptive";
  return seen;
}

function readResponses(body: Json): Seen {
  const seen = empty(body);
  seen.system = body["instructions"] ?? "";
  if (typeof body["input"] === "string") seen.said.push(body["input"]);
  for (const item of list(body["input"])) {
    const type = item["type"] ?? "message";
    seen.answersTool = type.endsWith("_call_output");
    if (seen.answersTool) seen.results.push(textOf(item["output"]));
    if (type === "function_call") seen.calls.push({ name: item["name"], arguments: item["arguments"] });
    if (type === "custom_tool_call") seen.calls.push({ name: item["name"], arguments: item["input"] });
    if (type !== "message") continue;
    if (item["role"] === "user") seen.said.push(textOf(item["content"]));
    else if (item["role"] !== "assistant") seen.system += textOf(item["content"]);
    seen.media += mediaIn(item["content"]);
  }
  const tools = [...list(body["tools"]), ...list(body["input"]).flatMap((item) => list(item["tools"]))];
  seen.tools = tools
    .flatMap((tool) => (tool["type"] === "namespace" ? list(tool["tools"]) : [tool]))
    .filter((tool) => tool["type"] === "function" || tool["type"] === "custom")
    .map((tool) => ({ name: tool["name"], schema: tool["parameters"] ?? {}, custom: tool["type"] === "custom" }));
  seen.choice = choiceOf(body["tool_choice"]);
  const format = body["text"]?.format;
  if (format?.type === "json_schema") seen.schema = format.schema;
  else if (format?.type === "json_object") seen.schema = {};
  seen.thinks = thinksBy(body["reasoning"]?.effort);
  return seen;
}

function readGemini(body: Json, path: string): Seen {
  const seen = { ...empty(body), stream: path.includes("stream") };
  seen.system = textOf(body["systemInstruction"]?.parts);
  for (const content of list(body["contents"]))
    for (const part of list(content["parts"])) {
      seen.answersTool = part["functionResponse"] !== undefined;
      if (seen.answersTool) seen.results.push(JSON.stringify(part["functionResponse"].response));
      if (part["functionCall"]) {
        const { name, args } = part["functionCall"];
        seen.calls.push({ name, arguments: JSON.stringify(args ?? {}) });
      }
      if (part["inlineData"] || part["fileData"]) seen.media++;
      if (typeof part["text"] === "string" && content["role"] !== "model") seen.said.push(part["text"]);
    }
  seen.tools = list(body["tools"])
    .flatMap((tool) => list(tool["functionDeclarations"]))
    .map((tool) => ({
      name: tool["name"],
      schema: tool["parametersJsonSchema"] ?? tool["parameters"] ?? {},
      custom: false,
    }));
  const mode = body["toolConfig"]?.functionCallingConfig?.mode;
  if (mode === "ANY") seen.choice = "required";
  if (mode === "NONE") seen.choice = "none";
  const config = body["generationConfig"] ?? {};
  const schema = config.responseJsonSchema ?? config.responseSchema;
  if (schema) seen.schema = schema;
  else if (config.responseMimeType === "application/json") seen.schema = {};
  seen.thinks = config.thinkingConfig?.includeThoughts === true;
  return seen;
}

function choiceOf(choice: any): Seen["choice"] {
  if (choice === "required" || choice === "none") return choice;
  const name = choice?.function?.name ?? choice?.name;
  if (typeof name === "string") return { name };
  return choice?.mode === "required" || choice?.allowed_tools?.mode === "required" ? "required" : "auto";
}

const thinksBy = (effort: unknown): boolean => typeof effort === "string" && effort !== "none";
