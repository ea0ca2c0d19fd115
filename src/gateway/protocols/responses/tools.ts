// Tools of a Responses body as typed tools: functions, groups of them (`namespace`), tools that take text (`custom`), and those that a
// provider runs itself. The last are kept whole: only an engine that speaks Responses understands them.
import { chatToolName, type Tool, type ToolChoice } from "../../../engines/index.ts";
import { invalidAt, invalidValue } from "../../refusals.ts";

type Json = Record<string, unknown>;

const legalName = /^[a-zA-Z0-9_.:-]{1,128}$/;

/** Kinds of choice that name one tool of the client's. */
const named = new Set(["function", "custom"]);

/** Throws a 400 at the first tool that cannot be read. `path`: where the list stands in the body. */
export function checkTools(tools: readonly Json[], path = "tools"): void {
  for (const [place, tool] of tools.entries()) {
    const at = `${path}[${place}]`;
    const { type } = tool;
    if (type === "function" || type === "custom") checkNamed(tool, at);
    else if (type === "namespace") {
      checkNamed(tool, at);
      if (!Array.isArray(tool["tools"])) throw invalidAt(`${at}.tools`, "must be a list of tools.");
      for (const [inner, one] of (tool["tools"] as Json[]).entries()) {
        const within = `${at}.tools[${inner}]`;
        if (one === null || typeof one !== "object") throw invalidAt(within, "must be a tool.");
        if (one["type"] !== "function" && one["type"] !== "custom")
          throw invalidAt(`${within}.type`, "must be `function` or `custom`.");
        checkNamed(one, within);
      }
    }
  }
}

function checkNamed(tool: Json, at: string): void {
  const { name, description, parameters } = tool;
  if (typeof name !== "string" || !legalName.test(name))
    throw invalidAt(`${at}.name`, "must be a name of letters, digits, `_`, `-`, `.` and `:`.");
  if (description !== undefined && description !== null && typeof description !== "string")
    throw invalidAt(`${at}.description`, "must be a text.");
  if (parameters !== undefined && parameters !== null && (typeof parameters !== "object" || Array.isArray(parameters)))
    throw invalidAt(`${at}.parameters`, "must be a JSON Schema of an object.");
}

/** Tools that were checked, as typed tools. */
export function toolsOf(tools: readonly Json[]): Tool[] {
  return tools.flatMap((tool): Tool[] => {
    switch (tool["type"]) {
      case "function":
      case "custom":
        return [toolOf(tool, undefined)];
      case "namespace":
        return (tool["tools"] as Json[]).map((one) => toolOf(one, tool["name"] as string));
      default:
        return [{ name: String(tool["type"]), opaque: { shape: "responses", item: tool } }];
    }
  });
}

function toolOf(tool: Json, namespace: string | undefined): Tool {
  const { name, description, parameters, strict, format } = tool;
  return {
    name: name as string,
    ...(namespace !== undefined && { namespace }),
    ...(typeof description === "string" && { description }),
    ...(tool["type"] === "custom"
      ? { custom: format !== null && typeof format === "object" ? { format: format as Json } : {} }
      : {
          ...(parameters !== null && parameters !== undefined && { parameters: parameters as Json }),
          ...(typeof strict === "boolean" && { strict }),
        }),
    ...(tool["defer_loading"] === true && { deferred: true }),
  };
}

/** What a body's `tool_choice` asks for, and the tools that it leaves. */
export interface Choice {
  choice: ToolChoice | undefined;
  tools: readonly Tool[];
}

/**
 * Reads `tool_choice`. A list of allowed tools leaves those alone, and a choice by name has the name that engines know (names.ts). Throws a
 * 400 where the body asks for a tool that it does not define.
 */
export function choiceOf(given: unknown, tools: readonly Tool[]): Choice {
  if (given === null || given === undefined) return { choice: undefined, tools };
  const own = tools.filter(({ opaque }) => !opaque);
  const absent = (path: string, what: string) =>
    invalidValue(path, `\`${path}\` asks for ${what}, which is not in \`tools\`.`);
  if (typeof given === "string") {
    if (given === "required" && tools.length === 0) throw absent("tool_choice", "a tool");
    return { choice: given as ToolChoice, tools };
  }
  const { type, name, namespace, mode, tools: allowed } = given as Json;
  if (type === "allowed_tools") {
    if (!Array.isArray(allowed)) throw invalidAt("tool_choice.tools", "must be a list of tools.");
    const left = tools.filter((tool) => (allowed as (Json | null)[]).some((one) => isMeant(tool, one ?? {})));
    if (left.length === 0) throw absent("tool_choice.tools", "tools");
    return { choice: mode === "required" ? "required" : "auto", tools: left };
  }
  if (named.has(String(type))) {
    const meant = own.find((tool) => isMeant(tool, { type, name, namespace }));
    if (!meant) throw absent("tool_choice", String(name).slice(0, 100));
    return { choice: { name: chatToolName(meant) }, tools };
  }
  if (!tools.some(({ opaque }) => opaque?.item["type"] === type))
    throw absent("tool_choice", `\`${String(type).slice(0, 40)}\``);
  return { choice: { name: String(type) }, tools };
}

/** Whether a reference in `tool_choice` means this tool. */
function isMeant(tool: Tool, { type, name, namespace }: Json): boolean {
  if (tool.opaque) return tool.opaque.item["type"] === type;
  if (type === "namespace") return tool.namespace === name;
  return tool.name === name && (namespace === undefined || namespace === null || tool.namespace === namespace);
}
