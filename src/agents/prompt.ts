// The messages of a call. Instructions and examples come first and are the same in every call of a version: the stable prefix
// that an engine computes once and shares among all runs.
import type { Manifest } from "./manifestSchema.ts";
import type { Message, Part, Tool } from "../gateway/index.ts";
import type { ModelOutput, PinnedTool, StepResult } from "./types.ts";

/**
 * JSON on one line with one space after every `:` and `,`: what Python's json.dumps writes and models saw most, and the form that
 * the embedded engine's grammar holds them to: an example must not teach another one.
 */
function spacedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spacedJson).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}: ${spacedJson(member)}`).join(", ")}}`;
}

/** System prompt and few-shot examples. Outputs are written as the model is to write them. */
export function stablePrefix(manifest: Manifest): Message[] {
  return [
    said("system", manifest.instructions.trim()),
    ...manifest.examples.flatMap((example): Message[] => [
      said("user", example.input),
      said("assistant", textOf(example.output)),
    ]),
  ];
}

/** The free loop's conversation so far, from the steps alone: the same steps always make the same messages. */
export function conversation(manifest: Manifest, input: unknown, steps: StepResult[]): Message[] {
  const messages: Message[] = [...stablePrefix(manifest), said("user", textOf(input))];
  let pending: string[] = [];
  for (const step of steps) {
    if (step.kind === "model") {
      const output = step.output as ModelOutput;
      messages.push(assistantMessage(output));
      pending = output.tool_calls?.map((call) => call.id) ?? [];
    } else if (step.kind === "tool") {
      const content =
        step.status === "failed" ? `Error: ${step.errorMessage ?? "the tool failed"}` : textOf(step.output);
      const result: Part = { kind: "tool_result", id: pending.shift() ?? "", parts: [{ kind: "text", text: content }] };
      messages.push({ role: "user", parts: [result] });
    }
  }
  return messages;
}

/** A message of text alone. */
export const said = (role: Message["role"], text: string): Message => ({ role, parts: [{ kind: "text", text }] });

function assistantMessage({ content, tool_calls: toolCalls = [] }: ModelOutput): Message {
  const parts: Part[] = content === null ? [] : [{ kind: "text", text: content }];
  for (const { id, name, arguments: text } of toolCalls) parts.push({ kind: "tool_call", id, name, arguments: text });
  return { role: "assistant", parts };
}

/** Tools as the model API takes them, in the order of the manifest: part of the prefix, so the order never changes. */
export function toolDefinitions(tools: PinnedTool[]): Tool[] {
  return tools.map(({ name, description, inputSchema }) => ({ name, description, parameters: inputSchema }));
}

/** A value as a model reads it: text as it is, everything else as JSON. */
function textOf(value: unknown): string {
  return typeof value === "string" ? value : spacedJson(value ?? null);
}
