// What a call costs, in counts that no machine's speed changes: promises, timers, texts of JSON that are parsed and written, and writes to
// sockets, of a call whose bytes pass through a whole gateway (key, limits, hold, placement, settlement, record) to an engine and back.
// The client and the engine here use none of them but one write each, so what is counted is the gateway's own. The bounds are close to
// what was found when they were set: what passes one has made every call dearer, and is made cheaper or has a reason beside its new bound.
import { createHook } from "node:async_hooks";
import { createServer, type ServerResponse } from "node:http";
import { Socket, type AddressInfo } from "node:net";
import { Client } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createOpenAiEngine } from "../../engines/index.ts";
import { testGateway, testPrices, type TestGateway } from "../testing.ts";

const answered = Buffer.from(
  JSON.stringify({
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: "plain",
    choices: [{ index: 0, message: { role: "assistant", content: "Hello there." }, finish_reason: "stop" }],
    usage: { prompt_tokens: 10, completion_tokens: 3, total_tokens: 13 },
  }),
);
const list = Buffer.from(JSON.stringify({ object: "list", data: [{ id: "plain", object: "model" }] }));
const asked = Buffer.from(
  JSON.stringify({ model: "plain", max_tokens: 64, messages: [{ role: "user", content: "Say hello. ".repeat(150) }] }),
);

const streamed = Buffer.from(
  JSON.stringify({
    model: "plain",
    stream: true,
    max_tokens: 1_000,
    messages: [{ role: "user", content: "Say hello." }],
  }),
);
const event = (choice: object, more: object = {}) =>
  `data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "plain", choices: [{ index: 0, ...choice }], ...more })}\n\n`;
const part = Buffer.from(event({ delta: { content: " hello" }, finish_reason: null }));
const last = Buffer.from(`${event({ delta: {}, finish_reason: "stop" })}data: [DONE]\n\n`);
/** Chunks of a streamed answer; each comes in a turn of its own. */
let chunks = 0;

/** Answers with a stream, without a promise or a timer. */
function stream(response: ServerResponse): void {
  let sent = 0;
  response.writeHead(200, { "content-type": "text/event-stream" });
  const next = () => {
    if (sent++ === chunks) return void response.end(last);
    response.write(part, () => setImmediate(next));
  };
  next();
}

const engine = createServer((request, response) => {
  request.resume();
  request.once("end", () => {
    if (chunks > 0) return stream(response);
    const body = request.url === "/v1/models" ? list : answered;
    response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
    response.end(body);
  });
});
let at: TestGateway;
let client: Client;

beforeAll(async () => {
  await new Promise<void>((resolve) => engine.listen(0, "127.0.0.1", resolve));
  at = await testGateway();
  const { organisation } = at.principal;
  await at.ledger.setRateCard({ organisation, model: "plain", currency: "USD", ...testPrices });
  const url = `http://127.0.0.1:${(engine.address() as AddressInfo).port}/v1`;
  const open = createOpenAiEngine({ url, model: "plain" });
  at.engines.add("plain", open, { kind: "openai", model: "plain", facts: await open.probe() });
  client = new Client(at.address);
});

afterAll(async () => {
  await client.close();
  await at[Symbol.asyncDispose]();
  engine.close();
});

/** One call, by undici's own callbacks: it makes no promise. Answers its status. */
const call = (then: (status: number) => void, body = asked): void => {
  let status = 0;
  const headers = ["content-type", "application/json", "authorization", `Bearer ${at.key}`];
  client.dispatch(
    { method: "POST", path: "/v1/chat/completions", headers, body },
    {
      onRequestStart: () => {},
      onResponseStart: (_controller, code) => void (status = code),
      onResponseData: () => {},
      onResponseEnd: () => then(status),
      onResponseError: () => then(0),
    },
  );
};

interface Counts {
  promises: number;
  timers: number;
  parsed: number;
  written: number;
  writes: number;
}

/** Counts what happens until so many calls, one after the other, are answered. */
async function counted(calls: number, body = asked): Promise<Counts> {
  const counts: Counts = { promises: 0, timers: 0, parsed: 0, written: 0, writes: 0 };
  const hook = createHook({
    init(_id, type) {
      if (type === "PROMISE") counts.promises++;
      else if (type === "Timeout") counts.timers++;
    },
  });
  const { parse, stringify } = JSON;
  const sockets = Socket.prototype as unknown as Record<"_write" | "_writev", (...of: unknown[]) => unknown>;
  const { _write, _writev } = sockets;
  JSON.parse = (...of) => (counts.parsed++, parse(...of)) as unknown;
  JSON.stringify = ((...of: Parameters<typeof stringify>) => (counts.written++, stringify(...of))) as typeof stringify;
  sockets._write = function (...of) {
    counts.writes++;
    return _write.apply(this, of);
  };
  sockets._writev = function (...of) {
    counts.writes++;
    return _writev.apply(this, of);
  };
  try {
    await new Promise<void>((resolve, reject) => {
      let left = calls;
      const next = (status: number) => {
        if (status !== 200) return reject(new Error(`answered ${status}`));
        if (left-- > 0) return call(next, body);
        hook.disable();
        resolve();
      };
      hook.enable();
      next(200);
    });
  } finally {
    hook.disable();
    Object.assign(JSON, { parse, stringify });
    Object.assign(sockets, { _write, _writev });
  }
  return counts;
}

test("a call that passes through costs no more than it did", async () => {
  await counted(20);
  // Records are synced and posted now and then, which is counted in some of the calls: the least of them all are a call alone.
  const least: Counts = { promises: Infinity, timers: Infinity, parsed: Infinity, written: Infinity, writes: Infinity };
  for (let round = 0; round < 60; round++) {
    const found = await counted(1);
    for (const what of Object.keys(least) as (keyof Counts)[]) least[what] = Math.min(least[what], found[what]);
  }
  // One promise is the test's own.
  const most: Counts = { promises: 32, timers: 4, parsed: 2, written: 9, writes: 4 };
  for (const what of Object.keys(most) as (keyof Counts)[])
    expect(least[what], `${what} of a call`).toBeLessThanOrEqual(most[what]);
});

test("a chunk of a stream costs no promise, no timer and no JSON, and one write", async () => {
  const least = async (count: number) => {
    chunks = count;
    const found: Counts[] = [];
    for (let round = 0; round < 20; round++) found.push(await counted(1, streamed));
    return (what: keyof Counts) => Math.min(...found.map((counts) => counts[what]));
  };
  try {
    await least(10);
    const [few, many] = [await least(50), await least(250)];
    const more = (what: keyof Counts) => many(what) - few(what);
    // Each timer that a longer call meets is the engine's or the client's own, and is set anew about once a second. One write is the engine's.
    expect(more("promises") / 200).toBeLessThan(0.1);
    expect(more("timers") / 200).toBeLessThan(0.1);
    expect([more("parsed"), more("written")]).toEqual([0, 0]);
    expect(more("writes")).toBeLessThanOrEqual(2 * 200);
  } finally {
    chunks = 0;
  }
});

test("of a long call no message is parsed or written", async () => {
  const content = 'It said "hello" again.\n'.repeat(50);
  const messages = Array.from({ length: 200 }, (_, turn) => ({ role: turn % 2 ? "assistant" : "user", content }));
  const body = Buffer.from(JSON.stringify({ model: "plain", max_tokens: 64, messages }));
  let characters = 0;
  const { parse, stringify } = JSON;
  JSON.parse = (...of) => ((characters += of[0].length), parse(...of)) as unknown;
  JSON.stringify = ((...of: Parameters<typeof stringify>) => {
    const text = stringify(...of);
    characters += text.length;
    return text;
  }) as typeof stringify;
  try {
    expect(await new Promise((resolve) => call(resolve, body))).toBe(200);
  } finally {
    Object.assign(JSON, { parse, stringify });
  }
  expect(characters).toBeLessThan(body.length / 10);
});
