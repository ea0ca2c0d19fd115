// Responses over a WebSocket: with OpenAI's own client, with frames that no client sends, and with clients that go away.
import { once } from "node:events";
import { connect } from "node:net";
import { ResponsesWS } from "openai/resources/responses/ws";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { limits } from "../limits.ts";
import { rows, testGateway, type TestGateway } from "../testing.ts";
import { closeServer } from "./server.ts";
import { socketsOf } from "./socket.ts";

type Json = Record<string, any>;

const hello = { type: "response.create" as const, model: "scripted", input: "hi" };
const messagesOf = (at: TestGateway) => at.engine.seen.at(-1)!.body["messages"];

/** A client that sends what it is told to, and remembers what it reads. */
class Client implements Disposable {
  readonly ws: WebSocket;
  readonly events: Json[] = [];
  readonly closed: Promise<number>;
  #read = 0;
  #more = Promise.withResolvers<void>();

  constructor(at: TestGateway, key = at.key) {
    this.ws = new WebSocket(`${at.address.replace("http", "ws")}/v1/responses`, {
      headers: { authorization: `Bearer ${key}` },
    });
    this.ws.on("error", () => {});
    this.ws.on("message", (data: Buffer) => {
      this.events.push(JSON.parse(data.toString()) as Json);
      this.#more.resolve();
      this.#more = Promise.withResolvers();
    });
    this.closed = new Promise((resolve) => this.ws.once("close", (code) => resolve(code)));
  }

  static async open(at: TestGateway, key?: string): Promise<Client> {
    const client = new Client(at, key);
    await once(client.ws, "open");
    return client;
  }

  send(frame: object | string): void {
    this.ws.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** The next event. */
  async next(): Promise<Json> {
    while (this.#read >= this.events.length) await this.#more.promise;
    return this.events[this.#read++]!;
  }

  /** Sends a turn and reads it to its end. */
  async turn(frame: object): Promise<Json> {
    this.send(frame);
    for (;;) {
      const event = await this.next();
      if (["response.completed", "response.incomplete", "response.failed", "error"].includes(event["type"]))
        return event;
    }
  }

  /** The server's clock goes on, as far as that: in steps within which a client has to answer pings. */
  async pass(at: TestGateway, fromMs: number, toMs: number): Promise<void> {
    for (let nowMs = fromMs; nowMs < toMs; nowMs += 2 * limits.socketPingMs) {
      socketsOf(at.server).tick(nowMs);
      // The server's own ticks come between, and are behind.
      socketsOf(at.server).tick(performance.now());
      // The answer to the second ping comes after the server has read the answer to its own.
      for (const _trip of [1, 2]) {
        this.ws.ping();
        await Promise.race([once(this.ws, "pong"), this.closed]);
      }
    }
    socketsOf(at.server).tick(toMs);
  }

  [Symbol.dispose](): void {
    this.ws.terminate();
  }
}

test("OpenAI's client holds a conversation, and every event is one of a stream's", async () => {
  await using at = await testGateway();
  const ws = new ResponsesWS(at.client());
  const events: Json[] = [];
  const turn = async (frame: object) => {
    const ended = Promise.withResolvers<Json>();
    ws.on("event", (event: Json) => {
      events.push(event);
      if (event["type"] === "response.completed") ended.resolve(event["response"]);
    });
    ws.send(frame as never);
    return ended.promise;
  };
  const first = await turn({ ...hello, store: false });
  expect(events.slice(0, 2).map(({ type }) => type)).toEqual(["response.created", "response.in_progress"]);
  expect(new Set(events.map(({ sequence_number: number }) => number)).size).toBe(events.length);
  const second = await turn({ ...hello, store: false, input: "and?", previous_response_id: first["id"] });
  expect(second).toMatchObject({ status: "completed", previous_response_id: first["id"], store: false });
  expect(messagesOf(at)).toMatchObject([
    { role: "user", content: "hi" },
    { role: "assistant", content: "Hello, world." },
    { role: "user", content: "and?" },
  ]);
  ws.close();
});

test("state moves from the WebSocket to HTTP and back, stored or not", async () => {
  await using at = await testGateway();
  using client = await Client.open(at);
  const { response: first } = await client.turn(hello);
  const second = await at
    .client()
    .responses.create({ model: "scripted", input: "two", previous_response_id: first.id });
  const { response: third } = await client.turn({ ...hello, input: "three", previous_response_id: second.id });
  expect(messagesOf(at)).toMatchObject([
    { content: "hi" },
    { content: "Hello, world." },
    { content: "two" },
    { content: "Hello, world." },
    { content: "three" },
  ]);
  // Two turns of the connection alone, then one that is stored: it is stored with what came before it.
  const { response: fourth } = await client.turn({ ...hello, store: false, previous_response_id: third.id });
  await expect(at.client().responses.retrieve(fourth.id)).rejects.toMatchObject({ status: 404 });
  const { response: fifth } = await client.turn({ ...hello, store: false, previous_response_id: fourth.id });
  const { response: sixth } = await client.turn({ ...hello, previous_response_id: fifth.id });
  await at.client().responses.create({ model: "scripted", input: "last", previous_response_id: sixth.id });
  expect(messagesOf(at)).toHaveLength(13);
  // Another connection does not know what the first keeps to itself, and its client is told what to do.
  using other = await Client.open(at);
  expect(await other.turn({ ...hello, previous_response_id: fifth.id })).toMatchObject({
    type: "error",
    status: 400,
    error: { code: "previous_response_not_found" },
  });
});

test("a turn that fails drops what the connection keeps", async () => {
  await using at = await testGateway();
  using client = await Client.open(at);
  const { response } = await client.turn({ ...hello, store: false });
  at.engine.next({ fail: { status: 400, body: { error: { message: "no" } } } });
  expect(await client.turn({ ...hello, previous_response_id: response.id })).toMatchObject({ type: "error" });
  expect(await client.turn({ ...hello, previous_response_id: response.id })).toMatchObject({
    error: { code: "previous_response_not_found" },
  });
});

test("a warm-up calls no model, costs nothing, and the next turn goes on from it", async () => {
  await using at = await testGateway();
  using client = await Client.open(at);
  for (const store of [false, true]) {
    const warm = { ...hello, store, instructions: "Be brief.", generate: false };
    const { response } = await client.turn(warm);
    expect(response).toMatchObject({ status: "completed", output: [], store });
    await client.turn({ ...hello, store, instructions: "Be brief.", input: "now", previous_response_id: response.id });
    expect(messagesOf(at)).toMatchObject([{ role: "system" }, { content: "hi" }, { content: "now" }]);
  }
  expect((await rows(at)).calls).toHaveLength(2);
});

test("the last message of a turn says what headers say by HTTP, also of a turn that fails", async () => {
  await using at = await testGateway();
  using client = await Client.open(at);
  const ended = async (frame: object) => {
    const { lineshaft, response } = await client.turn(frame);
    const { calls } = await rows(at);
    return { said: lineshaft as Record<string, string>, call: calls.at(-1)!, response };
  };
  const whole = await ended(hello);
  expect(whole.said).toMatchObject({
    "x-lineshaft-call": whole.call["id"],
    "x-lineshaft-price-nano": String(whole.call["price_nano"]),
    "x-lineshaft-currency": "USD",
    "x-lineshaft-engine": expect.any(String) as string,
    "x-lineshaft-after": expect.stringContaining("/") as string,
  });
  expect(whole.said).not.toHaveProperty("x-lineshaft-budget-cut");
  for (const event of client.events.slice(0, -1)) expect(event).not.toHaveProperty("lineshaft");
  // A turn that calls no model has cost nothing and has no call.
  expect((await ended({ ...hello, generate: false })).said).toBeUndefined();
  at.engine.next({ chunks: ["a", "b"], cut: 1 });
  const broken = await ended(hello);
  expect(broken.response.status).toBe("failed");
  expect(broken.said["x-lineshaft-call"]).toBe(broken.call["id"]);
  expect(broken.said["x-lineshaft-price-nano"]).toBe(String(broken.call["price_nano"]));
});

test("a turn that the end of a budget cuts says so, and the refusal of the next one says when to try again", async () => {
  const usage = { prompt: 546, output: 1_000 };
  await using at = await testGateway({ script: { chunks: Array<string>(1_000).fill("a "), chunkTokens: 1, usage } });
  const { organisation, project } = at.principal;
  const scope = { kind: "project" as const, id: project };
  const limitNano = 546n * 3n + 100n * 7n;
  const budget = await at.ledger.setBudget({ organisation, currency: "USD", scope, limitNano, period: "total" });
  using client = await Client.open(at);
  const { response, lineshaft } = await client.turn(hello);
  expect(response).toMatchObject({ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } });
  expect(lineshaft).toMatchObject({ "x-lineshaft-budget-cut": budget.id });
  expect(await client.turn(hello)).toMatchObject({
    type: "error",
    status: 429,
    error: { type: "insufficient_quota" },
    headers: { "x-should-retry": "false" },
  });
});

test("a strange client is not let in, and an ordinary request is not upgraded", async () => {
  await using at = await testGateway();
  const refusedWith = async (path: string, headers: Record<string, string>) => {
    const ws = new WebSocket(at.address.replace("http", "ws") + path, { headers });
    ws.on("error", () => {});
    const [, response] = (await once(ws, "unexpected-response")) as [unknown, { statusCode: number }];
    ws.terminate();
    return response.statusCode;
  };
  expect(await refusedWith("/v1/responses", {})).toBe(401);
  expect(await refusedWith("/v1/responses", { authorization: "Bearer sk-unknown" })).toBe(401);
  expect(await refusedWith("/v1/chat/completions", { authorization: `Bearer ${at.key}` })).toBe(404);
  // Java's client asks for h2c with every request.
  const h2c = { connection: "upgrade, http2-settings", upgrade: "h2c", "http2-settings": "AAA" };
  const socket = connect(Number(new URL(at.address).port), "127.0.0.1");
  const lines = Object.entries({ host: "x", authorization: `Bearer ${at.key}`, ...h2c }).map(
    ([n, v]) => `${n}: ${v}\r\n`,
  );
  socket.write(`GET /v1/models HTTP/1.1\r\n${lines.join("")}\r\n`);
  const [answer] = (await once(socket, "data")) as [Buffer];
  expect(answer.toString()).toMatch(/^HTTP\/1.1 200/);
  socket.destroy();
});

test("what is no turn is refused by name, and the connection goes on", async () => {
  await using at = await testGateway();
  using client = await Client.open(at);
  const refused: [object | string, Json][] = [
    ["{", { code: "invalid_json" }],
    ["[]", { param: "type" }],
    ["null", { param: "type" }],
    [{ type: "response.steer" }, { param: "type" }],
    [{ ...hello, stream_id: "a" }, { param: "stream_id" }],
    [{ ...hello, background: true }, { param: "background" }],
    [{ ...hello, generate: 1 }, { param: "generate" }],
    [{ ...hello, input: [{ type: "message", role: "unknown", content: "x" }] }, { param: "input[0].role" }],
    [{ ...hello, model: "unknown" }, { code: "model_not_found" }],
    [`{"a":${"[".repeat(500)}${"]".repeat(500)}}`, { code: "invalid_value" }],
  ];
  for (const [frame, error] of refused) {
    client.send(frame);
    expect(await client.next()).toMatchObject({ type: "error", status: expect.any(Number) as number, error });
  }
  expect(await client.turn(hello)).toMatchObject({ type: "response.completed" });
});

test("binary messages, and messages beyond the bound, end the connection; the process goes on", async () => {
  await using at = await testGateway();
  const binary = await Client.open(at);
  binary.ws.send(Buffer.from(JSON.stringify(hello)), { binary: true });
  expect(await binary.closed).toBe(1003);
  const huge = await Client.open(at);
  huge.ws.send("x".repeat(limits.bodyBytes + 1));
  expect(await huge.closed).toBe(1009);
  using client = await Client.open(at);
  expect(await client.turn(hello)).toMatchObject({ type: "response.completed" });
});

test("a second turn is refused while one runs, and a flood of them ends the connection", async () => {
  await using at = await testGateway();
  const held = Promise.withResolvers<void>();
  at.engine.next({ wait: held.promise });
  using client = await Client.open(at);
  client.send(hello);
  await expect.poll(() => at.engine.seen.length).toBe(1);
  client.send(hello);
  expect(await client.next()).toMatchObject({ type: "error", error: { code: "response_already_in_flight" } });
  held.resolve();
  while ((await client.next())["type"] !== "response.completed");
  at.engine.next({ wait: new Promise(() => {}) });
  client.send(hello);
  await expect.poll(() => at.engine.seen.length).toBe(2);
  for (let frame = 0; frame <= limits.framesWhileBusy; frame++) client.send(hello);
  expect(await client.closed).toBe(1008);
  await at.engine.seen[1]!.gone;
});

test("a client that goes away in mid-answer pays for what was made, and its engine is told", async () => {
  await using at = await testGateway();
  const client = await Client.open(at);
  at.engine.next({ chunks: ["Hello", ", wor", "ld."], wait: new Promise(() => {}), waitAfter: 2 });
  client.send(hello);
  while ((await client.next())["type"] !== "response.output_text.delta");
  client.ws.terminate();
  await at.engine.seen[0]!.gone;
  await expect.poll(async () => (await rows(at)).calls.length).toBe(1);
  const { calls, settlements } = await rows(at);
  expect(calls[0]).toMatchObject({ status: "cancelled", error_code: "client_gone" });
  expect(settlements[0]!["output_tokens"]).toBeGreaterThan(0);
});

test("a client that reads nothing makes the engine wait, and is closed when it answers no ping", async () => {
  await using at = await testGateway();
  const piece = "x".repeat(50_000);
  at.engine.next({ chunks: Array.from({ length: 400 }, () => piece), usage: { prompt: 10, output: 4_000 } });
  const client = await Client.open(at);
  client.ws.pause();
  client.send(hello);
  await expect.poll(() => at.engine.seen.length).toBe(1);
  socketsOf(at.server).tick(performance.now() + limits.socketSilentMs + 1_000);
  await at.engine.seen[0]!.gone;
  await expect.poll(async () => (await rows(at)).calls.length).toBe(1);
  client.ws.terminate();
});

test("a connection ends when nothing is asked of it, or when its message comes too slowly", async () => {
  await using at = await testGateway();
  const begun = performance.now();
  const unused = await Client.open(at);
  await unused.pass(at, begun, performance.now() + limits.socketIdleMs);
  expect(await unused.closed).toBe(1000);
  const slow = await Client.open(at);
  // The head of a frame of a megabyte, and a few bytes of it.
  const head = Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4, 5, 6, 7]);
  (slow.ws as unknown as { _socket: { write(bytes: Buffer): void } })._socket.write(head);
  const late = performance.now() + limits.slowBodyMs;
  await expect
    .poll(
      () => {
        socketsOf(at.server).tick(late);
        socketsOf(at.server).tick(late + limits.slowBodyMs);
        return slow.ws.readyState;
      },
      { timeout: 60_000 },
    )
    .toBe(WebSocket.CLOSED);
  expect(await slow.closed).toBe(1008);
});

test("after an hour a connection is told to make a new one", async () => {
  await using at = await testGateway();
  const client = await Client.open(at);
  let nowMs = performance.now();
  const end = nowMs + limits.socketLifeMs - 60_000;
  for (; nowMs < end; nowMs += limits.socketIdleMs / 2) {
    expect(await client.turn(hello)).toMatchObject({ type: "response.completed" });
    await client.pass(at, nowMs, Math.min(end, nowMs + limits.socketIdleMs / 2));
  }
  await client.pass(at, end, end + 120_000);
  expect(await client.next()).toMatchObject({
    type: "error",
    status: 400,
    error: { code: "websocket_connection_limit_reached" },
  });
  expect(await client.closed).toBe(1000);
});

test("connections of a key are bounded", async () => {
  await using at = await testGateway();
  const clients = await Promise.all(Array.from({ length: limits.socketsPerKey }, () => Client.open(at)));
  const refused = new Client(at);
  const [, response] = (await once(refused.ws, "unexpected-response")) as [unknown, { statusCode: number }];
  expect(response.statusCode).toBe(429);
  refused.ws.terminate();
  clients[0]!.ws.close();
  await clients[0]!.closed;
  await expect
    .poll(async () => {
      const next = new Client(at);
      const opened = await Promise.race([
        once(next.ws, "open").then(() => true),
        once(next.ws, "unexpected-response").then(() => false),
      ]);
      next.ws.terminate();
      return opened;
    })
    .toBe(true);
  for (const client of clients) client.ws.terminate();
});

test("a key that was revoked has no further turn", async () => {
  await using at = await testGateway();
  const { organisation, project } = at.principal;
  const { secret, key } = await at.identity.createKey({ organisation, project, name: "short", role: "member" });
  const client = await Client.open(at, secret);
  expect(await client.turn(hello)).toMatchObject({ type: "response.completed" });
  await at.identity.revokeKey(organisation, key.id);
  expect(await client.turn(hello)).toMatchObject({ type: "error", status: 401 });
  expect(await client.closed).toBe(1008);
});

test("a server that stops ends idle connections at once, and tells the client of a turn how it ended", async () => {
  await using at = await testGateway();
  const idle = await Client.open(at);
  const busy = await Client.open(at);
  at.engine.next({ chunks: ["a", "b"], wait: new Promise(() => {}), waitAfter: 1 });
  busy.send(hello);
  while ((await busy.next())["type"] !== "response.output_text.delta");
  await closeServer(at.server, at.gateway, 0);
  expect(await idle.closed).toBe(1012);
  expect(await busy.closed).toBe(1012);
  expect(busy.events.at(-1)).toMatchObject({ type: "response.failed", response: { error: { code: "shutting_down" } } });
});
