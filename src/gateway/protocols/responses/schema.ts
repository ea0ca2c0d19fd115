// The body of POST /v1/responses, as it is judged and as /api/openapi.json describes it. Items of the input and tools are judged by
// items.ts and tools.ts, because their kinds are many, grow, and are passed on unread where the engine speaks Responses itself.
import { z } from "@hono/zod-openapi";
import { isStorable, unstorable } from "../../../store/index.ts";
import { limits } from "../../limits.ts";

const open = z.looseObject({ type: z.string() });

const format = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("text") }),
  z.looseObject({ type: z.literal("json_object") }),
  z.looseObject({
    type: z.literal("json_schema"),
    name: z.string().optional(),
    schema: z.union([z.record(z.string(), z.unknown()), z.boolean()]),
    strict: z.boolean().nullish(),
  }),
]);

const effort = z.enum(["none", "minimal", "low", "medium", "high", "xhigh", "max"]);

/** Labels that a client puts on a response or a conversation: at most 16 of them. */
const metadata = z
  .record(z.string().max(64), z.string().max(512))
  .refine((labels) => Object.keys(labels).length <= 16, "must have at most 16 members");

export const responsesBody = z
  .looseObject({
    model: z.string().min(1).max(limits.modelNameCharacters).refine(isStorable, unstorable),
    input: z.union([z.string(), z.array(z.looseObject({}))]).nullish(),
    instructions: z.string().nullish(),
    previous_response_id: z.string().max(limits.stateIdCharacters).nullish(),
    conversation: z
      .union([
        z.string().max(limits.stateIdCharacters),
        z.looseObject({ id: z.string().max(limits.stateIdCharacters) }),
      ])
      .nullish(),
    stream: z.boolean().nullish(),
    stream_options: z.looseObject({ include_obfuscation: z.boolean().nullish() }).nullish(),
    store: z.boolean().nullish(),
    background: z.boolean().nullish(),
    include: z.array(z.string()).nullish(),
    max_output_tokens: z.number().int().min(1).nullish(),
    max_tool_calls: z.number().int().min(1).nullish(),
    temperature: z.number().min(0).max(2).nullish(),
    top_p: z.number().min(0).max(1).nullish(),
    presence_penalty: z.number().min(-2).max(2).nullish(),
    frequency_penalty: z.number().min(-2).max(2).nullish(),
    top_logprobs: z.number().int().min(0).max(20).nullish(),
    tools: z.array(open).max(limits.toolsMost).nullish(),
    tool_choice: z.union([z.enum(["none", "auto", "required"]), open]).nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    text: z.looseObject({ format: format.nullish(), verbosity: z.string().max(20).nullish() }).nullish(),
    reasoning: z.looseObject({ effort: effort.nullish(), summary: z.string().max(20).nullish() }).nullish(),
    truncation: z.enum(["auto", "disabled"]).nullish(),
    metadata: metadata.nullish(),
    user: z.string().nullish(),
    safety_identifier: z.string().nullish(),
    prompt_cache_key: z.string().nullish(),
    service_tier: z.string().max(40).nullish(),
  })
  .openapi("ResponsesRequest");
