// The messages of a call. Instructions and examples come first and are the same in every call of a version: the stable prefix
// that an engine computes once and shares among all runs.
import type { Manifest } from "./manifest.ts";
import type { Message, ModelOutput, PinnedTool, StepResult } from "./types.ts";

/**
 * JSON on one line with one space after every `:` and `,`: what Python's json.dumps writes and models saw most, and the form that
 * the embedded engine's grammar holds them to: an example must not teach another one.
 */
export function spacedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spacedJson).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}: ${spacedJson(member)}`).join(", ")}}`;
}

/** System prompt and few-shot examples. Outputs are written as the model is to write them. */
export function stablePrefix(manifest: Manifest): Message[] {
  return [
    { role: "system", content: manifest.instructions.trim() },
    ...manifest.examples.flatMap((example): Message[] => [
      { role: "user", content: example.input },
      {
        role: "assistant",
        content: typeof example.output === "string" ? example.output : spacedJson(example.output),
      },
    ]),
  ];
}

/** The free loop's conversation so far, from the steps alone: the same steps always make the same messages. */
export function conversation(manifest: Manifest, input: unknown, steps: StepResult[]): Message[] {
  const messages: Message[] = [...stablePrefix(manifest), { role: "user", content: textOf(input) }];
  let pending: string[] = [];
  for (const step of steps) {
    if (step.kind === "model") {
      const output = step.output as ModelOutput;
      messages.push(assistantMessage(output));
      pending = output.tool_calls?.map((call) => call.id) ?? [];
    } else if (step.kind === "tool") {
      const content =
        step.status === "failed" ? `Error: ${step.errorMessage ?? "the tool failed"}` : textOf(step.output);
      messages.push({ role: "tool", tool_call_id: pending.shift() ?? "", content });
    }
  }
  return messages;
}

function assistantMessage(output: ModelOutput): Message {
  if (!output.tool_calls?.length) return { role: "assistant", content: output.content };
  return {
    role: "assistant",
    content: output.content,
    tool_calls: output.tool_calls.map((call) => ({
      id: call.id,
      type: "function",
      function: { name: call.name, arguments: call.arguments },
    })),
  };
}

/** Tools as the model API takes them, in the order of the manifest: part of the prefix, so the order never changes. */
export function toolDefinitions(tools: PinnedTool[]): Record<string, unknown>[] {
  return tools.map((tool) => ({
    type: "function",
    function: { name: tool.name, description: tool.description, parameters: tool.inputSchema },
  }));
}

/** A value as a model reads it: text as it is, everything else as JSON. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : spacedJson(value ?? null);
}
