// The rule engine: a scripted engine that obeys. Suites of other people judge a server by what its model does with tools, schemas and
// images, which a small model does only sometimes. This one calls the tool that it is given, answers JSON by the schema, and says what it
// was told. It is no model; what it answers depends on the request alone.
import type { Script, SeenRequest } from "../../src/engines/testing.ts";
import { readSeen, type Seen } from "./asked.ts";

/** A rule that comes before the usual ones: undefined leaves the request to those. */
export type Rule = (seen: Seen, request: SeenRequest) => Script | undefined;

/** For `ScriptedEngine.decide`. */
export function ruleEngine(...first: Rule[]): (request: SeenRequest) => Script {
  return (request) => {
    const seen = readSeen(request.path, request.body);
    for (const rule of first) {
      const script = rule(seen, request);
      if (script) return counted(identified(script, seen), request);
    }
    return counted(identified(usual(seen), seen), request);
  };
}

/** Claude Code leaves out a call of a tool whose id a call before it had: ids go on from the calls of the conversation. */
function identified(script: Script, seen: Seen): Script {
  if (!script.toolCalls) return script;
  const toolCalls = script.toolCalls.map((call, index) => ({ id: `call_r${seen.calls.length + index}`, ...call }));
  return { ...script, toolCalls };
}

/** One token for four characters, as any estimate has it. */
function counted(script: Script, request: SeenRequest): Script {
  if (script.fail || script.usage !== undefined) return script;
  const text = (script.chunks ?? []).join("") + (script.toolCalls ?? []).map((call) => call.arguments).join("");
  const reasoning = script.reasoning && Math.ceil(script.reasoning.join("").length / 4);
  const output = Math.max(1, Math.ceil(text.length / 4)) + (reasoning ?? 0);
  const prompt = Math.ceil(request.text.length / 4);
  return { ...script, usage: { prompt, cached: 0, output, ...(reasoning !== undefined && { reasoning }) } };
}

/** What is answered where no rule of the test's own does. */
export function usual(seen: Seen): Script {
  const reasoning = seen.thinks ? { reasoning: ["I look at ", "what was asked."] } : {};
  const tool = toolToCall(seen);
  if (tool)
    return {
      ...reasoning,
      chunks: [],
      toolCalls: [{ name: tool.name, arguments: JSON.stringify(argumentsFor(tool, seen)) }],
    };
  if (seen.schema) return { ...reasoning, chunks: pieces(JSON.stringify(exampleOf(seen.schema, seen.said.at(-1)))) };
  return { ...reasoning, chunks: pieces(sentence(seen)) };
}

function toolToCall(seen: Seen): Seen["tools"][number] | undefined {
  if (seen.tools.length === 0 || seen.choice === "none" || seen.answersTool) return undefined;
  const wanted = typeof seen.choice === "object" ? seen.choice.name : undefined;
  if (wanted !== undefined) return seen.tools.find((tool) => tool.name === wanted);
  if (seen.choice === "required") return seen.tools[0];
  const last = seen.said.at(-1)?.toLowerCase() ?? "";
  // One tool, or the one whose name the user's words have: an agent's greeting calls nothing.
  const named = seen.tools.find(({ name }) =>
    name.split(/[_-]/).some((word) => word.length > 3 && last.includes(word)),
  );
  return named ?? (seen.tools.length === 1 ? seen.tools[0] : undefined);
}

function argumentsFor(tool: Seen["tools"][number], seen: Seen): unknown {
  return tool.custom ? { input: seen.said.at(-1) ?? "" } : exampleOf(tool.schema, seen.said.at(-1));
}

function sentence(seen: Seen): string {
  if (seen.answersTool) return `The tool said: ${seen.results.at(-1)}`;
  if (seen.media > 0) return "The image shows a small red square.";
  const said = seen.said.at(-1) ?? "";
  const name = /[Mm]y name is (\w+)/.exec(seen.said.join("\n"));
  if (name && /what is my name|what's my name/i.test(said)) return name[1]!;
  if (/one word/i.test(`${seen.system} ${said}`)) return "Hello.";
  if (/count from 1 to 5/i.test(said)) return "1, 2, 3, 4, 5";
  if (/3 words/i.test(said)) return "Hello to you.";
  if (/15 \* 37/.test(said)) return "15 * 37 = 555";
  return `I read: ${said.slice(0, 200)}`;
}

const pieces = (text: string): string[] => text.match(/.{1,12}/gsu) ?? [];

/** The smallest value that a schema of JSON Schema, or of Gemini's upper-case dialect, takes; `hint` fills strings. */
export function exampleOf(schema: any, hint = "text"): unknown {
  if (schema === null || typeof schema !== "object") return hint;
  if (schema.const !== undefined) return schema.const;
  if (Array.isArray(schema.enum)) return schema.enum[0];
  const either = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(either)) return exampleOf(either[0], hint);
  if (Array.isArray(schema.allOf)) return exampleOf(Object.assign({}, ...schema.allOf), hint);
  const type = String(Array.isArray(schema.type) ? schema.type[0] : (schema.type ?? (schema.properties && "object")));
  switch (type.toLowerCase()) {
    case "object": {
      const properties = (schema.properties ?? {}) as Record<string, unknown>;
      const required = (schema.required ?? []) as string[];
      return Object.fromEntries(required.map((name) => [name, exampleOf(properties[name] ?? {}, hint)]));
    }
    case "array":
      return Array.from({ length: schema.minItems ?? 1 }, () => exampleOf(schema.items ?? {}, hint));
    case "integer":
    case "number":
      return Math.min(Math.max(1, schema.minimum ?? 1), schema.maximum ?? 1);
    case "boolean":
      return true;
    case "null":
      return null;
    case "string":
      return stringFor(schema, hint);
    default:
      return { answer: hint };
  }
}

function stringFor(schema: any, hint: string): string {
  if (schema.format === "date") return "2026-01-31";
  if (schema.format === "date-time") return "2026-01-31T12:00:00Z";
  const city = /\bin ([A-Z]\w+(?: [A-Z]\w+)*)/.exec(hint);
  return (city?.[1] ?? hint).slice(0, schema.maxLength ?? 200);
}
