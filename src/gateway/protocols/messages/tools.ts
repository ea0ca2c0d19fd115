// Tools and further fields of Anthropic's Messages, by what an engine of another API can make of them.
import type { Tool } from "../../../engines/index.ts";
import { markOf } from "./parts.ts";

type Json = Record<string, unknown>;

/** Tools that the client runs and whose arguments only Anthropic's models know: their type ends with a date. */
const ofClients = /^(bash|text_editor|computer|memory)_\d{8}$/;

const isCustom = ({ type }: Json): boolean => type === undefined || type === null || type === "custom";

export const isClientTool = (tool: Json): boolean => !isCustom(tool) && ofClients.test(String(tool["type"]));

/** A tool that Anthropic's servers run: search, code, MCP. */
export const isServerTool = (tool: Json): boolean => !isCustom(tool) && !ofClients.test(String(tool["type"]));

export function toolOf(tool: Json): Tool {
  const { description, input_schema: parameters, strict, defer_loading: deferred } = tool;
  return {
    name: typeof tool["name"] === "string" ? tool["name"] : String(tool["type"] ?? ""),
    ...(typeof description === "string" && { description }),
    ...(parameters !== undefined && { parameters: parameters as Json }),
    ...(typeof strict === "boolean" && { strict }),
    ...(deferred === true && { deferred }),
    ...(!isCustom(tool) && { opaque: { shape: "messages" as const, item: tool } }),
    ...markOf(tool),
  };
}

/** Fields that ask for nothing that changes the answer: labels, and what only saves prompt tokens. */
const hints = new Set(["metadata", "diagnostics"]);

/** Why a field cannot be asked of an engine that speaks another API; undefined where leaving it out changes nothing. */
export function refusedFields(field: string, value: unknown): string | undefined {
  if (hints.has(field)) return undefined;
  switch (field) {
    case "service_tier":
      return value === "auto" || value === "standard_only" ? undefined : "it would change what the call costs";
    case "speed":
      return value === "standard" ? undefined : "it would change what the call costs";
    case "mcp_servers":
      return Array.isArray(value) && value.length === 0
        ? undefined
        : "no server here calls MCP for a model; give its tools in `tools`";
    case "context_management":
      return clearsOnly(value)
        ? undefined
        : "only Anthropic's own API summarises a conversation; send it without `compact`";
    default:
      return "only Anthropic's own API knows it, and this model is served by another engine";
  }
}

/** Edits that leave parts of the prompt out save tokens. A conversation that keeps them is answered as well. */
function clearsOnly(value: unknown): boolean {
  const { edits = [] } = (value ?? {}) as { edits?: unknown };
  return Array.isArray(edits) && edits.every((edit: Json) => String(edit?.["type"]).startsWith("clear_"));
}
