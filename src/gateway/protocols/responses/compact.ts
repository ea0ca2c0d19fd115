// Compaction: a conversation becomes a summary, which stands for it in later turns. The summary is written by the model that is asked, as
// an ordinary priced call with one more message. The client gets a `compaction` item whose `encrypted_content` is an envelope (proof.ts)
// with the summary. Sent back in a later turn it becomes an instruction, so every engine can go on from it.
//
// It is asked for in two ways: POST /v1/responses/compact answers an object with the user's messages and the item, and a last input item
// `compaction_trigger` has POST /v1/responses answer the item (Codex).
import { invalidAt } from "../../refusals.ts";
import { unknownKey } from "../openai/keys.ts";
import { writeEnvelope } from "../proof.ts";
import { kindOf } from "./items.ts";

type Json = Record<string, unknown>;

/** What the model is asked for. */
const instruction = `Summarise the conversation above for an assistant that continues this work and sees nothing else of it. State:
- what the user wants, with every constraint and preference;
- what was decided, and why;
- what was done, with the files, commands, identifiers and values that matter;
- results of tools that are still needed, word for word where the wording matters;
- what is open, and what comes next.
Write plain text. Call no tool, and do not answer the user.`;

/** Members that a body of POST /v1/responses/compact may have. */
const members = new Set([
  "model",
  "input",
  "instructions",
  "previous_response_id",
  "prompt_cache_key",
  "prompt_cache_options",
  "prompt_cache_retention",
  "service_tier",
  "tools",
  "parallel_tool_calls",
  "reasoning",
  "text",
]);

/** A body of POST /v1/responses/compact as one of POST /v1/responses. Throws a 400 at the first member that it cannot have. */
export function compactionBody(json: unknown): unknown {
  if (json === null || typeof json !== "object" || Array.isArray(json)) return json;
  const unknown = Object.entries(json).find(([name, value]) => !members.has(name) && value !== null);
  if (unknown) throw unknownKey(unknown[0], "a compaction does not take it");
  const { input } = json as Json;
  const items =
    typeof input === "string" ? [{ type: "message", role: "user", content: input }] : ((input ?? []) as unknown[]);
  if (!Array.isArray(items)) return json;
  return { ...json, store: false, stream: false, input: [...items, { type: "compaction_trigger" }] };
}

/** Whether the input ends with a demand for a compaction. Throws a 400 where such a demand stands elsewhere. */
export function asksForCompaction(input: readonly Json[]): boolean {
  const place = input.findIndex((item) => kindOf(item) === "compaction_trigger");
  if (place >= 0 && place < input.length - 1)
    throw invalidAt(`input[${place}]`, "must be the last item: a compaction trigger ends the input.");
  return place >= 0;
}

/** The body with a demand for a summary in place of the trigger. Tools stay, because the prompt's cached beginning holds them. */
export function summaryBody<Body extends Json>(body: Body): Body {
  const input = (body["input"] as Json[]).slice(0, -1);
  const tools = (body["tools"] ?? []) as unknown[];
  const { text, tool_choice: _choice, ...rest } = body;
  const { format: _format, ...style } = (text ?? {}) as Json;
  return {
    ...rest,
    input: [...input, { type: "message", role: "user", content: instruction }],
    ...(tools.length > 0 && { tool_choice: "none" }),
    ...(Object.keys(style).length > 0 && { text: style }),
  } as unknown as Body;
}

/** The item that stands for a conversation. */
export const compactionItem = (id: string, summary: string): Json => ({
  id,
  type: "compaction",
  encrypted_content: writeEnvelope({ summary }),
});

/** Items from the newest compaction on: it stands for all that was said before. */
export function sinceCompaction(items: readonly Json[]): readonly Json[] {
  const place = items.findLastIndex((item) => kindOf(item) === "compaction");
  return place < 0 ? items : items.slice(place);
}
