// One conversation over every API that comes in and every API that an engine speaks costs the same, to the nano, whole and streamed, and
// every client reads the same counts in the words of its own API. What engines say is engines/wire/usage.golden.json; prices are computed
// by hand here. Every kind of token has a price of its own, so that none can stand for another.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ServerResponse } from "node:http";
import { describe, expect, test } from "vitest";
import type { Engine, Shape } from "../engines/index.ts";
import { createAnthropicEngine } from "../engines/anthropic/adapter.ts";
import { createGeminiEngine } from "../engines/gemini/adapter.ts";
import { createResponsesEngine } from "../engines/responses/adapter.ts";
import type { RateCard } from "../ledger/index.ts";
import { testClients, type TestClient } from "./testing/clients.ts";
import { memoryGateway } from "./testing/memoryGateway.ts";

type Json = Record<string, unknown>;

interface Golden {
  name: string;
  wire: Shape;
  /** It is the answer of this name with the usage `says`. */
  of?: string;
  says?: Json;
  whole?: Json;
  events?: Json[];
  usage: Record<string, number>;
}

const file = join(import.meta.dirname, "../engines/wire/usage.golden.json");
const { answers } = JSON.parse(readFileSync(file, "utf8")) as { answers: Golden[] };

/** Whole nanos per token: uncached 3, cached 1, written 5 and for an hour 17, output 7, reasoning 11; and 13 for a call. */
const card: RateCard = {
  id: "card_golden",
  model: "scripted",
  version: 1,
  currency: "USD",
  inputNanoPerMillion: 3_000_000n,
  cachedNanoPerMillion: 1_000_000n,
  cacheWriteNanoPerMillion: 5_000_000n,
  cacheWriteLongNanoPerMillion: 17_000_000n,
  outputNanoPerMillion: 7_000_000n,
  reasoningNanoPerMillion: 11_000_000n,
  callNano: 13n,
};

const output = 400n * 7n + 300n * 11n;
/** By the name of what the engine says; all that is not named costs `plain`. */
const plain = 4_000n * 3n + 8_000n * 1n + output + 13n;
const prices: Record<string, bigint> = {
  "chat, written": 2_500n * 3n + 8_000n * 1n + 1_500n * 5n + output + 13n,
  "messages, written": 2_500n * 3n + 8_000n * 1n + 1_000n * 5n + 500n * 17n + output + 13n,
};

/**
 * An engine that speaks one API: where it is asked, and how the gateway reaches it. `gathers`: whole answers are put together from a
 * stream.
 */
interface Out {
  name: string;
  wire: Shape;
  paths: readonly string[];
  owner?: string;
  open?: (url: string) => Engine;
  /** What it says of its model, where the scripted one's context is too short. */
  models?: object;
}
const model = "scripted";
const geminiPath = `POST /v1/models/${model}`;
const outs: readonly Out[] = [
  { name: "chat, gathered from a stream", wire: "chat", paths: ["POST /v1/chat/completions"], owner: "sglang" },
  { name: "chat", wire: "chat", paths: ["POST /v1/chat/completions"], owner: "someone" },
  {
    name: "Responses",
    wire: "responses",
    paths: ["POST /v1/responses"],
    open: (url) => createResponsesEngine({ url, model }),
  },
  {
    name: "Anthropic",
    wire: "messages",
    paths: ["POST /v1/messages"],
    open: (url) => createAnthropicEngine({ url, model }),
  },
  {
    name: "Gemini",
    wire: "gemini",
    paths: [`${geminiPath}:generateContent`, `${geminiPath}:streamGenerateContent`],
    open: (url) => createGeminiEngine({ url, model }),
    models: { models: [{ name: `models/${model}`, inputTokenLimit: 100_000, outputTokenLimit: 10_000 }] },
  },
];

/** The usage of an answer replaced, wherever it stands whole. */
function withUsage(base: Golden, says: Json): Golden {
  const replaced = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(replaced);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => {
        const isUsage = name === "usage" && member !== null;
        return [name, isUsage ? says : replaced(member)];
      }),
    );
  };
  return { ...base, whole: replaced(base.whole) as Json, events: replaced(base.events) as Json[] };
}

const said = (golden: Golden): Golden =>
  golden.of === undefined
    ? golden
    : withUsage(
        answers.find(({ name }) => name === golden.of)!,
        golden.says!,
      );

/** What the engine sends: a stream where the request asks for one, in its body or by its path. */
function send(response: ServerResponse, golden: Golden, streams: boolean): void {
  const { whole, events } = said(golden);
  response.writeHead(200, { "content-type": streams ? "text/event-stream" : "application/json" });
  if (!streams) return void response.end(JSON.stringify(whole));
  for (const event of events!) {
    const name = typeof event["type"] === "string" ? `event: ${event["type"]}\n` : "";
    const frame = golden.wire === "chat" ? { id: "c1", object: "chat.completion.chunk", created: 1, model: "m" } : {};
    response.write(`${name}data: ${JSON.stringify({ ...frame, ...event })}\n\n`);
  }
  response.end(golden.wire === "chat" ? "data: [DONE]\n\n" : "");
}

const cases = outs.flatMap((out) =>
  answers
    .filter(({ wire }) => wire === out.wire)
    .flatMap((golden) =>
      testClients.flatMap((client) =>
        [true, false].map((stream): [string, Out, Golden, TestClient, boolean] => [
          `${client.protocol.name}, ${stream ? "streamed" : "whole"}, of an engine of ${out.name} that says ${golden.name}`,
          out,
          golden,
          client,
          stream,
        ]),
      ),
    ),
);

describe("the same price and the same counts", () => {
  test.each(cases)("%s", async (_name, out, golden, client, stream) => {
    const route = (body: unknown, path: string) => {
      const streams = (body as Json)["stream"] === true || path.includes("streamGenerateContent");
      return (response: ServerResponse) => send(response, golden, streams);
    };
    await using at = await memoryGateway({
      ...(out.owner !== undefined && { owner: out.owner }),
      ...(out.open && { open: out.open, shape: out.wire }),
      engineRoutes: {
        ...(out.models && { "GET /v1/models": () => out.models }),
        ...Object.fromEntries(out.paths.map((path) => [path, route])),
      },
      cardOf: () => card,
    });
    // A token has at least a byte: the hold covers the 12,000 that the engine claims.
    const asked = client.ask({ system: "a ".repeat(7_000), asked: "What is seven?", outputTokens: 2_000 }, stream);
    const answer = await at.gateway.call(at.requestOf(asked));
    const told = { call: asked, id: "call_1", createdMs: 0 };
    let text = "";
    if (stream) {
      const encode = client.protocol.events(told);
      for await (const chunk of answer.chunks) text += encode(chunk);
      text += encode(undefined);
    } else text = client.protocol.whole(await answer.whole(), told);
    await answer.finished;
    const { settlements } = at.ledger;
    expect(settlements).toHaveLength(1);
    expect(settlements[0]!.amountNano).toBe(prices[golden.name] ?? plain);
    const { promptTokens, cachedTokens, outputTokens, reasoningTokens } = golden.usage;
    // A usage in a provider's own words is passed on in them to clients of its API, who know them.
    if (golden.says && out.wire === client.protocol.shape && golden.name.includes(", as ")) return;
    expect(client.read(text, stream)).toMatchObject({
      thought: "Hm.",
      text: "Seven.",
      calls: [{ id: "call_1", name: "look", arguments: { q: 42 } }],
      usage: { prompt: promptTokens, cached: cachedTokens, output: outputTokens, reasoning: reasoningTokens },
    });
  });
});
