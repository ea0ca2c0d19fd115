// Which fields of a body an engine is given. Three kinds are told apart:
// - what belongs to the platform (scheduling, cache salts, hand-over of KV) is refused from clients whatever the engine: it
//   would let one tenant act on another's calls;
// - an engine that names the fields it honours is given those only; a field with a value that asks for nothing is dropped,
//   any other is refused by name, never ignored;
// - an engine that names none (a provider, vLLM, Ollama) is given everything and judges for itself.
import type { Capabilities } from "../../engines/index.ts";
import { GatewayError } from "../errors.ts";

const platformFields = new Set([
  "lineshaft",
  "nvext",
  "vllm_xargs",
  "kv_transfer_params",
  "ec_transfer_params",
  "bootstrap_host",
  "bootstrap_port",
  "bootstrap_room",
  "data_parallel_rank",
  "cache_salt",
  "priority",
  "request_id",
  "rid",
  "session_params",
]);

/** Values that ask for nothing more than what happens anyway. */
const neutral: Record<string, (value: unknown) => boolean> = {
  n: (value) => value === 1,
  best_of: (value) => value === 1,
  logprobs: (value) => value === false,
  echo: (value) => value === false,
  store: (value) => value === false,
  suffix: (value) => value === "",
  logit_bias: (value) => typeof value === "object" && value !== null && Object.keys(value).length === 0,
  service_tier: (value) => value === "auto" || value === "default",
  modalities: (value) => Array.isArray(value) && value.length === 1 && value[0] === "text",
  user: () => true,
  safety_identifier: () => true,
  prompt_cache_key: () => true,
  metadata: () => true,
  presence_penalty: (value) => value === 0,
  frequency_penalty: (value) => value === 0,
};

/** Refuses fields that no client may set. */
export function refusePlatformFields(body: Record<string, unknown>): void {
  for (const field in body)
    if (platformFields.has(field)) throw unsupported(field, "is set by the platform, not by clients");
}

/** The body for an engine: the same object when nothing has to be left out. */
export function fieldsFor<Body extends Record<string, unknown>>(
  body: Body,
  capabilities: Capabilities | undefined,
): Body {
  const honoured = capabilities?.fields;
  if (!honoured) return body;
  let copy: Body | undefined;
  for (const field in body) {
    const value: unknown = body[field];
    if (value !== null && value !== undefined && honoured.includes(field)) continue;
    if (value !== null && value !== undefined && !neutral[field]?.(value))
      throw unsupported(field, "is not supported by the engine that serves this model");
    copy ??= { ...body };
    delete copy[field];
  }
  return copy ?? body;
}

function unsupported(field: string, why: string): GatewayError {
  return new GatewayError({
    status: 400,
    code: "unsupported_parameter",
    message: `\`${field}\` ${why}.`,
    param: field,
    hint: `Leave \`${field}\` out, or ask a model whose engine honours it.`,
  });
}
