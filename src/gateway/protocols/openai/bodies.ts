// What bodies of OpenAI's two protocols have in common: the fields of sampling, and how a body is judged. Known fields are checked and
// refused by name; unknown ones are judged by what the engine of the model takes (fields.ts). The parsed body is used as it came: the
// schema only judges it.
import { z } from "@hono/zod-openapi";
import { LineshaftError } from "../../../errors/index.ts";
import { isStorable, unstorable } from "../../../store/index.ts";
import { limits } from "../../limits.ts";
import { invalidValue } from "../../refusals.ts";
import { checkValues } from "../../values.ts";
import { firstIssue } from "../firstIssue.ts";

/** Fields that chat and text completions share. */
export const sampling = {
  model: z.string().min(1).max(limits.modelNameCharacters).refine(isStorable, unstorable),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: z.number().int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  seed: z.number().int().nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(16)]).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  n: z.number().int().min(1).max(limits.answersPerPrompt).nullish(),
  user: z.string().nullish(),
};

export type CallBody = Record<string, unknown> & { model: string; stream?: boolean };

/**
 * Judges a body that was parsed from JSON; answers it unchanged. Throws a 400 that names the first field at fault. `tokensIn`: the field
 * that may be token ids.
 */
export function checkBody(schema: z.ZodType, body: unknown, tokensIn = "prompt"): unknown {
  checkValues(body, { depth: limits.bodyDepth, values: limits.bodyValues, tokensIn, text: false });
  const issue = firstIssue(schema, body);
  if (issue) throw refusal(issue);
  return body;
}

/** Judges the name of a model that stands in a path. */
export function checkModel(model: string | undefined): asserts model is string {
  const issue = firstIssue(z.object({ model: sampling.model }), { model });
  if (issue) throw refusal(issue);
}

/** The same of a body that names its model. */
export function decodeBody(schema: z.ZodType, body: unknown, tokensIn?: string): CallBody {
  const decoded = checkBody(schema, body, tokensIn) as CallBody;
  const { stream_options: options = null } = decoded;
  if (options !== null && decoded.stream !== true)
    throw invalidValue("stream_options", "`stream_options` is for streams: set `stream` to true, or leave it out.");
  return decoded;
}

function refusal(first: z.core.$ZodIssue): LineshaftError {
  const issue = deepest(first);
  const param = issue.path
    .map((part, place) => (typeof part === "number" ? `[${part}]` : (place ? "." : "") + String(part)))
    .join("");
  const isMissing = issue.message.includes("received undefined");
  const message = isMissing ? "Field required." : issue.message;
  return new LineshaftError({
    code: isMissing ? "missing_required_parameter" : "invalid_value",
    message: param ? `${param}: ${message}` : message,
    param: param || undefined,
    hint: "The fields of this request are described in /api/docs.",
  });
}

/** Inside a union, the issue of the alternative that got furthest: it is the one that was meant. */
function deepest(issue: z.core.$ZodIssue): { path: PropertyKey[]; message: string } {
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return issue;
  const inner = issue.errors
    .flatMap((issues) => issues.slice(0, 1))
    .map((one) => deepest(one))
    .toSorted((a, b) => b.path.length - a.path.length)[0];
  return inner && inner.path.length > 0
    ? { path: [...issue.path, ...inner.path], message: inner.message }
    : { path: issue.path, message: inner?.message ?? issue.message };
}
