// Which fields of a body an engine is sent. Every engine has a list (engines/wire/chat/fields.ts), and its owner may allow further fields.
// A field that is not on the list is left out where its value asks for nothing, and refused by name otherwise: it is never ignored and
// never passed on. A known name in other letters (`Max_Tokens`) is refused as well, because engines differ in how they read it.
import { LineshaftError } from "../../../errors/index.ts";
import { copied, outlineOf } from "../../../bounded/index.ts";
import { bareName, fieldsOfSoftware, knownField, neverAllowed } from "../../../engines/index.ts";
import type { CompletionShape, RegisteredEndpoint } from "../../../engines/index.ts";
import { fieldTypes } from "./fieldTypes.ts";
import { firstIssue } from "../firstIssue.ts";
import { nearest } from "../../../errors/index.ts";

type Served = Pick<RegisteredEndpoint, "name" | "kind" | "facts" | "allowFields">;

/** Fields that only one of the two protocols has. */
const only: Record<CompletionShape, ReadonlySet<string>> = {
  chat: new Set([
    "messages",
    "max_completion_tokens",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "top_logprobs",
  ]),
  completions: new Set(["prompt", "suffix", "best_of"]),
};

/** Values that ask for what happens anyway, and labels that ask for nothing. */
const neutral: Record<string, (value: unknown) => boolean> = {
  n: (value) => value === 1,
  best_of: (value) => value === 1,
  logprobs: (value) => value === false,
  top_logprobs: (value) => value === 0,
  echo: (value) => value === false,
  store: (value) => value === false,
  suffix: (value) => value === "",
  logit_bias: (value) => typeof value === "object" && value !== null && Object.keys(value).length === 0,
  service_tier: (value) => value === "auto" || value === "default",
  modalities: (value) => Array.isArray(value) && value.length === 1 && value[0] === "text",
  functions: (value) => Array.isArray(value) && value.length === 0,
  user: () => true,
  safety_identifier: () => true,
  prompt_cache_key: () => true,
  prompt_cache_retention: () => true,
  metadata: () => true,
  // How much to think and to say are hints without a promise: a model that knows neither answers as it does.
  reasoning_effort: () => true,
  verbosity: () => true,
  presence_penalty: (value) => value === 0,
  frequency_penalty: (value) => value === 0,
};

/** True when the endpoint may be sent the field. */
export const honoured = (field: string, { facts, allowFields }: Served): boolean =>
  (facts?.capabilities.fields ?? fieldsOfSoftware("other")).includes(field) ||
  // A list that was stored by an earlier version may hold a field that is never sent.
  (allowFields.includes(field) && neverAllowed(field) === undefined);

/**
 * The body as the endpoint may be sent it: the same object where nothing has to be left out. Throws a 400 that names the first field at
 * fault and what to do.
 */
export function fieldsFor<Body extends Record<string, unknown>>(
  protocol: CompletionShape,
  body: Body,
  endpoint: Served,
): Body {
  const other = only[protocol === "chat" ? "completions" : "chat"];
  let copy: Body | undefined;
  for (const field in body) {
    const value = outlineOf(body, field);
    const given = value !== null && value !== undefined;
    if (given && !other.has(field) && honoured(field, endpoint)) {
      checkType(field, value);
      continue;
    }
    if (given && !(Object.hasOwn(neutral, field) && neutral[field]!(value)))
      throw unsupported(field, other.has(field) ? protocol : undefined, endpoint);
    copy ??= copied(body, {});
    delete copy[field];
  }
  return copy ?? body;
}

/**
 * Fields of a call that no other API has a word for: those that ask for nothing, which are left out where the call is written in another
 * format. Throws a 400 at the first one that asks for something.
 */
export function unknownIn(extensions: Readonly<Record<string, unknown>>, endpoint: Served): readonly string[] {
  const given = Object.entries(extensions).filter(([, value]) => value !== null && value !== undefined);
  for (const [field, value] of given)
    if (!(Object.hasOwn(neutral, field) && neutral[field]!(value))) throw unsupported(field, undefined, endpoint);
  return given.map(([field]) => field);
}

function checkType(field: string, value: unknown): void {
  if (!Object.hasOwn(fieldTypes, field)) return;
  const issue = firstIssue(fieldTypes[field]!, value);
  if (!issue) return;
  const { path, message } = issue;
  const param = [field, ...path.map(String)].join(".");
  throw new LineshaftError({
    code: "invalid_value",
    param,
    message: `${param}: ${message}. Correct it and send the call again.`,
  });
}

/** Why a field may not be sent, and what to do instead. */
function unsupported(field: string, protocol: CompletionShape | undefined, endpoint: Served): LineshaftError {
  const shown = field.slice(0, 100);
  const { why, hint } = reasonOf(field, protocol, endpoint);
  return new LineshaftError({
    code: "unsupported_parameter",
    message: `\`${shown}\` ${why}. ${hint}`,
    param: shown,
    hint,
  });
}

function reasonOf(
  field: string,
  protocol: CompletionShape | undefined,
  endpoint: Served,
): { why: string; hint: string } {
  const out = `Leave \`${field.slice(0, 100)}\` out`;
  if (protocol !== undefined)
    return { why: `is no field of ${protocol === "chat" ? "chat" : "text"} completions`, hint: `${out}.` };
  switch (neverAllowed(field)) {
    case "platform":
      return { why: "is set by the platform, not by clients", hint: `${out}.` };
    case "limit":
      return { why: "is not accepted", hint: "Use `max_tokens`: the one limit of output that is priced and sent." };
    case "model":
      return {
        why: "is not accepted: it would change which model answers, or what the call costs",
        hint: `${out}; name what should answer in \`model\`.`,
      };
    case "code":
      return { why: "is not accepted: it holds or names code that the engine would run", hint: `${out}.` };
    case "work":
      return { why: "is not accepted: it makes the engine compute what no hold counts", hint: `${out}.` };
    case "spelling":
      return { why: "is not accepted", hint: `Did you mean \`${knownField(field)}\`?` };
    case undefined:
  }
  const near = nearest(field, endpoint.facts?.capabilities.fields ?? fieldsOfSoftware("other"));
  const meant = near !== undefined && bareName(near) !== bareName(field) ? ` Did you mean \`${near}\`?` : "";
  return {
    why: "is not on the list of fields that the engine of this model is sent",
    hint:
      endpoint.kind === "embedded"
        ? `${out}, or ask a model whose engine honours it.${meant}`
        : `${out}, or have an owner allow it: lineshaft engines add ${endpoint.name} (as before) --allow-field ${field.slice(0, 100)}.${meant}`,
  };
}
