// The grammar that a tool call must follow, in the form of hermes.ts.
import { chatRefused } from "./errors.ts";
import { LRUCache } from "lru-cache";
import { GrammarBuilder, literal, oneOfThese } from "./gbnf.ts";
import { callClose, callOpen } from "./hermes.ts";
import type { ChatTool } from "./messages.ts";
import { finish, writeSchema } from "./schema.ts";
import { SchemaWriter } from "./writer.ts";

/** OpenAI's `tool_choice`; undefined is `auto`. */
export type ToolChoice = "none" | "auto" | "required" | { type: "function"; function: { name: string } };

/** The grammar of the calls of an answer, in GBNF. */
interface ToolGrammar {
  gbnf: string;
  /** The grammar begins behind this text, once the model has written it; undefined: with the first token. */
  trigger?: string;
}

/** Most calls in one answer, so that a small model cannot repeat calls without end. */
const maxCalls = 16;

const grammars = new LRUCache<string, ToolGrammar>({ max: 64 });

/** The tools to show to the model: none when the choice is `none`, else all, so that the prompt's prefix does not depend on the choice. */
export function offeredTools(
  tools: readonly ChatTool[] | undefined,
  choice: ToolChoice | undefined,
): readonly ChatTool[] {
  return choice === "none" ? [] : (tools ?? []);
}

/**
 * The grammar for the calls of an answer; undefined when nothing is to be enforced (no tools, or `none`). `required`: a call from the first
 * token, or several where `parallel`. A named tool: exactly one call of it. `auto`: free text, and from `trigger` on a whole call, then
 * (unless `parallel` is false) further calls or the end. Throws LineshaftError for a choice that names no tool, LineshaftError for a strict
 * tool whose parameters cannot be enforced.
 */
export function toolGrammar(
  tools: readonly ChatTool[] | undefined,
  choice: ToolChoice | undefined,
  options: { parallel?: boolean } = {},
): ToolGrammar | undefined {
  const offered = offeredTools(tools, choice);
  const named = typeof choice === "object" ? choice.function.name : undefined;
  if (offered.length === 0) {
    if (named !== undefined || choice === "required") {
      throw chatRefused(
        "no_tools",
        "`tool_choice` asks for a call, but there are no `tools`; send them or leave tool_choice out.",
        "tool_choice",
      );
    }
    return undefined;
  }
  checkNames(offered);
  const chosen = named === undefined ? offered : offered.filter((tool) => tool.function.name === named);
  if (chosen.length === 0)
    throw chatRefused(
      "unknown_tool",
      `\`tool_choice\` names \`${named}\`, which is not among the tools.`,
      "tool_choice",
    );
  const parallel = named === undefined && (options.parallel ?? true);
  const lazy = named === undefined && choice !== "required";
  const key = JSON.stringify([
    chosen.map(({ function: { name, parameters, strict } }) => [name, parameters, strict]),
    parallel,
    lazy,
  ]);
  let grammar = grammars.get(key);
  if (!grammar) grammars.set(key, (grammar = write(chosen, parallel, lazy)));
  return grammar;
}

function checkNames(tools: readonly ChatTool[]): void {
  const names = new Set<string>();
  for (const [index, tool] of tools.entries()) {
    const { name } = tool.function;
    const param = `tools[${index}].function.name`;
    if (!/^[a-zA-Z0-9_.:-]{1,128}$/.test(name))
      throw chatRefused("invalid_tool_name", `\`${name}\` is not a tool name; use letters, digits, _ and -.`, param);
    if (names.has(name))
      throw chatRefused("duplicate_tool", `Two tools are called \`${name}\`; give each its own name.`, param);
    names.add(name);
  }
}

function write(tools: readonly ChatTool[], parallel: boolean, lazy: boolean): ToolGrammar {
  const builder = new GrammarBuilder();
  const writer = new SchemaWriter(builder);
  const calls = tools.map((tool) => {
    const { name, strict } = tool.function;
    const values = writeSchema(writer, parametersOf(tool), {
      name: `#${name}`,
      unenforceable: strict === true ? "refuse" : "validate",
      hint: name,
      onlyObjects: true,
    });
    return `${literal(`{"name": ${JSON.stringify(name)}, "arguments": `)} ${values} "}"`;
  });
  const call = builder.rule("call", `${oneOfThese(calls)} ${literal(`\n${callClose}`)}`);
  const more = parallel ? ` (${literal(`\n${callOpen}\n`)} ${call}){0,${maxCalls - 1}}` : "";
  // The token that completed the trigger may have brought the line's end with it.
  const lead = lazy ? '"\\n"?' : literal(`${callOpen}\n`);
  const gbnf = finish(builder, `${lead} ${call}${more}`, "tools");
  return lazy ? { gbnf, trigger: callOpen } : { gbnf };
}

const parametersOf = (tool: ChatTool): unknown =>
  tool.function.parameters ?? { type: "object", properties: {}, additionalProperties: false };
