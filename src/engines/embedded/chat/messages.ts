// OpenAI's chat messages, checked and normalised: text content, roles that templates know, calls with their arguments as text. Content that
// a text model cannot read is refused by name.

import { chatRefused } from "./errors.ts";
/** A message as OpenAI's chat API has it. */
export interface ChatMessage {
  role: string;
  content?: string | readonly { type: string; text?: string }[] | null;
  tool_calls?: readonly { id?: string; type?: string; function: { name: string; arguments: string } }[] | null;
  tool_call_id?: string;
  name?: string;
}

/** A tool as OpenAI's chat API has it. */
export interface ChatTool {
  type: "function";
  function: {
    name: string;
    description?: string;
    parameters?: Record<string, unknown> | null;
    strict?: boolean | null;
  };
}

/** A message as templates take it: content is text. */
export interface Turn {
  role: "system" | "user" | "assistant" | "tool";
  content: string;
  calls: { id: string | undefined; name: string; arguments: string }[];
  /** For a tool's result: the id of its call. */
  callId: string | undefined;
  name: string | undefined;
}

const roles: Readonly<Record<string, Turn["role"]>> = {
  system: "system",
  developer: "system",
  user: "user",
  assistant: "assistant",
  tool: "tool",
};

/** Checks a conversation. Throws LineshaftError with the message's place. */
export function turnsOf(messages: readonly ChatMessage[]): Turn[] {
  if (messages.length === 0)
    throw chatRefused("no_messages", "`messages` is empty; send at least one message.", "messages");
  return messages.map((message, index) => {
    const at = `messages[${index}]`;
    const role = Object.hasOwn(roles, message.role) ? roles[message.role] : undefined;
    if (!role)
      throw chatRefused(
        "unsupported_role",
        `The role \`${message.role}\` is not known; use system, developer, user, assistant or tool.`,
        `${at}.role`,
      );
    const calls = role === "assistant" ? (message.tool_calls ?? []) : [];
    if (role === "tool" && !message.tool_call_id) {
      throw chatRefused(
        "missing_tool_call_id",
        "A message of the role tool needs the `tool_call_id` of the call it answers.",
        `${at}.tool_call_id`,
      );
    }
    return {
      role,
      content: textOf(message.content, `${at}.content`, role === "assistant"),
      calls: calls.map((call) => ({ id: call.id, name: call.function.name, arguments: call.function.arguments })),
      callId: role === "tool" ? message.tool_call_id : undefined,
      name: message.name,
    };
  });
}

/** Text of a content; text parts are put on lines of their own. */
function textOf(content: ChatMessage["content"], param: string, mayBeAbsent: boolean): string {
  if (typeof content === "string") return content;
  if (content === null || content === undefined) {
    if (mayBeAbsent) return "";
    throw chatRefused(
      "missing_content",
      "The message has no content; only an assistant's message may be without.",
      param,
    );
  }
  const texts = content.map((part, index) => {
    if (part.type === "refusal" && mayBeAbsent) return "";
    if (part.type !== "text" || typeof part.text !== "string") {
      throw chatRefused(
        "unsupported_content",
        `Content of the type \`${part.type}\` is not supported by this model; send parts of the type text.`,
        `${param}[${index}]`,
      );
    }
    return part.text;
  });
  return texts.join("\n");
}
