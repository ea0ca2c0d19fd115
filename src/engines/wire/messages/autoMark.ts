// A mark of the prompt cache for clients that set none: `cache_control` of the whole body, which Anthropic moves to the last block that can be
// cached (platform.claude.com/docs/en/build-with-claude/prompt-caching), so that each turn of a conversation reads what the one before wrote.
import { copied, outlineOf } from "../../../bounded/index.ts";

type Json = Record<string, unknown>;

/** The body with such a mark; the same object where the client has set a mark of its own. Only the outermost members differ. */
export const autoMarked = (body: Json): Json =>
  hasMark(body) ? body : copied(body, { cache_control: { type: "ephemeral" } });

function hasMark(body: Json): boolean {
  const blocks = [body, ...listOf(body["tools"]), ...listOf(body["system"])];
  for (const message of listOf(outlineOf(body, "messages"))) blocks.push(...listOf(message["content"]));
  return blocks.some((block) => isObject(block["cache_control"]));
}

const isObject = (value: unknown): value is Json => value !== null && typeof value === "object";
const listOf = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isObject) : []);
