// The grammar that an answer must follow: of its schema, of its tool calls, or of either.
import { compileSchema, jsonObjectGrammar, toolGrammar } from "./chat/index.ts";
import type { ChatTool } from "./chat/index.ts";
import type { ChatRequest } from "./request.ts";

export interface AnswerForm {
  /** From the first token on. */
  grammar: string | undefined;
  /** Once the text contains `trigger`, everything behind it follows `grammar`. */
  onTrigger: { trigger: string; grammar: string } | undefined;
  /** An answer that is not a tool call is JSON, held to a schema or to "any object" from its first token on. */
  json: boolean;
  /** The text may hold tool calls. */
  tools: boolean;
  /** The conversation shows the form of calls, even if no tools are offered. The model may write that form, and its tags are not text. */
  showsForm: boolean;
}

/** Throws LineshaftError (400) for what cannot be enforced. */
export function formOf(request: ChatRequest): AnswerForm {
  const tools = request.tools as unknown as ChatTool[];
  const options = { parallel: request.parallelToolCalls };
  const calls = toolGrammar(tools, request.toolChoice, options);
  const schema = request.schema && schemaGrammar(request.schema);
  const showsForm = tools.length > 0 || request.messages.some((message) => showsCalls(message));
  if (calls && !calls.trigger)
    return { grammar: calls.gbnf, onTrigger: undefined, json: false, tools: true, showsForm };
  if (calls && schema) {
    // The model may call or answer, so the grammar allows both from the first token on.
    const called = toolGrammar(tools, "required", options)!;
    const grammar = either(called.gbnf, schema);
    return { grammar, onTrigger: undefined, json: true, tools: true, showsForm };
  }
  return {
    grammar: schema,
    onTrigger: calls?.trigger === undefined ? undefined : { trigger: calls.trigger, grammar: calls.gbnf },
    json: schema !== undefined,
    tools: calls !== undefined,
    showsForm,
  };
}

const showsCalls = (message: Record<string, unknown>): boolean =>
  message["role"] === "tool" || (Array.isArray(message["tool_calls"]) && message["tool_calls"].length > 0);

const schemaGrammar = ({ value, anyObject }: { value: unknown; anyObject: boolean }): string =>
  anyObject ? jsonObjectGrammar() : compileSchema(value);

/** A grammar for texts of one or the other grammar; their rules get distinct names. */
export function either(one: string, other: string): string {
  return `root ::= a-root | b-root\n${renamed(one, "a-")}\n${renamed(other, "b-")}`;
}

/** GBNF with a prefix before every rule name; strings, character classes and comments stay as they are. */
function renamed(gbnf: string, prefix: string): string {
  return gbnf.replace(/"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|#[^\n]*|\{[^}]*\}|[a-zA-Z][a-zA-Z0-9-]*/g, (part) =>
    /^[a-zA-Z]/.test(part) ? prefix + part : part,
  );
}
