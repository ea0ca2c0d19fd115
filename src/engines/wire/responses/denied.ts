// What of a Responses body is not passed on to an engine that speaks Responses too. Everything else goes through, because a list of what may
// pass would be out of date the next week. What would change the price, or which stored things are read, is refused by name. Tools that the
// provider runs and bills by their number are left out, because agents send them with every call. Source: OpenAI's API reference, November 2026.
import type { Denied } from "../types.ts";
import { listIn, object, textIn } from "../values.ts";

type Json = Record<string, unknown>;

const price = "would change what the call costs, and the rate card has no price for it";
const account = "names what the account at the provider keeps, which is the same for everybody here";

/** Tools that the provider runs and bills beside tokens, or that send the conversation to other servers. */
const billedTools = /^(web_search|file_search|image_generation|code_interpreter|mcp)(_|$)/;

/** A shell that runs at the provider; one without such an environment is run by the client. */
const isHosted = (tool: Json): boolean => textIn(object(tool["environment"]) ?? {}, "type").startsWith("container");

/** Whether the tool is left out. */
export const isBilledTool = (tool: Json): boolean => billedTools.test(textIn(tool, "type")) || isHosted(tool);

/** The first thing of the call that is not passed on; undefined where all of it is. */
export function deniedResponses(body: Json, allowed: readonly string[]): Denied | undefined {
  const tier = body["service_tier"];
  const isUsual = tier === undefined || tier === null || tier === "auto" || tier === "default";
  if (!isUsual && !allowed.includes("service_tier"))
    return { path: "service_tier", reason: price, allowedAs: "service_tier" };
  if (object(body["prompt"])) return { path: "prompt", reason: account };
  const choice = object(body["tool_choice"]);
  if (choice && isBilledTool(choice)) return { path: "tool_choice", reason: price };
  const tools = listIn(body, "tools");
  if (body["tool_choice"] === "required" && tools.length > 0 && tools.every(isBilledTool))
    return { path: "tools[0].type", reason: price };
  return undefined;
}
