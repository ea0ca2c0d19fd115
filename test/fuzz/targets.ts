// What is fuzzed: every function that reads bytes of strangers. A target takes bytes and may end in two ways: it returns, or it throws an
// error that was made for a person. Anything else that it throws, and any promise of its own that it breaks, is a find.
import { strict as assert } from "node:assert";
import { createParser } from "eventsource-parser";
import { JsonMeter, parseLazily } from "../../src/bounded/index.ts";
import { SseScanner } from "../../src/engines/wire/sse.ts";
import { chunkOf, saysEnd } from "../../src/engines/wire/chat/deltas.ts";
import { encodeBody } from "../../src/engines/wire/splice.ts";
import type { RegisteredEndpoint } from "../../src/engines/index.ts";
import { LineshaftError } from "../../src/errors/index.ts";
import { requestsIn } from "../../src/gateway/batches/messageRequests.ts";
import { limits } from "../../src/gateway/limits.ts";
import { shapeAt } from "../../src/gateway/protocols/spoken.ts";
import { routeOf, servedRoutes, type Route } from "../../src/gateway/protocols/registry.ts";
import type { CallRoute, Protocol } from "../../src/gateway/protocols/types.ts";
import { recordings } from "../conformance/recordings.ts";
import { allowed, parsed, readAll } from "./reading.ts";
import { wireTargets } from "./wires.ts";

export interface Target {
  name: string;
  /** Inputs that are taken, to begin with. */
  seeds: Buffer[];
  /** Throws what is a find. */
  run(input: Buffer): void;
}

const bodies = recordings().flatMap(({ method, path, body }) => (body ? [{ line: `${method} ${path}`, body }] : []));
const bytesOf = (body: unknown): Buffer => Buffer.from(JSON.stringify(body));
const conversations = bodies
  .filter(({ line }) => line === "POST /v1/chat/completions")
  .map(({ body }) => bytesOf(body));

/** Bodies that clients sent to this route; of a route that none was recorded with, the smallest body. */
function recorded(route: Route): Buffer[] {
  const sent = bodies.filter(({ line }) => {
    const [method, path] = line.split(/[ ?]/) as [string, string];
    return routeOf(method, path)?.call === route.call;
  });
  const smallest = { model: "m", prompt: "x", input: "x", query: "x", documents: ["x"], messages: [], contents: [] };
  return sent.length > 0 ? sent.slice(0, mostSeeds).map(({ body }) => bytesOf(body)) : [bytesOf(smallest)];
}

const mostSeeds = 24;

export function targets(): Target[] {
  return [
    ...protocolsServed().map(decodeOf),
    eventScanner,
    engineEvents,
    jsonMeter,
    passedOnBytes,
    batchRequests,
    ...wireTargets(),
  ];
}

/** Every protocol with a call, by the path of that call. */
function protocolsServed(): CallOf[] {
  const paths = servedRoutes.filter((line) => line.startsWith("POST ")).map((line) => line.slice("POST ".length));
  return paths.flatMap((line) => {
    const path = line.replace("{model}", "m");
    const route = routeOf("POST", path);
    return route?.call ? [{ protocol: route.protocol, call: route.call, model: route.names["model"], path }] : [];
  });
}

interface CallOf {
  protocol: Protocol;
  call: CallRoute;
  model: string | undefined;
  path: string;
}

/** Endpoints that speak one API each. */
const endpoints = ([undefined, "responses", "messages", "gemini"] as const).map(
  (shape) =>
    ({
      name: "m",
      kind: "openai",
      allowFields: [],
      facts: { models: ["m"], capabilities: { tokenize: false, kvEvents: false, ...(shape && { speaks: [shape] }) } },
    }) as unknown as RegisteredEndpoint,
);

/** A body is decoded, and everything that the gateway may ask of the call is asked. */
function decodeOf({ protocol, call: route, model, path }: CallOf): Target {
  return {
    name: `decode ${path}`,
    seeds: recorded(routeOf("POST", path)!),
    run(bytes) {
      const text = bytes.toString("utf8");
      const json = parsed(text);
      // The edge has refused what is no JSON, or nested too deep, before a protocol sees it.
      if (json === undefined || !withinBounds(bytes)) return;
      /** What engines are sent. */
      const sentOf = (body: unknown): string[] => {
        const sent: string[] = [];
        allowed(() => {
          const call = protocol.decode({
            route,
            model,
            path,
            query: new URLSearchParams(),
            headers: {},
            bytes,
            json: body,
          });
          readAll(call);
          for (const endpoint of endpoints)
            allowed(() => {
              const shape = shapeAt(call, endpoint);
              const fitted = call.fitted(endpoint);
              readAll(fitted);
              sent.push(JSON.stringify(fitted.engineBody({ shape, model: "m", outputTokens: 5 })));
            });
        });
        return sent;
      };
      const sent = sentOf(json);
      const lazy = protocol.outlined === undefined ? undefined : parsedLazily(bytes, protocol.outlined);
      if (lazy) assert.deepEqual(sentOf(lazy), sent);
    },
  };
}

/** The body with a list that is parsed when it is read, where its texts are long. */
function parsedLazily(bytes: Buffer, outlined: string): unknown {
  const meter = new JsonMeter(meterBounds, true, { outlined, partLength: 512 });
  for (const piece of cut(bytes)) meter.push(piece);
  const { members, outline } = meter;
  return outline === undefined ? undefined : parseLazily(bytes, members!, outlined, outline);
}

const meterBounds = { depth: limits.bodyDepth, values: limits.bodyValues, numbers: limits.bodyNumbers };

function withinBounds(bytes: Buffer): boolean {
  try {
    new JsonMeter(meterBounds).push(bytes);
    return true;
  } catch {
    return false;
  }
}

/** The meter counts the same wherever the bytes are cut, and lets through nothing that is deeper than its bound. */
const jsonMeter: Target = {
  name: "bounded JSON",
  seeds: [...conversations, Buffer.from('[[[{"a":[1,-2,true,"\\"]"]}]]]')],
  run(bytes) {
    const bounds = { depth: 12, values: 200, numbers: 100 };
    const outcome = (pieces: Buffer[]): string => {
      const meter = new JsonMeter(bounds);
      try {
        for (const piece of pieces) meter.push(piece);
        return "within";
      } catch (error) {
        if (error instanceof LineshaftError) return error.message;
        throw error;
      }
    };
    const whole = outcome([bytes]);
    assert.equal(outcome(cut(bytes)), whole);
    const json = parsed(bytes.toString("utf8"));
    if (json !== undefined && whole === "within") assert.ok(depthOf(json) <= bounds.depth);
  },
};

/** Events are those that another reader of the same specification finds, wherever the bytes are cut. */
const eventScanner: Target = {
  name: "server-sent events",
  seeds: [
    Buffer.from('data: {"a":1}\n\nevent: x\r\ndata: 1\r\ndata: 2\r\n\r\n: comment\nid: 7\ndata\n\ndata: [DONE]\n\n'),
    Buffer.from("\ufeffdata: \u00e9\u20ac\ud83c\udf4f\rdata:2\r\r\nretry: 5\nid: a\0b\n\n"),
  ],
  run(bytes) {
    const whole = eventsOf([bytes]);
    assert.deepEqual(eventsOf(cut(bytes)), whole);
    // The other parser takes text and differs on purpose where bytes are not UTF-8, and where a text holds U+0000.
    const text = bytes.toString("utf8");
    if (whole !== undefined && Buffer.from(text).equals(bytes) && !text.includes("\0"))
      assert.deepEqual(whole, othersOf(text));
  },
};

type Event = [data: string, event: string | undefined];

/** Undefined where an event was longer than may be. */
function eventsOf(pieces: Buffer[]): Event[] | undefined {
  const events: Event[] = [];
  const scanner = new SseScanner((data, event) => void events.push([data, event || undefined]), 64 * 1024);
  try {
    for (const piece of pieces) scanner.push(piece);
    return events;
  } catch (error) {
    if (error instanceof LineshaftError) return undefined;
    throw error;
  }
}

function othersOf(text: string): Event[] {
  const events: Event[] = [];
  const parser = createParser({ onEvent: ({ data, event }) => void events.push([data, event || undefined]) });
  parser.feed(text);
  return events;
}

/** Whatever JSON an engine sends as an event is read without a throw, and a delta holds text and numbers only. */
const engineEvents: Target = {
  name: "events of engines",
  seeds: [
    '{"choices":[{"index":0,"delta":{"content":"a","reasoning_content":"b","refusal":"c"},"finish_reason":"stop"}]}',
    '{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{}"}}]}}],"usage":{"prompt_tokens":1}}',
    '{"choices":[{"index":1,"text":"a"}],"usage":null}',
  ].map((text) => Buffer.from(text)),
  run(bytes) {
    const json = parsed(bytes.toString("utf8"));
    if (json === null || typeof json !== "object" || Array.isArray(json)) return;
    for (const shape of ["chat", "completions"] as const) {
      const { deltas, characters } = chunkOf(shape, json as Record<string, unknown>);
      saysEnd(json as Record<string, unknown>);
      assert.ok(Number.isSafeInteger(characters) && characters >= 0);
      for (const { text, reasoning, refusal, index } of deltas) {
        for (const piece of [text, reasoning, refusal]) assert.ok(piece === undefined || typeof piece === "string");
        assert.equal(typeof index, "number");
      }
    }
  },
};

/** What leaves as the bytes that came is read by another parser as what was decoded. */
const passedOnBytes: Target = {
  name: "bytes passed on",
  seeds: [...conversations, ...conversations.map(padded)],
  run(bytes) {
    const object = parsed(bytes.toString("utf8")) as Record<string, unknown> | undefined;
    if (object === undefined || object === null || typeof object !== "object" || Array.isArray(object)) return;
    const body: Record<string, unknown> = { ...object, model: "another", stream: undefined };
    allowed(() => {
      const sent = encodeBody(body, { bytes, object });
      const sentText = typeof sent === "string" ? sent : Buffer.concat([sent].flat()).toString("utf8");
      assert.deepEqual(JSON.parse(sentText), JSON.parse(JSON.stringify(body)));
    });
  },
};

/** The requests of a batch are those that JSON.parse finds in its body, or the body is refused. */
const batchRequests: Target = {
  name: "requests of a batch of messages",
  seeds: [
    Buffer.from('{"requests":[{"custom_id":"a","params":{"model":"m","messages":[]}},{"custom_id":"b","params":{}}]}'),
    Buffer.from(' { "requests" : [ [1, {}], "\\"]}", -1.5e3, true , null, {"a":"\\\\"} ] } '),
  ],
  run(bytes) {
    const text = bytes.toString("utf8");
    allowed(() => {
      const found = [...requestsIn(text)].map(parsed);
      if (found.includes(undefined)) return;
      assert.deepEqual(found, (JSON.parse(text) as { requests: unknown }).requests);
    });
  },
};

/** Longer than what is copied into one buffer. */
function padded(body: Buffer): Buffer {
  const object = JSON.parse(body.toString("utf8")) as { messages?: unknown[] };
  object.messages = [...(object.messages ?? []), { role: "user", content: "long é ".repeat(3_000) }];
  return Buffer.from(JSON.stringify(object));
}

/** Cuts the bytes at places that follow from the bytes alone, so that a find repeats. */
function cut(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  let state = bytes.length + 1;
  for (let at = 0; at < bytes.length;) {
    state = (Math.imul(state, 1_103_515_245) + 12_345 + bytes[at]!) >>> 0;
    const length = 1 + ((state >>> 16) % 7);
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

function depthOf(value: unknown): number {
  if (value === null || typeof value !== "object") return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}
