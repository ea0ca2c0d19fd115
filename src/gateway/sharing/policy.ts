// Which calls may have the answer of an identical one, and what makes two calls identical. Sharing is opt-in: a model's route names the
// projects that want it. Two calls are identical where every member of their bodies is, but for what says nothing of the answer.
import { createHash } from "node:crypto";
import type { ModelRoute } from "../modelRoutes.ts";
import { cacheSalt } from "../scheduling/prompts.ts";
import type { CallRequest } from "../types.ts";

type SharingPolicy = NonNullable<ModelRoute["cache"]>;

/** A call that may be answered by an identical one's answer. */
export interface Shareable {
  policy: SharingPolicy;
  /** The same for identical calls under one cache salt: those of a project, or of one of its keys. */
  key: Buffer;
  /** The same where payer and form of the answer are the same too. Only such calls share an answer under way. */
  flight: string;
}

/** Members of a body that do not change the answer. How it is delivered stands in `flight`. */
const indifferent = new Set([
  "stream",
  "stream_options",
  "user",
  "metadata",
  "store",
  "prompt_cache_key",
  "prompt_cache_retention",
  "safety_identifier",
]);
/** Members that refer to state which is not in the body, or that ask for what is not kept of an answer. */
const excluding = ["previous_response_id", "conversation", "background", "logprobs", "top_logprobs", "prompt_logprobs"];

/** What the call shares; undefined where its route, its project or its request does not allow it. */
export function shareable(request: CallRequest, model: string, { cache }: ModelRoute): Shareable | undefined {
  const { principal, asked, agent, run } = request;
  if (!cache?.projects.includes(principal.project) || asked.kind !== "generate" || !asked.received) return undefined;
  if (cache.when !== "any" && asked.sampling.temperature !== 0) return undefined;
  if (asked.tools.length > 0 && cache.tools !== true) return undefined;
  if (asked.hasMedia || asked.repeatsPrompt || !asked.streamsFaithfully) return undefined;
  const { object } = asked.received;
  if (excluding.some((name) => Boolean(object[name])) || !isExact(object)) return undefined;
  const hash = createHash("sha256").update(JSON.stringify([cacheSalt(request), model, asked.shape]));
  for (const name of Object.keys(object).toSorted())
    if (!indifferent.has(name)) hash.update(`\n${JSON.stringify(name)}:${JSON.stringify(object[name])}`);
  const key = hash.digest();
  const { organisation, project, key: payer } = principal;
  const form = [organisation, project, payer, agent, run, asked.stream, asked.streamUsage];
  return { policy: cache, key, flight: JSON.stringify([key.toString("base64"), ...form]) };
}

/** Whether every number of a parsed body is the one that was written: a larger integer may be several of those that were sent. */
function isExact(value: unknown): boolean {
  if (typeof value === "number")
    return Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value));
  if (value === null || typeof value !== "object") return true;
  return Object.values(value).every(isExact);
}
