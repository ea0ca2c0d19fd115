// The scripted engine in the shape of Anthropic's Messages. Composed from Anthropic's API reference, not recorded: the order of events, and
// the members of a message and of its usage, are those that it documents.
import type { ServerResponse } from "node:http";
import type { Script } from "../testing.ts";
import type { ScriptedWire } from "./wire.ts";

type Json = Record<string, unknown>;

export const scriptedMessages: ScriptedWire = {
  isCall: (path) => path.split("?")[0]!.endsWith("/messages"),
  streams: (_path, body) => body["stream"] === true,
  models: (names) => ({
    data: names.map((id) => ({
      type: "model",
      id,
      display_name: id,
      max_input_tokens: 200_000,
      max_tokens: 64_000,
      capabilities: {
        image_input: { supported: true },
        pdf_input: { supported: true },
        effort: { supported: true },
        thinking: { supported: true, types: { adaptive: { supported: true }, enabled: { supported: true } } },
      },
    })),
    has_more: false,
  }),
  whole: (script) => ({
    ...messageOf(script, false),
    content: blocksOf(script),
    ...stopOf(script),
    usage: usageOf(script, false),
  }),
  stream,
  refusal: (status) => ({
    type: "error",
    error: { type: status === 529 ? "overloaded_error" : "api_error", message: `scripted ${status}` },
    request_id: "req_scripted",
  }),
};

const usual = ["Hello", ", ", "world", "."];
const textsOf = ({ chunks, toolCalls }: Script): string[] => chunks ?? (toolCalls ? [] : usual);

const messageOf = (script: Script, isBegun: boolean): Json => ({
  id: "msg_scripted",
  type: "message",
  role: "assistant",
  model: "scripted",
  content: [],
  stop_reason: null,
  stop_sequence: null,
  ...(isBegun && { usage: usageOf(script, true) }),
});

/** Blocks of the answer: thought with what proves it, text, calls. */
function blocksOf(script: Script): Json[] {
  const { reasoning, proof, toolCalls = [] } = script;
  const blocks: Json[] = [];
  if (reasoning || proof !== undefined)
    blocks.push({ type: "thinking", thinking: (reasoning ?? []).join(""), signature: proof ?? "" });
  const texts = textsOf(script);
  if (texts.length > 0) blocks.push({ type: "text", text: texts.join("") });
  for (const [place, call] of toolCalls.entries())
    blocks.push({
      type: "tool_use",
      id: call.id ?? `toolu_${place}`,
      name: call.name,
      input: JSON.parse(call.arguments) as unknown,
    });
  return blocks;
}

const reasons: Readonly<Record<string, string>> = { stop: "end_turn", length: "max_tokens", tool_calls: "tool_use" };

function stopOf({ finishReason, toolCalls }: Script): Json {
  const finish = finishReason ?? (toolCalls ? "tool_calls" : "stop");
  return { stop_reason: reasons[finish] ?? finish, stop_sequence: null };
}

/** The count of output in the first event is a placeholder. */
function usageOf(script: Script, isBegun: boolean): Json | undefined {
  if (script.usage === null) return undefined;
  const {
    prompt,
    cached = 0,
    written = 0,
    writtenLong = 0,
    output,
    reasoning,
  } = script.usage ?? { prompt: 10, output: 4 };
  return {
    input_tokens: prompt - (cached ?? 0) - written - writtenLong,
    cache_creation_input_tokens: written + writtenLong,
    ...(cached !== null && { cache_read_input_tokens: cached }),
    cache_creation: { ephemeral_5m_input_tokens: written, ephemeral_1h_input_tokens: writtenLong },
    output_tokens: isBegun ? 1 : output,
    ...(reasoning !== undefined && !isBegun && { output_tokens_details: { thinking_tokens: reasoning } }),
  };
}

async function stream(response: ServerResponse, script: Script): Promise<void> {
  const tell = (type: string, members: Json) =>
    void response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`);
  response.writeHead(200, { "content-type": "text/event-stream" });
  tell("message_start", { message: messageOf(script, true) });
  tell("ping", {});
  let index = 0;
  const block = (content_block: Json, deltas: Json[]) => {
    tell("content_block_start", { index, content_block });
    for (const delta of deltas) tell("content_block_delta", { index, delta });
    tell("content_block_stop", { index: index++ });
  };
  const { reasoning, proof } = script;
  if (reasoning || proof !== undefined)
    block({ type: "thinking", thinking: "", signature: "" }, [
      ...(reasoning ?? []).map((thinking) => ({ type: "thinking_delta", thinking })),
      ...(proof === undefined ? [] : [{ type: "signature_delta", signature: proof }]),
    ]);
  if (!(await writeText(response, script, tell, index))) return;
  if (textsOf(script).length > 0) index++;
  for (const [place, call] of (script.toolCalls ?? []).entries())
    block({ type: "tool_use", id: call.id ?? `toolu_${place}`, name: call.name, input: {} }, [
      { type: "input_json_delta", partial_json: call.arguments.slice(0, 3) },
      { type: "input_json_delta", partial_json: call.arguments.slice(3) },
    ]);
  tell("message_delta", { delta: stopOf(script), usage: usageOf(script, false) });
  tell("message_stop", {});
  response.end();
}

/** The block of text, as the script waits and breaks off in it; false where it has broken off. */
async function writeText(
  response: ServerResponse,
  script: Script,
  tell: (type: string, members: Json) => void,
  index: number,
): Promise<boolean> {
  const texts = textsOf(script);
  if (texts.length > 0) tell("content_block_start", { index, content_block: { type: "text", text: "" } });
  for (const [place, text] of texts.entries()) {
    if (script.waitAfter === place) await script.wait;
    if (script.cut === place) return cutOff(response);
    tell("content_block_delta", { index, delta: { type: "text_delta", text } });
    if (script.wait || script.cut !== undefined) await new Promise((resolve) => setImmediate(resolve));
  }
  if (script.cut === texts.length) return cutOff(response);
  if (texts.length > 0) tell("content_block_stop", { index });
  return true;
}

function cutOff(response: ServerResponse): false {
  response.destroy();
  return false;
}
