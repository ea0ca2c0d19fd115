// The form in which tools are shown to a model whose own template has none (README.md): Hermes' XML tags around JSON, which most small
// instruct models have met in training. Definitions go into the first system message, so they are part of the stable prefix; calls and
// results are text of their own messages, so a longer conversation only appends.
import { spacedJson } from "./json.ts";
import type { ChatTool, Turn } from "./messages.ts";

/** The tags around a call, as in Hermes 2 Pro and Qwen 2.5. */
export const callOpen = "<tool_call>";
export const callClose = "</tool_call>";
/** Every tag by which calls and their results are framed in a conversation. */
export const formTags = [callOpen, callClose, "<tool_response>", "</tool_response>"];

/** Whether a template writes tools in this form by itself (Qwen 2.5 and 3, Hermes). Others get `withTools`. */
export function writesHermesItself(template: string): boolean {
  return (
    /\btools\b/.test(template) &&
    template.includes(callOpen) &&
    template.includes("arguments") &&
    !template.includes("<function=")
  );
}

/** A definition with its keys in one order, whatever the client's; the schema inside keeps its own, which has meaning. */
export function definition(tool: ChatTool): Record<string, unknown> {
  const { name, description, parameters } = tool.function;
  return {
    type: "function",
    function: {
      name,
      ...(description === undefined ? {} : { description }),
      parameters: parameters ?? { type: "object", properties: {} },
    },
  };
}

function instructions(tools: readonly ChatTool[]): string {
  return [
    "# Tools",
    "",
    "You may call one or more functions to assist with the user query.",
    "",
    "You are provided with function signatures within <tools></tools> XML tags:",
    "<tools>",
    ...tools.map((tool) => spacedJson(definition(tool))),
    "</tools>",
    "",
    `For each function call, return a json object with function name and arguments within ${callOpen}${callClose} XML tags:`,
    callOpen,
    '{"name": <function-name>, "arguments": <args-json-object>}',
    callClose,
  ].join("\n");
}

/** One call as the model writes it and as history shows it. Arguments that are JSON stand as they were written. */
export function callText(name: string, argumentsText: string): string {
  let body = argumentsText.trim();
  try {
    JSON.parse(body);
  } catch {
    body = body === "" ? "{}" : JSON.stringify(argumentsText);
  }
  return `${callOpen}\n{"name": ${JSON.stringify(name)}, "arguments": ${body}}\n${callClose}`;
}

/** The conversation with tools, calls and results written out as text; only the roles system, user and assistant remain. */
export function withTools(turns: readonly Turn[], tools: readonly ChatTool[]): Turn[] {
  const written = turns.map((turn): Turn => {
    if (turn.role === "tool") {
      return {
        ...turn,
        role: "user",
        content: `<tool_response>\n${turn.content}\n</tool_response>`,
      };
    }
    if (turn.calls.length === 0) return turn;
    const calls = turn.calls.map((call) => callText(call.name, call.arguments)).join("\n");
    return { ...turn, content: turn.content === "" ? calls : `${turn.content}\n${calls}`, calls: [] };
  });
  if (tools.length === 0) return written;
  const first = written[0];
  const system = first?.role === "system" ? first : undefined;
  const content = system && system.content !== "" ? `${system.content}\n\n${instructions(tools)}` : instructions(tools);
  const lead: Turn = { role: "system", content, calls: [], callId: undefined, name: undefined };
  return [lead, ...written.slice(system ? 1 : 0)];
}

/**
 * The same for a template without a system role, or one whose roles must alternate: the system message leads the first user's, and results
 * of one answer share a message. Only text that `withTools` wrote is moved; the caller's turns are unchanged.
 */
export function folded(written: readonly Turn[]): Turn[] {
  const result: Turn[] = [];
  const system = written[0]?.role === "system" ? written[0].content : undefined;
  for (const turn of written.slice(system === undefined ? 0 : 1)) {
    const last = result.at(-1);
    if (turn.callId !== undefined && last?.callId !== undefined) last.content += `\n${turn.content}`;
    else result.push({ ...turn });
  }
  if (system === undefined) return result;
  if (result[0]?.role === "user") result[0].content = `${system}\n\n${result[0].content}`;
  else result.unshift({ role: "user", content: system, calls: [], callId: undefined, name: undefined });
  return result;
}
