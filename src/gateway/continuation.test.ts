// Answers that break off in mid-stream and are continued by another endpoint, through the whole server: what the client reads is one valid
// answer of its API, every attempt has its own hold, price and row, and the ledger, the record and the client's usage agree to the nano.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { rows, testGateway, testPrices, type TestGateway } from "../api/testing.ts";
import { createEngine } from "../engines/kinds.ts";
import { scriptedEngine, type Script, type ScriptedEngine, type SeenRequest } from "../engines/testing.ts";
import { eventsOf as responsesEvents, readStream } from "./protocols/responses/testing.ts";

type Json = Record<string, any>;

let at: TestGateway;
let engines: ScriptedEngine[] = [];

beforeEach(async () => {
  at = await testGateway();
  const { organisation } = at.principal;
  await at.ledger.setRateCard({ organisation, model: "pair", currency: "USD", ...testPrices });
});
afterEach(async () => {
  await at[Symbol.asyncDispose]();
  for (const engine of engines) await engine[Symbol.asyncDispose]();
  engines = [];
});

/** 10 prompt tokens, and as many of output as the engine has counted when it breaks off: one for each chunk. */
const broken: Script = { chunks: ["Once ", "upon ", "a "], cut: 3, chunkTokens: 1, usage: { prompt: 10, output: 9 } };
/** The second engine writes the white space again that its template has cut off. */
const rest: Script = { chunks: [" time", "."], usage: { prompt: 14, output: 2 } };

const isContinuing = ({ body }: SeenRequest): boolean =>
  (body["messages"] as Json[] | undefined)?.at(-1)?.["role"] === "assistant";

/** The model `pair`, served by engines that answer alike: first they break off, and then they go on. */
async function pair({
  first = broken,
  then = rest,
  software = "sglang",
  number = 2,
}: { first?: Script; then?: Script; software?: string; number?: number } = {}): Promise<ScriptedEngine[]> {
  for (let place = 0; place < number; place++) {
    const engine = await scriptedEngine({}, ["pair"], 0, { routes: {}, card: { owned_by: software } });
    engine.decide = (request) => (isContinuing(request) ? then : first);
    engines.push(engine);
    const opened = createEngine("openai", { url: engine.url, model: "pair" });
    const facts = await opened.probe();
    at.engines.add("pair", opened, { kind: "openai", model: "pair", endpoint: `pair-${place}`, facts });
  }
  return engines;
}

/** The model `pair`, at two endpoints that speak Anthropic's API. */
async function claudes(then: Script): Promise<void> {
  for (const endpoint of ["claude-0", "claude-1"]) {
    const engine = await scriptedEngine({}, ["pair"], 0, { shape: "messages", routes: {} });
    engine.decide = (request) => (isContinuing(request) ? then : broken);
    engines.push(engine);
    const opened = createEngine("anthropic", { url: engine.url, model: "pair", key: "k" });
    const facts = await opened.probe();
    // An older model, which does not think by itself.
    facts.capabilities.prefills = true;
    at.engines.add("pair", opened, { kind: "openai", model: "pair", endpoint, facts });
  }
}

const ask = async (path: string, body: Json, more: Record<string, string> = {}): Promise<string> => {
  const headers = {
    "x-api-key": at.key,
    "anthropic-version": "2023-06-01",
    "content-type": "application/json",
    ...more,
  };
  const response = await fetch(at.address + path, { method: "POST", body: JSON.stringify(body), headers });
  return response.text();
};

const messages = [{ role: "user", content: "Tell me a story." }];
const chat = (more: Json = {}, headers: Record<string, string> = {}) =>
  ask(
    "/v1/chat/completions",
    { model: "pair", messages, stream: true, stream_options: { include_usage: true }, ...more },
    headers,
  );

const chunksOf = (text: string): Json[] =>
  text
    .split("\n\n")
    .filter((event) => event.startsWith("data: {"))
    .map((event) => JSON.parse(event.slice("data: ".length)) as Json);

const textOf = (chunks: Json[]): string => chunks.map(({ choices }) => choices?.[0]?.delta?.content ?? "").join("");

/** The rows of the only call. Their sums agree with the call, the settlements and the ledger, or this throws. */
async function billed() {
  const { calls, attempts, settlements } = await rows(at);
  expect(calls).toHaveLength(1);
  const [call] = calls;
  for (const of of ["price_nano", "prompt_tokens", "output_tokens"])
    expect(attempts.reduce((sum, row) => sum + BigInt(row[of]), 0n)).toBe(BigInt(call![of]));
  expect(settlements.reduce((sum, row) => sum + BigInt(row["amount_nano"]), 0n)).toBe(BigInt(call!["price_nano"]));
  expect((await at.ledger.prove()).discrepancies).toEqual([]);
  return { call: call!, attempts, ways: attempts.map((row) => `${row["why"]} ${row["status"]}`) };
}

/** 3 for each token of a prompt and 7 for each of output, of two attempts. */
const price = 10n * 3n + 3n * 7n + 14n * 3n + 2n * 7n;

describe("an answer that breaks off is continued", () => {
  test("in chat, as one answer with one id, one role, one end and one usage, which is what is billed", async () => {
    const [one, other] = await pair();
    const text = await chat({ max_tokens: 20 });
    const chunks = chunksOf(text);
    expect(textOf(chunks)).toBe("Once upon a time.");
    expect(text.match(/data: \[DONE\]/g)).toHaveLength(1);
    expect(new Set(chunks.map(({ id, model, created }) => `${id} ${model} ${created}`)).size).toBe(1);
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason).filter(Boolean)).toEqual(["stop"]);
    expect(chunks.filter(({ choices }) => choices[0]?.delta?.role !== undefined).length).toBeLessThan(2);
    expect(chunks.filter(({ usage }) => usage).map(({ usage }) => usage)).toMatchObject([
      { prompt_tokens: 24, completion_tokens: 5, total_tokens: 29 },
    ]);
    expect(text).toContain("x-lineshaft-continued: true");

    const { call, attempts, ways } = await billed();
    expect(ways).toEqual(["first failed", "continued completed"]);
    expect(attempts.map((row) => row["number"])).toEqual([1, 2]);
    expect(attempts[0]).toMatchObject({ error_code: "engine_unreachable" });
    expect(new Set(attempts.map((row) => row["engine"])).size).toBe(2);
    expect(call).toMatchObject({ status: "completed", price_nano: price, finish_reason: "stop" });

    const continued = [...one!.seen, ...other!.seen].find(isContinuing)!;
    expect(continued.body).toMatchObject({
      messages: [...messages, { role: "assistant", content: "Once upon a" }],
      continue_final_message: true,
      max_tokens: 17,
    });
  });

  test("in Messages", async () => {
    await pair();
    const text = await ask("/v1/messages", { model: "pair", max_tokens: 20, messages, stream: true });
    const events = text
      .split("\n\n")
      .filter((event) => event.startsWith("event: "))
      .map((event) => JSON.parse(event.split("\ndata: ")[1]!) as Json)
      .filter(({ type }) => type !== "ping");
    expect(events.map(({ type }) => type).filter((type) => type !== "content_block_delta")).toEqual([
      "message_start",
      "content_block_start",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
    expect(events.map(({ delta }) => delta?.text ?? "").join("")).toBe("Once upon a time.");
    expect(events.at(-2)).toMatchObject({
      delta: { stop_reason: "end_turn" },
      usage: { input_tokens: 24, output_tokens: 5 },
    });
    expect((await billed()).call).toMatchObject({ price_nano: price, status: "completed" });
  });

  test("in Responses", async () => {
    await pair();
    const text = await ask("/v1/responses", { model: "pair", input: "Tell me a story.", stream: true });
    const events = text
      .split("\n\n")
      .filter((event) => event.startsWith("event: "))
      .join("\n\n");
    expect(readStream(events)).toMatchObject({
      text: "Once upon a time.",
      finish: "stop",
      usage: { promptTokens: 24, outputTokens: 5 },
    });
    expect(new Set(responsesEvents(events).flatMap(({ response }) => response?.id ?? [])).size).toBe(1);
    expect((await billed()).call).toMatchObject({ price_nano: price, status: "completed" });
  });

  test("in text completions, by any engine that stops", async () => {
    const [one, other] = await pair();
    for (const engine of [one!, other!])
      engine.decide = ({ body }) => (body["prompt"] === "Say: Once upon a" ? rest : broken);
    const text = await ask("/v1/completions", { model: "pair", prompt: "Say: ", max_tokens: 20, stream: true });
    expect(
      chunksOf(text)
        .map(({ choices }) => choices[0]?.text ?? "")
        .join(""),
    ).toBe("Once upon a time.");
    expect((await billed()).ways).toEqual(["first failed", "continued completed"]);
  });

  test("in Anthropic's own API, in the block that is open", async () => {
    await claudes(rest);
    const text = await ask("/v1/messages", { model: "pair", max_tokens: 20, messages, stream: true });
    const count = (type: string) => text.split(`event: ${type}\n`).length - 1;
    expect(["message_start", "content_block_start", "content_block_stop", "message_stop"].map(count)).toEqual([
      1, 1, 1, 1,
    ]);
    expect([...text.matchAll(/"text":"([^"]*)"/g)].map(([, part]) => part).join("")).toBe("Once upon a time.");
    const { ways, call } = await billed();
    expect(ways).toEqual(["first failed", "continued completed"]);
    expect(text).toContain(`"output_tokens":${call["output_tokens"]}`);
  });

  test("after the deadline of the call too, by which only its first token has to come", async () => {
    const passed = Promise.withResolvers<void>();
    await pair({ first: { ...broken, wait: passed.promise, waitAfter: 1 } });
    // A machine that stands still may let a deadline pass before the first token.
    for (let deadlineMs = 200; ; deadlineMs *= 2) {
      const over = setTimeout(passed.resolve, 2 * deadlineMs);
      const text = await chat({}, { "x-lineshaft-deadline-ms": `${deadlineMs}` });
      clearTimeout(over);
      if (text.includes("deadline_unreachable")) continue;
      expect(textOf(chunksOf(text))).toBe("Once upon a time.");
      return;
    }
  });

  test("a second time by a third endpoint, and then no more", async () => {
    await pair({ then: { ...rest, cut: 1, chunkTokens: 1 }, number: 4 });
    const text = await chat();
    expect(textOf(chunksOf(text))).toContain("Once upon a time time");
    expect(text).toContain('"error"');
    const { call, ways } = await billed();
    expect(ways).toEqual(["first failed", "continued failed", "continued failed"]);
    expect(call).toMatchObject({ status: "failed" });
  });

  test("where the first endpoint that was asked to go on refuses it", async () => {
    const made = await pair({ number: 3 });
    let refused = 0;
    for (const engine of made)
      engine.decide = (request) =>
        isContinuing(request) ? (refused++ === 0 ? { fail: { status: 500 } } : rest) : broken;
    expect(textOf(chunksOf(await chat()))).toBe("Once upon a time.");
    expect((await billed()).ways).toEqual(["first failed", "continued failed", "continued completed"]);
  });
});

describe("an answer that is continued may end in a call of a tool", () => {
  const called: Script = {
    chunks: [" time"],
    toolCalls: [{ name: "f", arguments: '{"a":1}' }],
    usage: { prompt: 14, output: 2 },
  };
  const parameters = { type: "object", properties: { a: { type: "integer" } } };

  test("in chat", async () => {
    await pair({ then: called });
    const chunks = chunksOf(await chat({ tools: [{ type: "function", function: { name: "f", parameters } }] }));
    expect(textOf(chunks)).toBe("Once upon a time");
    const calls = chunks.flatMap(({ choices }) => choices?.[0]?.delta?.tool_calls ?? []);
    expect(calls.map(({ function: { arguments: given } }) => given ?? "").join("")).toBe('{"a":1}');
    expect(calls[0]).toMatchObject({ index: 0, function: { name: "f" } });
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason).filter(Boolean)).toEqual(["tool_calls"]);
    expect((await billed()).ways).toEqual(["first failed", "continued completed"]);
  });

  test.each(["chat", "messages"] as const)("in Messages, by engines that speak %s", async (shape) => {
    if (shape === "chat") await pair({ then: called });
    else await claudes(called);
    const tools = [{ name: "f", input_schema: parameters }];
    const text = await ask("/v1/messages", { model: "pair", max_tokens: 20, messages, tools, stream: true });
    const events = text
      .split("\n\n")
      .filter((event) => event.startsWith("event: "))
      .map((event) => JSON.parse(event.split("\ndata: ")[1]!) as Json)
      .filter(({ type }) => type.startsWith("content_block_"));
    const starts = events.filter(({ type }) => type === "content_block_start");
    expect(starts.map(({ index, content_block: block }) => [index, block.type])).toEqual([
      [0, "text"],
      [1, "tool_use"],
    ]);
    expect(events.filter(({ type }) => type === "content_block_stop").map(({ index }) => index)).toEqual([0, 1]);
    const json = events.filter(({ index }) => index === 1).map(({ delta }) => delta?.partial_json ?? "");
    expect(json.join("")).toBe('{"a":1}');
    expect(text).toContain('"stop_reason":"tool_use"');
  });

  test("in Responses", async () => {
    await pair({ then: called });
    const tools = [{ type: "function", name: "f", parameters }];
    const text = await ask("/v1/responses", { model: "pair", input: "Tell me a story.", tools, stream: true });
    const events = text.split("\n\n").filter((event) => event.startsWith("event: "));
    expect(readStream(events.join("\n\n"))).toMatchObject({
      text: "Once upon a time",
      toolCalls: [{ name: "f", arguments: '{"a":1}' }],
    });
  });
});

test("an attempt to go on that sends garbage is in the usage that the client reads, as it is in the bill", async () => {
  const made = await pair({ number: 3 });
  let asked = 0;
  const garbage: Script = { raw: { contentType: "text/event-stream", body: "data: <html>\n\n" } };
  for (const engine of made)
    engine.decide = (request) => (isContinuing(request) ? (asked++ === 0 ? garbage : rest) : broken);
  const chunks = chunksOf(await chat());
  expect(textOf(chunks)).toBe("Once upon a time.");
  const { call, attempts, ways } = await billed();
  expect(ways).toEqual(["first failed", "continued failed", "continued completed"]);
  expect(Number(attempts[1]!["prompt_tokens"])).toBeGreaterThan(0);
  const { usage } = chunks.findLast(({ usage }) => usage)!;
  expect([usage.prompt_tokens, usage.completion_tokens].map(BigInt)).toEqual(
    [call["prompt_tokens"], call["output_tokens"]].map(BigInt),
  );
});

test("a client that goes while another endpoint is asked to go on ends that attempt too", async () => {
  const made = await pair({ then: { ...rest, wait: new Promise(() => {}) } });
  const client = new AbortController();
  const headers = { authorization: `Bearer ${at.key}`, "content-type": "application/json" };
  const body = JSON.stringify({ model: "pair", messages, stream: true });
  const call = fetch(`${at.address}/v1/chat/completions`, { method: "POST", headers, body, signal: client.signal })
    .then((response) => response.text())
    .catch(() => "gone");
  const asked = () => made.flatMap(({ seen }) => seen).find(isContinuing);
  await expect.poll(asked, { interval: 1 }).toBeDefined();
  client.abort();
  expect(await call).toBe("gone");
  await asked()!.gone;
  await expect.poll(async () => (await rows(at)).calls.length).toBe(1);
  const { call: record, ways } = await billed();
  expect(ways).toEqual(["first failed", "continued cancelled"]);
  expect(record).toMatchObject({ status: "cancelled", error_code: "client_gone" });
});

describe("an answer that breaks off ends with its error", () => {
  const tool = { type: "function", function: { name: "f", parameters: { type: "object" } } };
  const withTool: Script = { ...broken, chunks: ["Once"], toolCalls: [{ name: "f", arguments: '{"a":1}' }] };
  test.each([
    ["where its route says so", {}, {}, { continues: false }],
    ["where the engines cannot go on with an answer", {}, { software: "someone" }, {}],
    ["where only one endpoint serves the model", {}, { number: 1 }, {}],
    ["where log probabilities are asked for", { logprobs: true }, {}, {}],
    ["where it has to be JSON", { response_format: { type: "json_object" } }, {}, {}],
    ["where several answers are asked for", { n: 2 }, {}, {}],
    ["where it has thought", {}, { first: { ...broken, reasoning: ["hm"] } }, {}],
    ["where it has called a tool", { tools: [tool] }, { first: { ...withTool, raw: brokenCall() } }, {}],
    ["where its limit of output is reached", { max_tokens: 3 }, {}, {}],
  ] as [string, Json, Parameters<typeof pair>[0], Json][])("%s", async (_name, more, setting, route) => {
    const made = await pair(setting);
    if (Object.keys(route).length > 0) {
      const set = { method: "PUT", body: JSON.stringify({ model: "pair", ...route }) };
      expect(await at.request("/api/routes", set)).toMatchObject({ status: 200, body: route });
    }
    const text = await chat(more);
    expect(text).toContain('"error"');
    expect(text).not.toContain("x-lineshaft-continued");
    const { call, ways } = await billed();
    expect(ways).toEqual(["first failed"]);
    expect(call).toMatchObject({ status: "failed" });
    expect(made.flatMap(({ seen }) => seen)).toHaveLength(1);
  });

  test("where the budget does not pay for another attempt", async () => {
    // 300 tokens of output are used, and what is left does not hold the prompt once more.
    await pair({ first: { ...broken, chunkTokens: 100, usage: { prompt: 10, output: 400 } } });
    await at.ledger.setBudget({
      organisation: at.principal.organisation,
      currency: "USD",
      scope: { kind: "project", id: at.principal.project },
      limitNano: 3_950n,
      period: "total",
    });
    const text = await chat({ max_tokens: 400 });
    expect(textOf(chunksOf(text))).toBe("Once upon a ");
    expect(text).toContain('"error"');
    expect((await billed()).ways).toEqual(["first failed"]);
  });
});

/** A stream that ends within the call of a tool. */
function brokenCall(): { contentType: string; body: string } {
  const call = { index: 0, id: "c", type: "function", function: { name: "f", arguments: '{"a"' } };
  const chunk = { id: "x", model: "pair", choices: [{ index: 0, delta: { tool_calls: [call] } }] };
  return { contentType: "text/event-stream", body: `data: ${JSON.stringify(chunk)}\n\n` };
}
