// How a client reads answers in the shape of Responses, for tests. It takes the events as the SDKs do: items from `output_item.done`, text
// from its deltas, and compares both with the response at the end.
import { expect } from "vitest";
import type { Read } from "../suite.ts";

type Json = Record<string, any>;

/** The events of a stream, in order. */
export function eventsOf(text: string): Json[] {
  return text
    .split("\n\n")
    .filter((event) => event.trim() !== "" && !event.startsWith(":"))
    .map((event) => {
      const [name, data] = event.split("\ndata: ") as [string, string];
      const read = JSON.parse(data) as Json;
      expect(name).toBe(`event: ${read["type"]}`);
      return read;
    });
}

export function readResponse(response: Json): Read {
  const { output, usage, status, incomplete_details: incomplete } = response;
  const texts = output
    .filter(({ type }: Json) => type === "message")
    .flatMap(({ content }: Json) => content.map((part: Json) => part["text"] ?? ""));
  return {
    text: texts.join(""),
    toolCalls: output
      .filter(({ type }: Json) => type === "function_call")
      .map((item: Json) => ({ id: item["call_id"], name: item["name"], arguments: item["arguments"] })),
    finish: status === "completed" ? "stop" : (incomplete?.reason ?? status),
    usage: usage && {
      promptTokens: usage.input_tokens,
      cachedTokens: usage.input_tokens_details.cached_tokens,
      outputTokens: usage.output_tokens,
    },
  };
}

/** Reads a stream, and judges it: numbers without gaps, items that are opened and closed once, deltas that add up. */
export function readStream(text: string): Read & { ended: boolean } {
  const events = eventsOf(text);
  const last = events.at(-1)!;
  if (last["type"] === "response.failed") throw new Error(last["response"].error.message);
  expect(events.map((event) => event["sequence_number"])).toEqual(events.map((_, place) => place));
  expect(events.slice(0, 2).map(({ type }) => type)).toEqual(["response.created", "response.in_progress"]);
  const open = new Set<number>();
  const said = new Map<string, string>();
  for (const { type, output_index: index, item_id: id, delta, ...event } of events) {
    if (type === "response.output_item.added") open.add(index);
    if (typeof delta === "string") said.set(id, (said.get(id) ?? "") + delta);
    if (type === "response.output_item.done") {
      expect(open.delete(index)).toBe(true);
      const { item } = event;
      if (item.type === "function_call") expect(said.get(item.id) ?? "").toBe(item.arguments);
      if (item.type === "message")
        expect(item.content.map((part: Json) => part["text"] ?? part["refusal"]).join("")).toBe(
          said.get(item.id) ?? "",
        );
    }
  }
  const ended = ["response.completed", "response.incomplete"].includes(last["type"]);
  if (ended) expect(open.size).toBe(0);
  return { ...readResponse(last["response"] ?? { output: [], status: "in_progress" }), ended };
}
