// What of a Messages body is not passed on to Anthropic although the client speaks Messages too. Everything else goes through, because a
// list of what may pass would be out of date the next week. What would change the price, the payer, or which stored things are read is
// refused by name. Source: Anthropic's API reference and the types of its official client, as of November 2026.
import { outlineOf } from "../../../bounded/index.ts";
import type { Denied } from "../types.ts";
import { object } from "../values.ts";

type Json = Record<string, unknown>;

const price = "would change what the call costs, and the rate card has no price for it";
const account = "names what the account at the provider keeps, which is the same for everybody here";
const payer = "would change who pays the provider for the call";

/** Fields with the values that ask for what happens anyway. `owner`: its owner may allow it. */
const fields: Readonly<Record<string, { neutral?: readonly unknown[]; reason: string; owner?: true }>> = {
  service_tier: { neutral: ["auto", "standard_only"], reason: price, owner: true },
  speed: { neutral: ["standard"], reason: price, owner: true },
  inference_geo: { reason: price, owner: true },
  fallbacks: { reason: "would change which model answers" },
  fallback_credit_token: { reason: payer },
  billing_policy: { reason: payer },
  user_profile_id: { reason: payer },
  workspace_id: { reason: payer },
  container: { reason: account },
  thread: { reason: account },
  skills: { reason: account },
  mcp_servers: { reason: "would have the provider call servers with what the conversation holds" },
};

/** Tools that the provider runs and bills beside tokens. Searching among the call's own tools is free. */
const billedTools = /^(web_search|web_fetch|code_execution|advisor|mcp_toolset)(_|$)/;

/** Headers that would move the call to another account, and betas that change its price. */
const deniedHeaders = /^anthropic-(organization|workspace|user-profile|billing)/;
const deniedBetas = /^fast-mode/;

/** `auto` uses a priority tier where the account has one; it is what Anthropic does without the field. */
const isNeutral = (value: unknown, neutral: readonly unknown[] = []): boolean =>
  value === null || value === undefined || neutral.includes(value) || (Array.isArray(value) && value.length === 0);

/** The first thing of the call that is not passed on; undefined where all of it is. */
export function deniedMessages(
  body: Json,
  headers: readonly (readonly [name: string, value: string])[],
  allowed: readonly string[],
): Denied | undefined {
  for (const [field, { neutral, reason, owner }] of Object.entries(fields)) {
    if (isNeutral(body[field], neutral) || (owner && allowed.includes(field))) continue;
    return { path: field, reason, ...(owner && { allowedAs: field }) };
  }
  return deniedTool(body) ?? deniedSource(body) ?? deniedHeader(headers);
}

function deniedTool(body: Json): Denied | undefined {
  const tools = Array.isArray(body["tools"]) ? (body["tools"] as Json[]) : [];
  for (const [place, tool] of tools.entries())
    if (billedTools.test(String(object(tool)?.["type"] ?? "")))
      return { path: `tools[${place}].type`, reason: `\`${String(tool["type"]).slice(0, 40)}\`: ${price}` };
  return undefined;
}

/** A file that the account keeps, at any depth of the prompt. */
function deniedSource(body: Json): Denied | undefined {
  const open: { value: unknown; path: string }[] = [
    { value: body["system"], path: "system" },
    { value: outlineOf(body, "messages"), path: "messages" },
  ];
  for (let at = open.pop(); at; at = open.pop()) {
    const { value, path } = at;
    if (Array.isArray(value)) {
      for (const [place, one] of value.entries())
        if (typeof one === "object" && one !== null) open.push({ value: one, path: `${path}[${place}]` });
      continue;
    }
    const block = object(value);
    if (!block) continue;
    if (block["type"] === "container_upload") return { path: `${path}.file_id`, reason: account };
    if (object(block["source"])?.["type"] === "file") return { path: `${path}.source.file_id`, reason: account };
    for (const name of ["content", "source"]) open.push({ value: block[name], path: `${path}.${name}` });
  }
  return undefined;
}

function deniedHeader(headers: readonly (readonly [name: string, value: string])[]): Denied | undefined {
  for (const [name, value] of headers) {
    if (deniedHeaders.test(name)) return { path: name, reason: payer };
    if (name !== "anthropic-beta") continue;
    const beta = value.split(",").find((one) => deniedBetas.test(one.trim()));
    if (beta !== undefined) return { path: name, reason: `\`${beta.trim().slice(0, 40)}\`: ${price}` };
  }
  return undefined;
}
