// What of a Gemini body is not passed on to Google although the client speaks Gemini too. Everything else goes through, because a list of
// what may pass would be out of date the next week. What would change the price, or which stored things are read, is refused by name. Tools
// that Google runs and bills by their number are left out. Source: Google's API reference of the Gemini API, November 2026.
import type { Denied } from "../types.ts";
import { listIn, object, textIn } from "../values.ts";

type Json = Record<string, unknown>;

const price = "would change what the call costs, and the rate card has no price for it";
const account = "names what the account at the provider keeps, which is the same for everybody here";

/** Members of a tool that Google's servers run. Functions, and a computer that the client moves, are not among them. */
const billed = new Set([
  "googleSearch",
  "googleSearchRetrieval",
  "enterpriseWebSearch",
  "googleMaps",
  "urlContext",
  "codeExecution",
  "fileSearch",
  "retrieval",
  "mcpServers",
]);

/** Names of what is left out of a tool. */
export const billedIn = (tool: Json): string[] => Object.keys(tool).filter((name) => billed.has(name));

/** Addresses of files that were handed to Google before, by the account that all calls share. */
const isKeptFile = (uri: string): boolean => !/^https?:/.test(uri) || /^https?:\/\/[^/]*\.googleapis\.com\//.test(uri);

/** The first thing of the call that is not passed on; undefined where all of it is. */
export function deniedGemini(body: Json, allowed: readonly string[]): Denied | undefined {
  const tier = textIn(body, "serviceTier").toLowerCase();
  if (!["", "standard", "unspecified"].includes(tier) && !allowed.includes("serviceTier"))
    return { path: "serviceTier", reason: price, allowedAs: "serviceTier" };
  if (textIn(body, "cachedContent") !== "") return { path: "cachedContent", reason: account };
  const modalities = (object(body["generationConfig"]) ?? {})["responseModalities"];
  if (Array.isArray(modalities) && modalities.some((one) => String(one).toUpperCase() !== "TEXT"))
    return { path: "generationConfig.responseModalities", reason: price };
  for (const [place, content] of listIn(body, "contents").entries())
    for (const [at, part] of listIn(content, "parts").entries()) {
      const uri = textIn(object(part["fileData"]) ?? {}, "fileUri");
      if (uri !== "" && isKeptFile(uri))
        return { path: `contents[${place}].parts[${at}].fileData.fileUri`, reason: account };
    }
  return undefined;
}
