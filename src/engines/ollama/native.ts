// A call of OpenAI's shape as Ollama's own API has it, only to find out whether its prompt fits: the own API can be told to refuse a prompt
// that is too long (`truncate: false`), OpenAI's routes always cut it without a word. One token is computed. The prompt stays in the slot's
// cache, so the call that follows computes none of it again. Messages are split into parts as Ollama's own OpenAI routes split them.

type Json = Record<string, unknown>;

/** A question whose answer says how long the prompt is, or refuses it. */
export interface Question {
  path: "/api/chat" | "/api/generate" | "/api/embed";
  body: Json;
}

const asWhole = { stream: false, truncate: false, shift: false, options: { num_predict: 1 } };

export function chatQuestion(model: string, { messages, tools, reasoning_effort }: Json): Question {
  const names = new Map<unknown, unknown>();
  const body = {
    model,
    messages: (messages as Json[]).flatMap((one) => nativeMessages(one, names)),
    tools,
    // A template may write another prompt where the model is to think.
    think: reasoning_effort === "none" ? false : reasoning_effort,
    ...asWhole,
  };
  return { path: "/api/chat", body };
}

export function completionQuestion(model: string, { prompt, suffix }: Json): Question {
  return { path: "/api/generate", body: { model, prompt, suffix, ...asWhole } };
}

export function embeddingQuestion(model: string, { input }: Json): Question {
  return { path: "/api/embed", body: { model, input, truncate: false } };
}

/** `names`: of the tools by the ids of their calls, because a result has the id alone. */
function nativeMessages(message: Json, names: Map<unknown, unknown>): Json[] {
  const { role, content, reasoning, tool_calls, tool_call_id } = message;
  const calls = Array.isArray(tool_calls) ? (tool_calls as Json[]).map((call) => nativeCall(call, names)) : undefined;
  const toolName = tool_call_id === undefined ? undefined : names.get(tool_call_id);
  const rest = {
    ...(reasoning !== undefined && { thinking: reasoning }),
    ...(calls && { tool_calls: calls }),
    ...(typeof toolName === "string" && { tool_name: toolName }),
    ...(tool_call_id !== undefined && { tool_call_id }),
  };
  if (!Array.isArray(content)) return [{ role, content: content ?? "", ...rest }];
  // Parts are messages of their own, and only calls of tools bring the rest of the message along, in the last of them.
  return (content as Json[]).map((part, place) => ({
    role,
    ...nativePart(part),
    ...(calls && place === content.length - 1 && rest),
  }));
}

function nativePart(part: Json): Json {
  const address = (part["image_url"] as Json | undefined)?.["url"];
  const data = typeof address === "string" ? /^data:[^,]*;base64,(.*)$/s.exec(address)?.[1] : undefined;
  if (data !== undefined) return { content: "", images: [data] };
  return { content: typeof part["text"] === "string" ? part["text"] : "" };
}

function nativeCall(call: Json, names: Map<unknown, unknown>): Json {
  const { name, arguments: text } = (call["function"] ?? {}) as Json;
  names.set(call["id"], name);
  return { id: call["id"], function: { name, arguments: objectOf(text) } };
}

function objectOf(text: unknown): unknown {
  try {
    return JSON.parse(String(text)) as unknown;
  } catch {
    return {};
  }
}
