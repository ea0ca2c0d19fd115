// The usual messages, judged by hand: the schema (schema.ts) and the bounds of values (values.ts) take many times as long, and read what a
// conversation says, where its outline has all that is judged. What is not surely right here is judged by them, which also name what is
// wrong.
type Json = Record<string, unknown>;

const roles: ReadonlySet<unknown> = new Set(["user", "assistant", "system"]);
/** Values of all messages together: the schema counts longer conversations. */
const mostValues = 20_000;
/** Lists and objects inside each other, in a message. */
const mostDepth = 32;

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
  return isWithin(messages);
}

/** Whether it stays within the bounds of depth and number, and every number in it is finite. */
function isWithin(messages: readonly unknown[]): boolean {
  let values = 0;
  const open: [value: object, depth: number][] = [[messages, 0]];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const [value, depth] = at;
    if (depth > mostDepth) return false;
    for (const one of Array.isArray(value) ? (value as unknown[]) : Object.values(value)) {
      if (++values > mostValues) return false;
      if (typeof one === "object" && one !== null) open.push([one, depth + 1]);
      else if (typeof one === "number" && !Number.isFinite(one)) return false;
    }
  }
  return true;
}
