// What a caller may say of its own call in headers.
import type { IncomingHttpHeaders } from "node:http";
import { LineshaftError } from "../../errors/index.ts";
import type { CallRequest } from "../../gateway/types.ts";
import { limits } from "../limits.ts";

/** A call's place in the queue, and with whom it shares caches. Throws 400 for anything else. */
export function wishesOf(headers: IncomingHttpHeaders): Pick<CallRequest, "deadlineMs" | "priority" | "cacheScope"> {
  const deadlineMs = numberIn(headers, "x-lineshaft-deadline-ms", 1, limits.deadlineMostMs);
  const priority = numberIn(headers, "x-lineshaft-priority", -limits.priorityMost, limits.priorityMost);
  const cacheScope = scopeIn(headers, "x-lineshaft-cache-scope");
  return {
    ...(deadlineMs !== undefined && { deadlineMs }),
    ...(priority !== undefined && { priority }),
    ...(cacheScope !== undefined && { cacheScope }),
  };
}

/** A call may share less than its project does, never more: there is no wider scope to ask for. */
function scopeIn(headers: IncomingHttpHeaders, name: string): "project" | "key" | undefined {
  const value = headers[name];
  if (value === undefined || value === "project" || value === "key") return value;
  const hint = "Give `key` to share cached prompts with calls of the same key alone, or leave it out.";
  throw new LineshaftError({
    code: "invalid_header",
    message: `${name} is ${JSON.stringify(String(value).slice(0, 40))}. ${hint}`,
    param: name,
    hint,
  });
}

function numberIn(headers: IncomingHttpHeaders, name: string, least: number, most: number): number | undefined {
  const text = headers[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new LineshaftError({
    code: "invalid_header",
    message: `${name} is ${JSON.stringify(String(text).slice(0, 40))}.`,
    param: name,
    hint: `Give a whole number from ${least} to ${most}, or leave it out.`,
  });
}
