// The usual body, judged by hand: the schema (schema.ts) and the bounds of values (values.ts) take twenty times as long, for every call,
// to find the same. What is not surely right here is judged by them, which also name what is wrong. usual.test.ts holds the two together.
import { isStorable } from "../../../store/index.ts";
import { limits } from "../../limits.ts";

type Json = Record<string, unknown>;

const roles: ReadonlySet<unknown> = new Set(["system", "developer", "user", "assistant", "tool", "function"]);
/** Messages, parts and tool calls together: longer conversations are judged by the schema, which counts every value. */
const mostItems = 20_000;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isNothing = (value: unknown): boolean => value === null || value === undefined;
const isFlat = (value: unknown): boolean => typeof value === "string" || typeof value === "boolean" || value === null;
const isWithin = (value: unknown, least: number, most: number): boolean =>
  typeof value === "number" && value >= least && value <= most;
const isWhole = (value: unknown, least: number, most: number): boolean =>
  Number.isSafeInteger(value) && isWithin(value, least, most);

/** Whether every message is surely right: texts, parts of text, tool calls and their results. */
export function areUsualMessages(messages: unknown): boolean {
  if (!Array.isArray(messages) || messages.length === 0) return false;
  let items = messages.length;
  for (const message of messages as unknown[]) {
    if (!isObject(message) || !roles.has(message["role"])) return false;
    for (const name in message) {
      const value = message[name];
      if (name === "content" && Array.isArray(value)) {
        items += value.length;
        if (!value.every(isUsualPart)) return false;
      } else if (name === "tool_calls" && value !== null) {
        if (!Array.isArray(value) || !value.every(isUsualCall)) return false;
        items += value.length;
      } else if (typeof value !== "string" && !(value === null && canBeNull.has(name))) return false;
    }
    if (items > mostItems) return false;
  }
  return true;
}

const canBeNull: ReadonlySet<string> = new Set(["content", "tool_calls", "refusal"]);

/** A part whose members are texts. */
function isUsualPart(part: unknown): boolean {
  if (!isObject(part) || typeof part["type"] !== "string") return false;
  for (const name in part) if (!isFlat(part[name])) return false;
  return true;
}

function isUsualCall(call: unknown): boolean {
  if (!isObject(call) || typeof call["id"] !== "string" || call["type"] !== "function") return false;
  for (const name in call) if (name !== "function" && !isFlat(call[name])) return false;
  const called = call["function"];
  if (!isObject(called) || typeof called["name"] !== "string" || typeof called["arguments"] !== "string") return false;
  for (const name in called) if (!isFlat(called[name])) return false;
  return true;
}

/** Whether every field beside the messages is surely right. Without a model, and with tools or formats, it is not. */
export function areUsualFields(body: Json): boolean {
  const { model } = body;
  if (typeof model !== "string" || model.length === 0) return false;
  for (const name in body) {
    // They are judged by themselves, and reading them may parse them.
    if (name === "messages") continue;
    const judge = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (!judge?.(body[name], body)) return false;
  }
  return true;
}

const orNothing = (judge: (value: unknown) => boolean) => (value: unknown) => isNothing(value) || judge(value);
const isText = (value: unknown) => typeof value === "string";
const isSwitch = (value: unknown) => typeof value === "boolean";

const fields: Record<string, (value: unknown, body: Json) => boolean> = {
  model: (value) => (value as string).length <= limits.modelNameCharacters && isStorable(value as string),
  stream: orNothing(isSwitch),
  // Options of a stream without one are refused.
  stream_options: (value, { stream }) =>
    stream === true &&
    isObject(value) &&
    Object.keys(value).every((name) => name === "include_usage" && isSwitch(value[name])),
  max_tokens: orNothing((value) => isWhole(value, 1, Infinity)),
  max_completion_tokens: orNothing((value) => isWhole(value, 1, Infinity)),
  temperature: orNothing((value) => isWithin(value, 0, 2)),
  top_p: orNothing((value) => isWithin(value, 0, 1)),
  presence_penalty: orNothing((value) => isWithin(value, -2, 2)),
  frequency_penalty: orNothing((value) => isWithin(value, -2, 2)),
  seed: orNothing((value) => isWhole(value, -Infinity, Infinity)),
  n: orNothing((value) => isWhole(value, 1, limits.answersPerPrompt)),
  stop: orNothing(isText),
  user: orNothing(isText),
};
