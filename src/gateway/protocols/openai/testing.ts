// How a client reads answers in OpenAI's shape, for the protocols' tests.
import type { Read } from "../suite.ts";

type Json = Record<string, any>;

/** `part`: where a choice has its text. */
export function readChoices(objects: Json[], part: "message" | "delta" | "text"): Read {
  const read: Read = { text: "", toolCalls: [], finish: undefined, usage: undefined };
  for (const object of objects) {
    for (const choice of object["choices"]) {
      read.finish = choice.finish_reason ?? read.finish;
      const said = part === "text" ? { content: choice.text } : choice[part];
      read.text += said.content ?? "";
      for (const [place, { index = place, id, function: called }] of (said.tool_calls ?? []).entries()) {
        const call = (read.toolCalls[index] ??= { id: "", name: "", arguments: "" });
        call.id += id ?? "";
        call.name += called.name ?? "";
        call.arguments += called.arguments ?? "";
      }
    }
    const { usage } = object;
    if (usage)
      read.usage = {
        promptTokens: usage.prompt_tokens,
        cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
        outputTokens: usage.completion_tokens,
      };
  }
  return read;
}

export function readEvents(text: string, part: "delta" | "text"): Read & { ended: boolean } {
  const payloads = text
    .split("\n\n")
    .filter((event) => event !== "")
    .map((event) => event.replace(/^data: /, ""));
  const objects = payloads.filter((payload) => payload !== "[DONE]").map((payload) => JSON.parse(payload) as Json);
  const failed = objects.find((object) => object["error"]);
  if (failed) throw new Error(failed["error"].message);
  return { ...readChoices(objects, part), ended: payloads.at(-1) === "[DONE]" };
}

export function readError(body: string): { type: string; code: string; message: string } {
  const { type, code, message } = (JSON.parse(body) as { error: { type: string; code: string; message: string } })
    .error;
  return { type, code, message };
}

export const errorTypes = {
  invalid: "invalid_request_error",
  unauthenticated: "authentication_error",
  busy: "rate_limit_error",
  failed: "server_error",
};
