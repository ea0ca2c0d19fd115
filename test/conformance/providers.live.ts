// Exchanges with real providers, as other projects have recorded them: every answer is read as an independent reader reads it, is written for
// the clients of every API without a loss, and a refusal keeps its wording. Every request is decoded and is the same when it leaves.
//
//   LINESHAFT_RECORDINGS=FOLDER npm run test:providers       FOLDER: cassettes of VCR.py, at any depth (cassettes.ts)
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createEngine } from "../../src/engines/index.ts";
import type { AnswerDelta, EngineChunk, Shape, Usage, WireObject } from "../../src/engines/index.ts";
import type { EngineError } from "../../src/engines/index.ts";
import { presetAt } from "../../src/engines/presets/index.ts";
import { LineshaftError } from "../../src/errors/index.ts";
import type { ModelCall } from "../../src/gateway/modelCall.ts";
import { chat } from "../../src/gateway/protocols/chat/index.ts";
import { gemini } from "../../src/gateway/protocols/gemini/index.ts";
import { messages } from "../../src/gateway/protocols/messages/index.ts";
import { routeOf } from "../../src/gateway/protocols/registry.ts";
import { responses } from "../../src/gateway/protocols/responses/index.ts";
import type { Protocol } from "../../src/gateway/protocols/types.ts";
import { exchanges, type Exchange } from "./cassettes.ts";
import { eventsOf, saidBy, type Said } from "./said.ts";

type Json = Record<string, any>;

const folder = process.env["LINESHAFT_RECORDINGS"];
if (folder === undefined) throw new Error("Set LINESHAFT_RECORDINGS to a folder of recorded exchanges.");
const all = exchanges(folder);
const protocols: Protocol[] = [chat, messages, responses, gemini];

let playing: Exchange;
let address: string;
const server = createServer((request, response) => {
  request.resume().on("end", () => {
    if (request.method !== "POST") {
      const { model } = playing;
      const listed = { data: [{ id: model }], models: [{ name: `models/${model}` }] };
      return void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(listed));
    }
    const { status, type, body } = playing.response;
    response.writeHead(status, { "content-type": type }).end(body);
  });
});
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());

interface Read {
  chunks: EngineChunk[];
  deltas: AnswerDelta[];
  usage: Usage | undefined;
}

/** What the engine's reader makes of an answer. Throws what it throws. */
async function read(exchange: Exchange): Promise<Read> {
  playing = exchange;
  const { kind, shape, model, base, request, streams, path } = exchange;
  const preset = presetAt(`https://${exchange.host}`);
  const engine = createEngine(kind, { url: `${address}${base}`, model, key: "none", preset });
  try {
    const answer = await engine.open({
      shape,
      body: request as Json & { stream?: boolean },
      ...(path.includes(":stream") && { streamByPath: true }),
      hints: { attempt: "att_1", cacheSalt: "prj", project: "prj" },
    });
    const chunks: EngineChunk[] = [];
    if (streams) for await (const chunk of answer.chunks) chunks.push(chunk);
    else chunks.push(await answer.whole());
    return { chunks, deltas: chunks.flatMap(({ deltas }) => deltas), usage: answer.usage() };
  } finally {
    await engine.close();
  }
}

function saidInDeltas({ deltas, usage }: Read): Said {
  const calls = new Map<number, { name: string; arguments: string }>();
  let text = "";
  for (const delta of deltas) {
    if (delta.index > 0) continue;
    text += delta.text ?? "";
    for (const { index, name, arguments: given = "" } of delta.toolCalls ?? []) {
      const known = calls.get(index);
      if (known) known.arguments += given;
      else calls.set(index, { name: name ?? "", arguments: given });
    }
  }
  return {
    text,
    calls: [...calls.values()].map((call) => ({ ...call, arguments: parsed(call.arguments) })),
    usage:
      usage?.source === "engine"
        ? { prompt: usage.promptTokens, output: usage.outputTokens, cached: usage.cachedTokens }
        : undefined,
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text === "" ? "{}" : text);
  } catch {
    return text;
  }
}

const partsOf = ({ streams, response: { body } }: Exchange): Json[] =>
  streams && !body.trimStart().startsWith("{") && !body.trimStart().startsWith("[")
    ? eventsOf(body)
    : [JSON.parse(body) as Json];

/** A request as its client sends it to us. */
function decoded({ shape, path, model, request }: Exchange): ModelCall {
  const paths: Partial<Record<Shape, string>> = {
    chat: "/v1/chat/completions",
    messages: "/v1/messages",
    responses: "/v1/responses",
    embeddings: "/v1/embeddings",
    gemini: `/v1beta${path.split("?")[0]}`,
  };
  const at = paths[shape]!;
  const route = routeOf("POST", at)!;
  return route.protocol.decode({
    route: route.call!,
    model: route.names["model"] ?? model,
    path: at,
    query: new URLSearchParams(path.split("?")[1]),
    headers: {},
    bytes: Buffer.from(JSON.stringify(request)),
    json: request,
  });
}

const generated = all.filter(({ shape }) => shape !== "embeddings");
const isError = (part: Json) => part["error"] !== undefined && part["error"] !== null;
/** An answer; some were made up by those who recorded, and some say in the middle of a stream that they have failed. */
const isAnswer = (exchange: Exchange): boolean => {
  try {
    return !partsOf(exchange).some(
      (part) => isError(part) || (exchange.shape === "chat" && !Array.isArray(part["choices"])),
    );
  } catch {
    return false;
  }
};
const answered = generated.filter(({ response }) => response.status === 200);
const whole = answered.filter(isAnswer);
const broken = answered.filter((one) => !isAnswer(one));
const refused = all.filter(({ response }) => response.status >= 400);

test("there are recordings of every API", () => {
  const shapes = new Set(answered.map(({ shape, streams }) => `${shape}${streams ? ", streamed" : ""}`));
  console.log([...Map.groupBy(all, ({ host }) => host)].map(([host, of]) => `${host} ${of.length}`).join(", "));
  expect(shapes.size).toBe(8);
});

describe.each(whole.map((exchange) => [exchange.name, exchange] as const))("%s", (_, exchange) => {
  const truth = () => saidBy(exchange.shape, partsOf(exchange), exchange.streams);

  test("its answer is read", async () => {
    expect(saidInDeltas(await read(exchange))).toEqual(truth());
  });

  test("clients of every API are told the same", async () => {
    const { chunks, usage } = await read(exchange);
    const want = truth();
    for (const protocol of protocols) {
      const call = askedBy(protocol, exchange.streams);
      const told = { call, id: "call_1", createdMs: 0 };
      const parts: Json[] = [];
      if (exchange.streams) {
        const encode = protocol.events(told);
        let text = "";
        for (const [place, chunk] of chunks.entries()) {
          const last = place === chunks.length - 1 && usage ? { usage } : {};
          if (chunk.silent !== true) text += encode({ deltas: chunk.deltas, wire: chunk.wire as WireObject, ...last });
        }
        text += encode(undefined);
        parts.push(...eventsOf(text));
      } else {
        const [chunk] = chunks;
        const whole = protocol.whole({ deltas: chunk!.deltas, wire: chunk!.wire, ...(usage && { usage }) }, told);
        parts.push(JSON.parse(whole) as Json);
      }
      const said = saidBy(protocol.shape, parts, exchange.streams);
      expect({ to: protocol.name, text: said.text, calls: said.calls }).toEqual({
        to: protocol.name,
        text: want.text,
        calls: want.calls,
      });
    }
  });

  test("its request is decoded, and leaves as it came", () => {
    const { request, shape, model } = exchange;
    let call: ModelCall;
    try {
      call = decoded(exchange);
    } catch (error) {
      expect(error).toBeInstanceOf(LineshaftError);
      expect(refusals.some((why) => why.test((error as Error).message))).toBe(true);
      return;
    }
    // What goes on from a provider's own state is made whole from ours first (gateway/responses).
    if (request["previous_response_id"] !== undefined || request["conversation"] !== undefined) return;
    expect(passed(shape, call.engineBody({ shape, model }))).toEqual(passed(shape, request));
  });
});

/** Why a request is refused although its provider took it. */
const refusals = [
  /names a file that the provider keeps/,
  /log probabilities are not given/,
  /cannot go on from a stored response/,
  // Mistral's own client leaves the type of a tool out.
  /tools\[0\]\.type/,
  // The client of a tool that searches for tools answers the search in a history that names no such call.
  /no tool call found for function_call_output/,
  // A body that its recorder has changed.
  /tools: Invalid input: expected array, received object/,
];

/** What of a body must leave as it came: all but state and background, tools that the provider runs and bills, and the two ways to write Gemini's names. */
function passed(shape: Shape, body: Json): Json {
  const { store: _store, background: _background, tools, ...rest } = body;
  const own = ((tools ?? []) as Json[]).filter(
    (tool) =>
      !/search|code|image_generation|computer|mcp|shell|googleMaps|urlContext/i.test(
        Object.keys(tool).join() + String(tool["type"] ?? ""),
      ),
  );
  const kept = { ...rest, ...(own.length > 0 && { tools: own }) };
  return shape === "gemini" ? (camel(kept) as Json) : kept;
}

function camel(value: unknown, isName = true): unknown {
  if (Array.isArray(value)) return value.map((one) => camel(one, isName));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => {
      const written = isName ? name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()) : name;
      // Names in schemas and arguments are the user's own.
      return [written, camel(one, isName && !/^(parameters|args|response|schema|.*JsonSchema)$/.test(written))];
    }),
  );
}

test.each(broken.map((exchange) => [exchange.name, exchange] as const))("%s is no answer", async (_, exchange) => {
  await expect(read(exchange)).rejects.toBeInstanceOf(LineshaftError);
});

describe.each(refused.map((exchange) => [exchange.name, exchange] as const))("%s", (_, exchange) => {
  test("its refusal keeps its wording", async () => {
    const failure = (await read(exchange).catch((error: unknown) => error)) as EngineError;
    expect(failure).toBeInstanceOf(LineshaftError);
    const { status, body } = exchange.response;
    // Whole, where the provider is a known one; its message stands in our own words elsewhere, and where another endpoint may serve the call.
    if (status === 400 && (exchange.kind !== "openai" || presetAt(`https://${exchange.host}`)))
      return expect(failure.said?.text).toBe(body);
    const { error } = JSON.parse(body) as Json;
    expect(failure.message).toContain(error.message);
  });
});

function askedBy(protocol: Protocol, stream: boolean): ModelCall {
  const bodies: Record<string, Json> = {
    messages: { model: "m", max_tokens: 10, messages: [{ role: "user", content: "hi" }], stream },
    responses: { model: "m", input: "hi", stream },
    gemini: { contents: [{ role: "user", parts: [{ text: "hi" }] }] },
  };
  const json = bodies[protocol.shape] ?? { model: "m", messages: [{ role: "user", content: "hi" }], stream };
  const route = protocol.calls[0]!;
  return protocol.decode({
    route,
    model: "m",
    path: route.path,
    query: new URLSearchParams(),
    headers: {},
    bytes: Buffer.from(JSON.stringify(json)),
    json,
  });
}
