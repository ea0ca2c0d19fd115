// Which fields of a request each kind of software is sent. A field that no list names is refused before an engine is asked: it could
// change the model that answers, what the answer costs, or whose cache is read, and the engine would do it without a word.
//
// The lists are of what real clients send and the software honours (OpenAI's reference of November 2026; vLLM 0.32, SGLang 0.6,
// llama.cpp and Ollama as of then). An owner may allow an engine further fields (`engines add --allow-field`), but for those in
// `neverAllowed`.

/** What answers at an address, as far as it can be told from outside. */
export type Software = "vllm" | "sglang" | "llamacpp" | "ollama" | "openai" | "other";

/** Sampling and form of an answer: every OpenAI-compatible engine has these. */
export const commonFields = [
  "model",
  "messages",
  "prompt",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "temperature",
  "top_p",
  "stop",
  "seed",
  "presence_penalty",
  "frequency_penalty",
  "n",
  "best_of",
  "echo",
  "suffix",
  "logprobs",
  "top_logprobs",
  "logit_bias",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "response_format",
] as const;

/** Of OpenAI's own: hints that cost nothing, and labels for the provider's own abuse checks. */
const openAiFields = [
  "reasoning_effort",
  "verbosity",
  "user",
  "safety_identifier",
  "metadata",
  "prompt_cache_key",
  "prompt_cache_retention",
];

/** Samplers that most open engines share. */
const openSamplers = ["top_k", "min_p", "repetition_penalty"];
/** Whether and how a model thinks before it answers. For these engines its tokens are output, so they are within the limit. */
const thinking = ["reasoning_effort", "chat_template_kwargs", "include_reasoning"];
/** `cache_control` marks inside messages and tools: free where writing a cache is not billed. */
const ownCache = "cache_control";

const fieldsOf: Record<Software, readonly string[]> = {
  vllm: [
    ...commonFields,
    ...openSamplers,
    ...thinking,
    ownCache,
    "user",
    "length_penalty",
    "stop_token_ids",
    "include_stop_str_in_output",
    "ignore_eos",
    "min_tokens",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "truncate_prompt_tokens",
    "prompt_logprobs",
    "allowed_token_ids",
    "bad_words",
    "add_generation_prompt",
    "continue_final_message",
    "add_special_tokens",
    "documents",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "guided_decoding_backend",
    "guided_whitespace_pattern",
    "structured_outputs",
    "return_tokens_as_token_ids",
    "return_token_ids",
  ],
  sglang: [
    ...commonFields,
    ...openSamplers,
    ...thinking,
    ownCache,
    "user",
    "min_tokens",
    "ignore_eos",
    "stop_token_ids",
    "no_stop_trim",
    "skip_special_tokens",
    "continue_final_message",
    "regex",
    "ebnf",
    "json_schema",
    "separate_reasoning",
    "stream_reasoning",
  ],
  llamacpp: [
    // It ignores `best_of`, `echo`, `suffix`, `repetition_penalty` (its own is `repeat_penalty`) and `include_reasoning` without a word.
    ...commonFields.filter((field) => field !== "best_of" && field !== "echo" && field !== "suffix"),
    "top_k",
    "min_p",
    "reasoning_effort",
    "chat_template_kwargs",
    ownCache,
    "user",
    "typical_p",
    "repeat_penalty",
    "repeat_last_n",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "xtc_probability",
    "xtc_threshold",
    "dynatemp_range",
    "dynatemp_exponent",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "grammar",
    "json_schema",
    "ignore_eos",
    "samplers",
    "add_generation_prompt",
    "continue_final_message",
    "reasoning_format",
    "parse_tool_calls",
    "timings_per_token",
    "post_sampling_probs",
  ],
  ollama: [
    // It ignores `n`, `best_of`, `echo` and `logit_bias` without a word.
    ...commonFields.filter((field) => !["n", "best_of", "echo", "logit_bias"].includes(field)),
    "reasoning_effort",
    ownCache,
    "user",
  ],
  openai: [...commonFields, ...openAiFields],
  other: [
    ...commonFields,
    ...openAiFields,
    ...openSamplers,
    "chat_template_kwargs",
    "include_reasoning",
    "top_a",
    "thinking",
    "enable_thinking",
    // Beside the limit of output for Qwen's and others: it is held as well (gateway/thinking.ts).
    "thinking_budget",
    "reasoning",
    "random_seed",
    "safe_prompt",
  ],
};

/** Names of the fields that this software is sent. */
export const fieldsOfSoftware = (software: Software): readonly string[] => fieldsOf[software];

/** The software that a model's entry in its engine's list names; `other` where it names none that is known. */
export function softwareOf(model: Record<string, unknown> | undefined): Software {
  const owner = model?.["owned_by"];
  if (owner === "vllm" || owner === "sglang" || owner === "llamacpp") return owner;
  return owner === "library" ? "ollama" : "other";
}

/** Why a field is never sent, whatever an owner allows. */
type NeverWhy = "platform" | "limit" | "model" | "code" | "work";

const never: Record<NeverWhy, readonly string[]> = {
  // Scheduling, cache salts, hand-over of KV, slots: they would let one tenant act on another's calls.
  platform: [
    "lineshaft",
    "nvext",
    "vllm_xargs",
    "kv_transfer_params",
    "ec_transfer_params",
    "kv_hints",
    "bootstrap_host",
    "bootstrap_port",
    "bootstrap_room",
    "data_parallel_rank",
    "cache_salt",
    "priority",
    "request_id",
    "rid",
    "session_id",
    "session_params",
    "id_slot",
    "slot_id",
    "n_keep",
    "cache_prompt",
    "keep_alive",
  ],
  // A second limit of output under another name.
  limit: [
    "n_predict",
    "num_predict",
    "max_new_tokens",
    "max_output_tokens",
    "max_gen_len",
    "max_length",
    "max_tokens_to_sample",
    "maximum_tokens",
    "options",
    "parameters",
    "generation_config",
    "sampling_params",
  ],
  // Another model, another provider, or a price that no rate card holds.
  model: [
    "models",
    "provider",
    "providers",
    "route",
    "routing",
    "fallback",
    "fallbacks",
    "transforms",
    "plugins",
    "preset",
    "engine",
    "deployment",
    "deployment_id",
    "lora",
    "lora_path",
    "lora_request",
    "adapter",
    "adapter_id",
    "web_search",
    "web_search_options",
    "search_parameters",
    "extra_body",
    "extra_headers",
    "extra_query",
    "api_key",
    "api_base",
    "base_url",
    "custom_llm_provider",
    "organization",
    "webhook_url",
    "callback_url",
  ],
  // Code or references to code that the engine would run; a chat template is a program that can repeat the prompt.
  code: ["custom_logit_processor", "logits_processors", "logits_processor", "chat_template"],
  // Work that no hold counts: a prompt as numbers of the model, media in another size, many answers for one.
  work: ["prompt_embeds", "mm_processor_kwargs", "media_io_kwargs", "use_beam_search"],
};

/** A name as engines may read it: some ignore case, some take `maxTokens` for `max_tokens`. */
export const bareName = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");

const neverByName = new Map(
  (Object.keys(never) as NeverWhy[]).flatMap((why) => never[why].map((name) => [bareName(name), why] as const)),
);
const known = new Set([...Object.values(fieldsOf).flat()]);
const knownByBareName = new Map([...known].map((name) => [bareName(name), name]));

/** Why the field is never sent; `spelling` where it is a known field in other letters. Undefined where an owner may allow it. */
export function neverAllowed(name: string): NeverWhy | "spelling" | undefined {
  const why = neverByName.get(bareName(name));
  if (why) return why;
  return !known.has(name) && knownByBareName.has(bareName(name)) ? "spelling" : undefined;
}

/** The field that a name in other letters stands for. */
export const knownField = (name: string): string | undefined => knownByBareName.get(bareName(name));
