// Shapes of the fields that the protocols' schemas do not know: extensions of engines that clients really send (engines/wire/chat/fields.ts
// says which engine is sent which). A value of another shape is refused by name, since an engine may take it for something else.
import { z } from "@hono/zod-openapi";
import { limits } from "../../limits.ts";
import { dictionary } from "../firstIssue.ts";

const most = limits.fieldItems;
const number = z.number();
const whole = z.number().int();
const flag = z.boolean();
const ids = z.array(whole.min(0)).max(most);
const words = z.array(z.string()).max(most);
const object = z.record(z.string(), z.unknown());
const effort = z.string().regex(/^[a-z]{1,20}$/);
/** What the function that renders a template takes beside its variables: another template, or other work than to render one. */
const tokenizerArguments = new Set([
  ...[
    "chat_template",
    "tokenize",
    "conversation",
    "messages",
    "tools",
    "documents",
    "padding",
    "truncation",
    "max_length",
  ],
  ...["return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs"],
]);
const label = z.string().max(512);

export const fieldTypes: Record<string, z.ZodType> = {
  logit_bias: dictionary(z.string().regex(/^\d{1,9}$/), z.number().min(-100).max(100), most),
  reasoning_effort: effort,
  verbosity: z.enum(["low", "medium", "high"]),
  user: label,
  safety_identifier: label,
  prompt_cache_key: label,
  prompt_cache_retention: z.string().regex(/^[a-z0-9_-]{1,20}$/),
  metadata: dictionary(z.string().max(64), z.string().max(512), limits.metadataMembers),
  service_tier: z.string().max(40),
  store: flag,

  top_k: whole.min(-1),
  top_a: number,
  min_p: z.number().min(0).max(1),
  typical_p: number,
  repetition_penalty: z.number().min(0).max(10),
  repeat_penalty: number,
  repeat_last_n: whole,
  length_penalty: number,
  dry_multiplier: number,
  dry_base: number,
  dry_allowed_length: whole,
  dry_penalty_last_n: whole,
  xtc_probability: number,
  xtc_threshold: number,
  dynatemp_range: number,
  dynatemp_exponent: number,
  mirostat: whole,
  mirostat_tau: number,
  mirostat_eta: number,
  samplers: words,
  random_seed: whole,

  min_tokens: whole.min(0),
  ignore_eos: flag,
  stop_token_ids: ids,
  allowed_token_ids: ids,
  bad_words: words,
  include_stop_str_in_output: flag,
  no_stop_trim: flag,
  skip_special_tokens: flag,
  spaces_between_special_tokens: flag,
  add_special_tokens: flag,
  add_generation_prompt: flag,
  continue_final_message: flag,
  truncate_prompt_tokens: whole.min(-1),
  prompt_logprobs: whole.min(0).max(20),
  return_tokens_as_token_ids: flag,
  return_token_ids: flag,
  timings_per_token: flag,
  post_sampling_probs: flag,
  parse_tool_calls: flag,
  documents: z.array(object).max(1024),

  guided_json: z.union([z.string(), object]),
  guided_regex: z.string(),
  guided_choice: words,
  guided_grammar: z.string(),
  guided_decoding_backend: z.string().max(100),
  guided_whitespace_pattern: z.string(),
  structured_outputs: object,
  regex: z.string(),
  ebnf: z.string(),
  grammar: z.string(),
  json_schema: z.union([z.string(), object]),

  chat_template_kwargs: dictionary(
    z.string(),
    z.union([z.string().max(1024), z.number(), z.boolean(), z.null()]),
    limits.templateArguments,
  ).superRefine((variables, context) => {
    for (const name of Object.keys(variables))
      if (tokenizerArguments.has(name))
        context.addIssue({ code: "custom", path: [name], message: "is no variable of a chat template; leave it out" });
  }),
  include_reasoning: flag,
  separate_reasoning: flag,
  stream_reasoning: flag,
  reasoning_format: z.string().max(40),
  enable_thinking: flag,
  thinking_budget: whole.min(0).max(1_000_000),
  thinking: z.strictObject({
    type: z.enum(["enabled", "disabled", "auto", "adaptive"]).optional(),
    budget_tokens: whole.min(0).optional(),
  }),
  reasoning: z.strictObject({
    effort: effort.nullish(),
    max_tokens: whole.min(0).nullish(),
    exclude: flag.nullish(),
    enabled: flag.nullish(),
    summary: z.string().max(40).nullish(),
  }),
  safe_prompt: flag,
};
