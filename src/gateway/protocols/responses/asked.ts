// What a Responses body asks of the model, beside its input and tools, as the typed view has it.
import type { AnswerFormat, Sampling, Thinking } from "../../../engines/index.ts";

type Json = Record<string, unknown>;

/** What the answer has to be. */
export function formatOf(body: Json): AnswerFormat | undefined {
  const { format } = (body["text"] ?? {}) as { format?: Json | null };
  if (format?.["type"] === "json_object") return { kind: "json" };
  if (format?.["type"] !== "json_schema") return undefined;
  const { name, schema, strict } = format as { name?: string; schema: Json | boolean; strict?: boolean | null };
  return {
    kind: "schema",
    schema,
    ...(name !== undefined && { name }),
    ...(typeof strict === "boolean" && { strict }),
  };
}

/** How tokens are chosen. */
export function samplingOf(body: Json): Sampling {
  const { temperature, top_p: topP, presence_penalty, frequency_penalty } = body as Record<string, number | null>;
  return {
    ...(typeof temperature === "number" && { temperature }),
    ...(typeof topP === "number" && { topP }),
    ...(typeof presence_penalty === "number" && { presencePenalty: presence_penalty }),
    ...(typeof frequency_penalty === "number" && { frequencyPenalty: frequency_penalty }),
  };
}

/** Whether the model thinks, and what is shown of it. */
export function thinkingOf(body: Json): Thinking {
  const { effort, summary } = (body["reasoning"] ?? {}) as {
    effort?: Thinking["effort"] | null;
    summary?: unknown;
  };
  return {
    asked: typeof effort === "string" && effort !== "none",
    tokensBeside: 0,
    ...(typeof effort === "string" && { effort }),
    ...(typeof summary === "string" && { show: "summary" }),
  };
}
