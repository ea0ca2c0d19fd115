// The contract with real clients: every request that they were recorded with is decoded without loss. What a request says is read a second
// time by a reader that shares nothing with the gateway (test/clients/asked.ts), and both must say the same.
import { describe, expect, test } from "vitest";
import type { Message, Part } from "../../src/engines/index.ts";
import type { ModelCall } from "../../src/gateway/modelCall.ts";
import { routeOf } from "../../src/gateway/protocols/registry.ts";
import { readSeen } from "../clients/asked.ts";
import { asksForVectors, recordings, type Recording } from "./recordings.ts";

const pathOf = (recording: Recording): string => recording.path.split("?")[0]!;
const all = recordings();
const routed = all.map((recording) => ({ recording, route: routeOf(recording.method, pathOf(recording)) }));
const calls = routed.flatMap(({ recording, route }) =>
  route?.call ? [{ name: recording.name, recording, route }] : [],
);

test("what clients ask for is served", () => {
  expect(all.length).toBe(143);
  expect(routed.filter(({ route }) => route === undefined).map(({ recording }) => pathOf(recording))).toEqual([]);
});

function decoded({ recording, route }: (typeof calls)[number]): ModelCall {
  const text = JSON.stringify(recording.body);
  return route.protocol.decode({
    route: route.call!,
    model: route.names["model"],
    path: pathOf(recording),
    query: new URLSearchParams(recording.path.split("?")[1]),
    headers: recording.headers,
    bytes: Buffer.from(text),
    json: recording.body,
  });
}

test("a call of embeddings has the texts that were sent", () => {
  const prompts = calls.filter(({ recording }) => asksForVectors(recording)).map((one) => decoded(one).prompt);
  expect(prompts).toEqual([{ kind: "list", prompts: ["hi"] }]);
});

describe.each(calls.filter(({ recording }) => !asksForVectors(recording)))("$name", (one) => {
  const { recording } = one;

  test("is decoded without loss", () => {
    const call = decoded(one);
    const seen = readSeen(pathOf(recording), recording.body!);
    expect(call.stream).toBe(seen.stream);
    expect(call.tools.filter((tool) => !tool.opaque).map(({ name }) => name)).toEqual(
      seen.tools.map(({ name }) => name),
    );
    if (call.prompt.kind !== "messages") throw new Error("A recorded call is a conversation.");
    const { messages } = call.prompt;
    const parts = messages.flatMap((message) => message.parts);
    expect(parts.filter(({ kind }) => kind === "tool_call")).toMatchObject(
      seen.calls.map(({ name, arguments: given }) => ({ name, arguments: given })),
    );
    expect(parts.filter(({ kind }) => kind === "tool_result").map(textIn)).toEqual(seen.results);
    const said = textOf(messages.filter(({ role }) => role === "user"));
    for (const one of seen.said) expect(said).toContain(one);
    expect(parts.flatMap(mediaIn)).toHaveLength(seen.media);
    expect(call.format === undefined).toBe(seen.schema === undefined);
    expect(call.toolChoice ?? "auto").toEqual(seen.choice);
  });
});

const textIn = (part: Part): string =>
  part.kind === "tool_result" ? part.parts.map(textIn).join("\n") : part.kind === "text" ? part.text : "";

const textOf = (messages: readonly Message[]): string =>
  messages.flatMap(({ parts }) => parts.map((part) => (part.kind === "text" ? part.text : ""))).join("\n");

const mediaIn = (part: Part): Part[] =>
  part.kind === "tool_result"
    ? part.parts.flatMap(mediaIn)
    : ["image", "audio", "video", "file"].includes(part.kind)
      ? [part]
      : [];
