// What is fuzzed of the APIs beside chat completions: answers of engines, told to clients of every API, and frames of a WebSocket.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Usage } from "../../src/engines/index.ts";
import { completionReaders } from "../../src/engines/wire/chat/reader.ts";
import { geminiReader } from "../../src/engines/wire/gemini/read.ts";
import { messagesReader } from "../../src/engines/wire/messages/read.ts";
import { responsesReader } from "../../src/engines/wire/responses/read.ts";
import type { WireReader } from "../../src/engines/wire/types.ts";
import { decodeCall } from "../../src/gateway/protocols/responses/decode.ts";
import { turnOf } from "../../src/gateway/protocols/responses/frames.ts";
import { testClients } from "../../src/gateway/testing/clients.ts";
import { allowed, parsed, readAll } from "./reading.ts";
import type { Target } from "./targets.ts";

type Json = Record<string, unknown>;

const golden = join(import.meta.dirname, "../../src/engines/wire/usage.golden.json");
const { answers } = JSON.parse(readFileSync(golden, "utf8")) as {
  answers: { wire: string; whole?: Json; events?: Json[] }[];
};
const readers: readonly WireReader[] = [completionReaders.chat, responsesReader, messagesReader, geminiReader];

const isObject = (value: unknown): value is Json =>
  value !== null && typeof value === "object" && !Array.isArray(value);

/** Counts are whole numbers, and no part is more than its whole. */
function checkUsage(usage: Usage | undefined): void {
  if (!usage) return;
  const {
    promptTokens,
    cachedTokens,
    cacheWriteTokens = 0,
    cacheWriteLongTokens = 0,
    outputTokens,
    reasoningTokens,
  } = usage;
  const counts = [promptTokens, cachedTokens, cacheWriteTokens, cacheWriteLongTokens, outputTokens, reasoningTokens];
  for (const count of counts) assert.ok(Number.isSafeInteger(count) && count >= 0, JSON.stringify(usage));
  assert.ok(cachedTokens + cacheWriteTokens + cacheWriteLongTokens <= promptTokens, JSON.stringify(usage));
  assert.ok(reasoningTokens <= outputTokens, JSON.stringify(usage));
}

/** An answer in the API of `reader`, as the events of a stream or whole, told to a client of every API. */
function answersOf(reader: WireReader): Target {
  const own = answers.filter(({ wire }) => wire === reader.shape);
  const seeds = own.flatMap(({ whole, events }) => [...(events ? [events] : []), ...(whole ? [[whole]] : [])]);
  return {
    name: `answers of ${reader.shape}`,
    seeds: seeds.map((events) => Buffer.from(JSON.stringify(events))),
    run(bytes) {
      const events = parsed(bytes.toString("utf8"));
      if (!Array.isArray(events)) return;
      const state = reader.begin(events.length > 1);
      const told = testClients.map(({ protocol, ask }) => {
        const of = { call: ask({ system: "s", asked: "a" }, true), id: "call_1", createdMs: 0 };
        return { protocol, of, encode: protocol.events(of) };
      });
      for (const event of events.filter(isObject)) {
        allowed(() => {
          const name = typeof event["type"] === "string" ? event["type"] : undefined;
          reader.isAnswer(event);
          checkUsage(reader.usage(event, state));
          const chunk = reader.read(event, name, JSON.stringify(event), state);
          assert.ok(Number.isSafeInteger(chunk.characters) && chunk.characters >= 0);
          for (const { text, reasoning, refusal } of chunk.deltas)
            for (const piece of [text, reasoning, refusal]) assert.ok(piece === undefined || typeof piece === "string");
          reader.ends(event, name);
          for (const { protocol, of, encode } of told) {
            allowed(() => assert.equal(typeof encode(chunk), "string"));
            allowed(() => JSON.parse(protocol.whole(chunk, of)));
          }
        });
      }
      for (const { encode } of told) allowed(() => assert.equal(typeof encode(undefined), "string"));
    },
  };
}

/** A frame asks for a turn, or is refused; what it asks for is read as the body of a request is. */
const socketFrames: Target = {
  name: "frames of a WebSocket",
  seeds: [
    { type: "response.create", model: "m", input: "hi" },
    { type: "response.create", generate: false, model: "m", store: false, input: [{ role: "user", content: "hi" }] },
    { type: "response.create", model: "m", input: [{ type: "function_call_output", call_id: "c", output: "x" }] },
  ].map((frame) => Buffer.from(JSON.stringify(frame))),
  run(bytes) {
    const json = parsed(bytes.toString("utf8"));
    allowed(() => {
      const { body } = turnOf(json);
      readAll(decodeCall(body, undefined, { keeps: true, earlier: undefined }));
    });
  },
};

export const wireTargets = (): Target[] => [...readers.map(answersOf), socketFrames];
