// The body of an Anthropic Messages call, as it is judged and as /api/openapi.json describes it. Blocks and tools of kinds that are not
// named here pass: Anthropic adds kinds, and only its own API can judge them.
import { z } from "@hono/zod-openapi";
import { sampling } from "../openai/bodies.ts";

const block = z.looseObject({ type: z.string() });
const content = z.union([z.string(), z.array(block)]);

const message = z.looseObject({ role: z.enum(["user", "assistant", "system"]), content });

const tool = z.looseObject({
  type: z.string().nullish(),
  name: z.string().min(1).max(128).optional(),
  description: z.string().nullish(),
  input_schema: z.record(z.string(), z.unknown()).optional(),
});

const thinking = z.looseObject({
  type: z.enum(["enabled", "disabled", "adaptive"]),
  budget_tokens: z.number().int().min(0).optional(),
  display: z.string().nullish(),
});

const format = z.looseObject({ type: z.literal("json_schema"), schema: z.record(z.string(), z.unknown()) });

/** Fields of a prompt, which a call and a count have in common. */
const prompt = {
  model: sampling.model,
  messages: z.array(message).min(1),
  system: content.nullish(),
  tools: z.array(tool).max(512).nullish(),
  tool_choice: z
    .looseObject({
      type: z.enum(["auto", "any", "tool", "none"]),
      name: z.string().optional(),
      disable_parallel_tool_use: z.boolean().nullish(),
    })
    .nullish(),
  thinking: thinking.nullish(),
  output_config: z.looseObject({ effort: z.string().nullish(), format: format.nullish() }).nullish(),
  output_format: format.nullish(),
};

export const messagesBody = z
  .looseObject({
    ...prompt,
    max_tokens: z.number().int().min(1),
    stream: z.boolean().nullish(),
    temperature: z.number().min(0).max(1).nullish(),
    top_p: z.number().min(0).max(1).nullish(),
    top_k: z.number().int().min(0).nullish(),
    stop_sequences: z.array(z.string()).max(64).nullish(),
    metadata: z.looseObject({}).nullish(),
    service_tier: z.string().nullish(),
  })
  .openapi("MessagesRequest");

export const countBody = z.looseObject(prompt).openapi("MessagesCountTokensRequest");
