// Requests that real clients send (recorded, their texts replaced) against the lists of fields that engines are sent: a list that is
// too narrow would refuse a client's ordinary requests. Versions: OpenCode 1.18.33, @openai/agents 0.20.0, openai-agents 0.24.0.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { embeddedFields } from "../../src/engines/embedded/adapter.ts";
import { fieldsOfSoftware, type RegisteredEndpoint } from "../../src/engines/index.ts";
import type { Software } from "../../src/engines/wire/chat/fields.ts";
import { chat } from "../../src/gateway/protocols/chat/index.ts";
import { decodeAs } from "../../src/gateway/protocols/testing.ts";

const folder = join(import.meta.dirname, "../data/clients");
const requests = readdirSync(folder);
const software: Software[] = ["vllm", "sglang", "llamacpp", "ollama", "openai", "other"];

const served = (kind: "embedded" | "openai", fields: readonly string[]) =>
  [
    { name: "m", kind, allowFields: [], facts: { models: ["m"], capabilities: { fields } } },
  ] as unknown as RegisteredEndpoint[];
const engines: [string, RegisteredEndpoint[]][] = [
  ["embedded", served("embedded", embeddedFields)],
  ...software.map((name): [string, RegisteredEndpoint[]] => [name, served("openai", fieldsOfSoftware(name))]),
];

describe.each(engines)("an engine of the kind %s is sent", (_name, endpoints) => {
  test.each(requests)("%s", (file) => {
    const bytes = readFileSync(join(folder, file));
    const text = bytes.toString("utf8");
    const body = JSON.parse(text) as Record<string, unknown>;
    const asked = decodeAs(chat, body);
    const sent = asked.fitted(endpoints[0]!).engineBody({ shape: "chat", model: "m" });
    expect(sent).toMatchObject({ messages: body["messages"] });
    for (const field of ["tools", "tool_choice", "response_format", "temperature", "stream"])
      if (body[field] !== undefined) expect(sent[field]).toEqual(body[field]);
  });
});
