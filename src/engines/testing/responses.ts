// The scripted engine in the shape of OpenAI's Responses. Composed from OpenAI's API reference, not recorded: the order of events, their
// members and the members of a response are those that it documents.
import type { ServerResponse } from "node:http";
import type { Script } from "../testing.ts";
import type { ScriptedWire } from "./wire.ts";

type Json = Record<string, unknown>;

export const scriptedResponses: ScriptedWire = {
  isCall: (path) => path.endsWith("/responses"),
  streams: (_path, body) => body["stream"] === true,
  whole: (script) => responseOf(script),
  stream,
};

const usual = ["Hello", ", ", "world", "."];
const textsOf = ({ chunks, toolCalls }: Script): string[] => chunks ?? (toolCalls ? [] : usual);

/** Items of the whole answer. Thought comes first, calls of tools come last. */
function itemsOf(script: Script): Json[] {
  const items: Json[] = [];
  const { reasoning, proof } = script;
  if (reasoning || proof !== undefined)
    items.push({
      type: "reasoning",
      id: "rs_scripted",
      summary: reasoning ? [{ type: "summary_text", text: reasoning.join("") }] : [],
      ...(proof !== undefined && { encrypted_content: proof }),
    });
  const text = textsOf(script).join("");
  if (textsOf(script).length > 0)
    items.push({
      type: "message",
      id: "msg_scripted",
      status: "completed",
      role: "assistant",
      content: [{ type: "output_text", text, annotations: [], logprobs: [] }],
    });
  for (const [place, call] of (script.toolCalls ?? []).entries())
    items.push({
      type: "function_call",
      id: `fc_${place}`,
      call_id: call.id ?? `call_${place}`,
      name: call.name,
      arguments: call.arguments,
      status: "completed",
    });
  return items;
}

function responseOf(script: Script, isBegun = false): Json {
  const isShort = script.finishReason === "length";
  return {
    id: "resp_scripted",
    object: "response",
    created_at: 1,
    model: "scripted",
    status: isBegun ? "in_progress" : isShort ? "incomplete" : "completed",
    error: null,
    incomplete_details: isShort && !isBegun ? { reason: "max_output_tokens" } : null,
    output: isBegun ? [] : itemsOf(script),
    usage: isBegun ? null : usageOf(script),
    store: false,
  };
}

function usageOf(script: Script): Json | null {
  if (script.usage === null) return null;
  const { prompt, cached = 0, output, reasoning = 0 } = script.usage ?? { prompt: 10, output: 4 };
  return {
    input_tokens: prompt,
    ...(cached !== null && { input_tokens_details: { cached_tokens: cached } }),
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: prompt + output,
  };
}

async function stream(response: ServerResponse, script: Script): Promise<void> {
  let number = 0;
  const tell = (type: string, members: Json) =>
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: number++, ...members })}\n\n`);
  response.writeHead(200, { "content-type": "text/event-stream" });
  const begun = responseOf(script, true);
  tell("response.created", { response: begun });
  tell("response.in_progress", { response: begun });
  for (const [index, item] of itemsOf(script).entries()) {
    const at = { item_id: item["id"], output_index: index };
    tell("response.output_item.added", { output_index: index, item: begunItem(item) });
    if (item["type"] === "reasoning") {
      tell("response.reasoning_summary_part.added", {
        ...at,
        summary_index: 0,
        part: { type: "summary_text", text: "" },
      });
      for (const delta of script.reasoning ?? [])
        tell("response.reasoning_summary_text.delta", { ...at, summary_index: 0, delta });
    } else if (item["type"] === "message") {
      if (!(await tellText(response, script, (type, members) => tell(type, { ...at, content_index: 0, ...members }))))
        return;
    } else {
      const text = item["arguments"] as string;
      for (const delta of [text.slice(0, 3), text.slice(3)])
        tell("response.function_call_arguments.delta", { ...at, delta });
      tell("response.function_call_arguments.done", { ...at, arguments: text });
    }
    tell("response.output_item.done", { output_index: index, item });
  }
  const whole = responseOf(script);
  tell(`response.${String(whole["status"])}`, { response: whole });
  response.end();
}

function begunItem(item: Json): Json {
  if (item["type"] === "message") return { ...item, status: "in_progress", content: [] };
  if (item["type"] === "reasoning") return { type: "reasoning", id: item["id"], summary: [] };
  return { ...item, status: "in_progress", arguments: "" };
}

/** False where the script has cut the stream. */
async function tellText(
  response: ServerResponse,
  script: Script,
  tell: (type: string, members: Json) => void,
): Promise<boolean> {
  const texts = textsOf(script);
  tell("response.content_part.added", { part: { type: "output_text", text: "", annotations: [], logprobs: [] } });
  for (const [place, delta] of texts.entries()) {
    if (script.waitAfter === place) await script.wait;
    if (script.cut === place) return (void response.destroy(), false);
    tell("response.output_text.delta", { delta, logprobs: [] });
    if (script.wait || script.cut !== undefined) await new Promise((resolve) => setImmediate(resolve));
  }
  if (script.cut === texts.length) return (void response.destroy(), false);
  const text = texts.join("");
  tell("response.output_text.done", { text, logprobs: [] });
  tell("response.content_part.done", { part: { type: "output_text", text, annotations: [], logprobs: [] } });
  return true;
}
