// The usual messages, judged by hand: the schema (schema.ts) and the bounds of values (values.ts) take many times as long, and read what a
// conversation says, where its outline has all that is judged. What is not surely right here is judged by them, which also name what is
// wrong.
import { isWithinUsual } from "../usualValues.ts";

type Json = Record<string, unknown>;

const roles: ReadonlySet<unknown> = new Set(["user", "assistant", "system"]);
const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether every message is surely right: a role, and a text or blocks that name their kind. */
export function areUsualMessages(messages: unknown): boolean {
  if (!Array.isArray(messages) || messages.length === 0) return false;
  for (const message of messages as unknown[]) {
    if (!isObject(message) || !roles.has(message["role"])) return false;
    const { content } = message;
    if (typeof content === "string") continue;
    if (!Array.isArray(content)) return false;
    for (const block of content as unknown[]) if (!isObject(block) || typeof block["type"] !== "string") return false;
  }
  return isWithinUsual(messages);
}
