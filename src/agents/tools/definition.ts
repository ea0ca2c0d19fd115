// What a tool's definition promises, and which of its promises are kept to.
import { createHash } from "node:crypto";
import { checkValues } from "../../gateway/values.ts";
import { canonicalJson } from "../../store/index.ts";
import { StepError } from "../errors.ts";
import { limits } from "../limits.ts";

/** The parts of a definition that a tool is held to. */
interface Promised {
  name: string;
  title?: string | undefined;
  description?: string | undefined;
  inputSchema: unknown;
  outputSchema?: unknown;
  annotations?: unknown;
}

/**
 * The hash of all that a tool promises: a changed word in a description is a changed tool. Throws StepError `tool_unusable` when the
 * definition is nested too deep or holds too many values.
 */
export function definitionHash(tool: Promised): string {
  const { name, title, description, inputSchema, outputSchema, annotations } = tool;
  const defect = valueDefect({ inputSchema, outputSchema, annotations });
  if (defect !== undefined)
    throw new StepError("tool_unusable", `Tool '${name}' is defined in a way that cannot be kept: ${defect}`);
  const definition = JSON.parse(
    JSON.stringify({ name, title, description, inputSchema, outputSchema, annotations }),
  ) as unknown;
  return `sha256:${createHash("sha256").update(canonicalJson(definition)).digest("hex")}`;
}

/** Why a value cannot be kept (it is nested too deep or holds too many values), or undefined. */
export function valueDefect(value: unknown, text = false): string | undefined {
  try {
    checkValues(value, { depth: limits.valueDepth, values: limits.values, text });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
