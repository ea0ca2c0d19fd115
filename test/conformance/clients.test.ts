// Requests that real clients send (recordings.ts) against what each kind of engine is sent: a list of fields that is too narrow would refuse
// a client's ordinary requests, by whatever protocol they come.
import { describe, expect, test } from "vitest";
import { embeddedFields } from "../../src/engines/embedded/adapter.ts";
import { fieldsOfSoftware, type RegisteredEndpoint } from "../../src/engines/index.ts";
import type { Software } from "../../src/engines/wire/chat/fields.ts";
import { chat } from "../../src/gateway/protocols/chat/index.ts";
import { routeOf } from "../../src/gateway/protocols/registry.ts";
import { asksForVectors, recordings } from "./recordings.ts";

/** Conversations. Calls of embeddings are read in recordings.test.ts. */
const requests = recordings().flatMap((recording) => {
  const route = routeOf(recording.method, recording.path.split("?")[0]!);
  return route?.call && !asksForVectors(recording) ? [{ name: recording.name, recording, route }] : [];
});
const software: Software[] = ["vllm", "sglang", "llamacpp", "ollama", "openai", "other"];

const served = (kind: "embedded" | "openai", fields: readonly string[]) =>
  [
    { name: "m", kind, allowFields: [], facts: { models: ["m"], capabilities: { fields } } },
  ] as unknown as RegisteredEndpoint[];
const engines: [string, RegisteredEndpoint[]][] = [
  ["embedded", served("embedded", embeddedFields)],
  ...software.map((name): [string, RegisteredEndpoint[]] => [name, served("openai", fieldsOfSoftware(name))]),
];

/** The call that a recorded request is. */
function askedBy({ recording, route }: (typeof requests)[number]) {
  const body = recording.body!;
  const path = recording.path.split("?")[0]!;
  const query = new URLSearchParams(recording.path.split("?")[1]);
  const bytes = Buffer.from(JSON.stringify(body));
  const { headers } = recording;
  const model = route.names["model"];
  return route.protocol.decode({ route: route.call!, model, path, query, headers, bytes, json: body });
}

describe.each(engines)("an engine of the kind %s is sent", (_name, endpoints) => {
  test.each(requests)("$name", ({ recording, route }) => {
    const body = recording.body!;
    const asked = askedBy({ recording, name: recording.name, route });
    const sent = asked.fitted(endpoints[0]!).engineBody({ shape: "chat", model: "m" });
    expect((sent["messages"] as unknown[]).length).toBeGreaterThan(0);
    if (route.protocol !== chat) return;
    expect(sent).toMatchObject({ messages: body["messages"] });
    for (const field of ["tools", "tool_choice", "response_format", "temperature", "stream"])
      if (body[field] !== undefined) expect(sent[field]).toEqual(body[field]);
  });
});

describe("Anthropic's API is sent", () => {
  const capabilities = { tokenize: true, kvEvents: false, speaks: ["messages"], media: ["image", "file"] };
  const endpoint = {
    name: "m",
    kind: "anthropic",
    allowFields: [],
    facts: { models: ["m"], capabilities },
  } as unknown as RegisteredEndpoint;

  test.each(requests)("$name", (request) => {
    const asked = askedBy(request);
    const sent = asked.fitted(endpoint).engineBody({ shape: "messages", model: "m", outputTokens: 9 });
    const { body, path } = request.recording;
    if (path.startsWith("/v1/messages")) expect(sent).toEqual({ ...body, model: "m", max_tokens: 9 });
    else expect(sent).toMatchObject({ model: "m", max_tokens: 9 });
    expect((sent["messages"] as unknown[]).length).toBeGreaterThan(0);
  });
});
