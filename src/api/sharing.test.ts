// Identical calls that are answered once: kept answers and answers under way, through HTTP and the database. A call that is given another's
// answer makes no attempt, costs nothing, and says what it has saved; nothing is shared beyond its project, and nothing under way beyond
// its payer.
import { describe, expect, test } from "vitest";
import type { Script } from "../engines/testing.ts";
import { hello, rows, testGateway, type TestGateway } from "./testing.ts";

const cold = { ...hello, temperature: 0 };
const script: Script = { chunks: ["One, ", "two, ", "three."], usage: { prompt: 10, output: 4 } };

async function shares(more: object = { keep_seconds: 600 }): Promise<TestGateway> {
  const at = await testGateway({ script });
  const route = { model: "scripted", cache: { projects: [at.principal.project], ...more } };
  expect((await at.request("/api/routes", { method: "PUT", body: JSON.stringify(route) })).status).toBe(200);
  return at;
}

async function chat(at: TestGateway, body: object = {}, key?: string) {
  const answer = await at.request("/v1/chat/completions", {
    method: "POST",
    body: JSON.stringify({ ...cold, ...body }),
    ...(key !== undefined && { headers: { authorization: `Bearer ${key}` } }),
  });
  return { ...answer, cache: answer.headers.get("x-lineshaft-cache") };
}

const textOfStream = (body: string): string =>
  body
    .split("\n\n")
    .filter((event) => event.startsWith("data: {"))
    .map((event) => JSON.parse(event.slice("data: ".length)).choices[0]?.delta.content ?? "")
    .join("");

/** Resolves when so many answers are kept. */
const kept = (at: TestGateway, count = 1) =>
  expect.poll(async () => (await at.db.query("select 1 from kept_answers")).rows.length).toBe(count);

/** Calls, attempts and settlements agree, whatever was shared. */
async function booksAgree(at: TestGateway) {
  const { calls, attempts, settlements } = await rows(at);
  const sum = (of: Record<string, any>[], column: string) => of.reduce((total, row) => total + row[column], 0n);
  expect(sum(calls, "price_nano")).toBe(sum(attempts, "price_nano"));
  expect(sum(settlements, "amount_nano")).toBe(sum(attempts, "price_nano"));
  expect((await at.ledger.prove()).discrepancies).toEqual([]);
  return { calls, attempts };
}

describe("a kept answer", () => {
  test("is given to an identical call, whole or streamed, without an attempt and without a price", async () => {
    await using at = await shares();
    const first = await chat(at);
    expect([first.cache, first.body.choices[0].message.content]).toEqual(["miss", "One, two, three."]);
    await kept(at);
    const again = await chat(at, { user: "another" });
    expect([again.cache, again.headers.get("x-lineshaft-price-nano")]).toEqual(["hit", "0"]);
    expect(again.body).toMatchObject({
      object: "chat.completion",
      choices: [{ message: { role: "assistant", content: "One, two, three." }, finish_reason: "stop" }],
      usage: { prompt_tokens: 10, completion_tokens: 4 },
    });
    const streamed = await chat(at, { stream: true });
    expect([streamed.cache, textOfStream(streamed.body)]).toEqual(["hit", "One, two, three."]);
    expect(at.engine.seen).toHaveLength(1);
    const { calls, attempts } = await booksAgree(at);
    expect(attempts).toHaveLength(1);
    expect(calls.map((call) => [call["status"], call["saved_tokens"], call["price_nano"]])).toEqual([
      ["completed", null, 58n],
      ["completed", 14n, 0n],
      ["completed", 14n, 0n],
    ]);
  });

  test("of a stream is kept too, and is given by every process that reads the database", async () => {
    await using at = await shares();
    expect((await chat(at, { stream: true })).cache).toBe("miss");
    await kept(at);
    // Its content is sealed.
    const { rows: stored } = await at.db.query<{ answer: Buffer }>("select answer from kept_answers");
    expect(stored[0]!.answer.includes("three")).toBe(false);
    expect((await chat(at)).cache).toBe("hit");
  });

  test.each([
    ["another prompt", { messages: [{ role: "user", content: "ho" }] }],
    ["another limit", { max_tokens: 7 }],
    ["no temperature", { temperature: undefined }],
    ["another temperature", { temperature: 0.5 }],
    ["tools", { tools: [{ type: "function", function: { name: "f", parameters: { type: "object" } } }] }],
    ["log probabilities", { logprobs: true }],
  ])("is not given to a call with %s", async (_name, body) => {
    await using at = await shares();
    await chat(at);
    await kept(at);
    expect((await chat(at, body)).cache).not.toBe("hit");
    expect(at.engine.seen).toHaveLength(2);
  });

  test("is not kept of an answer that its limit cut, that failed, or that broke off", async () => {
    await using at = await shares();
    at.engine.next({ ...script, finishReason: "length" }, { fail: { status: 400 } }, { ...script, cut: 1 });
    await chat(at);
    await chat(at);
    await chat(at, { stream: true });
    expect((await chat(at)).cache).toBe("miss");
    await kept(at);
  });

  test("is not given in another project, nor to a model whose route does not name the project", async () => {
    await using at = await shares();
    await chat(at);
    await kept(at);
    const { organisation } = at.principal;
    const other = await at.identity.ensureTenant({ organisation: "acme", project: "other", currency: "USD" });
    const { secret } = await at.identity.createKey({
      organisation,
      project: other.project.id,
      name: "o",
      role: "member",
    });
    expect((await chat(at, {}, secret)).cache).toBeNull();
    const projects = [at.principal.project, other.project.id];
    await at.request("/api/routes", {
      method: "PUT",
      body: JSON.stringify({ model: "scripted", cache: { projects, keep_seconds: 600 } }),
    });
    expect((await chat(at, {}, secret)).cache).toBe("miss");
    expect((await chat(at)).cache).toBe("hit");
  });

  test("is gone when the project's prompts are erased, and when its time is over", async () => {
    await using at = await shares();
    await chat(at);
    await kept(at);
    expect((await at.request("/api/kv-cache", { method: "DELETE" })).status).toBe(200);
    expect((await chat(at)).cache).toBe("miss");
    await kept(at);
  });
});

test("two calls that differ in a number beyond what can be told apart share nothing", async () => {
  await using at = await shares({ keep_seconds: 600, tools: true });
  const send = async (number: string) => {
    const parameters = { type: "object", properties: { a: { const: "NUMBER" } } };
    const tools = [{ type: "function", function: { name: "f", parameters } }];
    const body = JSON.stringify({ ...cold, tools }).replace('"NUMBER"', number);
    const headers = { authorization: `Bearer ${at.key}`, "content-type": "application/json" };
    const answer = await fetch(`${at.address}/v1/chat/completions`, { method: "POST", headers, body });
    await answer.text();
    return [answer.status, answer.headers.get("x-lineshaft-cache")];
  };
  expect([await send("9007199254740992"), await send("9007199254740993")]).toEqual([
    [200, null],
    [200, null],
  ]);
  expect(at.engine.seen).toHaveLength(2);
  expect([await send("1"), await send("2")]).toEqual([
    [200, "miss"],
    [200, "miss"],
  ]);
});

describe("an answer under way", () => {
  /** Calls that are sent at once, while the engine waits. */
  async function together(at: TestGateway, bodies: object[], keys: (string | undefined)[] = []) {
    const { promise, resolve } = Promise.withResolvers<void>();
    at.engine.usual = { ...script, wait: promise };
    let arrived = 0;
    at.server.on("request", () => arrived++);
    const calls = bodies.map((body, place) => chat(at, body, keys[place]));
    // A call that joins after the answer has begun asks for one itself; no expectation hangs on that.
    await expect.poll(() => arrived).toBe(bodies.length);
    await expect.poll(() => at.gateway.scheduler().placed).toBeGreaterThan(0);
    resolve();
    return Promise.all(calls);
  }

  async function open(at: TestGateway) {
    const client = new AbortController();
    const response = await fetch(`${at.address}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${at.key}`, "content-type": "application/json" },
      body: JSON.stringify({ ...cold, stream: true }),
      signal: client.signal,
    });
    return { client, response };
  }

  test("is read by all identical calls of its payer", async () => {
    await using at = await shares({});
    const { promise, resolve } = Promise.withResolvers<void>();
    at.engine.usual = { ...script, wait: promise, waitAfter: 1 };
    const answers: Response[] = [];
    // Each has its first chunk before the next one asks.
    for (let call = 0; call < 4; call++) answers.push((await open(at)).response);
    resolve();
    expect(answers.map(({ headers }) => headers.get("x-lineshaft-cache"))).toEqual([
      "miss",
      "coalesced",
      "coalesced",
      "coalesced",
    ]);
    for (const answer of answers) expect(textOfStream(await answer.text())).toBe("One, two, three.");
    expect(at.engine.seen).toHaveLength(1);
    const { calls, attempts } = await booksAgree(at);
    expect(attempts).toHaveLength(1);
    expect(calls.map((call) => call["saved_tokens"])).toEqual([null, 14n, 14n, 14n]);
    expect((await at.request("/api/overview?range=1h")).body.saved.tokens).toBe(42);
    // Nothing is kept: the route says no time.
    expect((await at.db.query("select 1 from kept_answers")).rows).toHaveLength(0);
  });

  test("is shared whole as well, by all calls that come while it is under way", async () => {
    await using at = await shares({});
    const answers = await together(
      at,
      Array.from({ length: 4 }, () => ({})),
    );
    for (const { body } of answers) expect(body.choices[0].message.content).toBe("One, two, three.");
    const own = answers.filter(({ cache }) => cache === "miss").length;
    expect(answers.filter(({ cache }) => cache === "coalesced")).toHaveLength(4 - own);
    expect(at.engine.seen).toHaveLength(own);
    await booksAgree(at);
  });

  test("is not read by another key, whose budgets are others", async () => {
    await using at = await shares({});
    const { organisation, project } = at.principal;
    const { secret } = await at.identity.createKey({ organisation, project, name: "o", role: "member" });
    const answers = await together(at, [{}, {}], [undefined, secret]);
    expect(answers.map(({ cache }) => cache)).toEqual(["miss", "miss"]);
    expect(at.engine.seen).toHaveLength(2);
  });

  test("that does not begin leaves each call to ask for itself", async () => {
    await using at = await shares({});
    at.engine.next({ fail: { status: 400 } });
    const answers = await together(at, [{}, {}]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 400]);
    await booksAgree(at);
  });

  test("goes on when the client that began it leaves, and is stopped when the last one has left", async () => {
    await using at = await shares({});
    const { promise, resolve } = Promise.withResolvers<void>();
    at.engine.usual = { ...script, wait: promise, waitAfter: 1 };
    const first = await open(at);
    const second = await open(at);
    expect(second.response.headers.get("x-lineshaft-cache")).toBe("coalesced");
    first.client.abort();
    resolve();
    expect(textOfStream(await second.response.text())).toBe("One, two, three.");
    at.engine.usual = { ...script, wait: new Promise(() => {}), waitAfter: 1 };
    const [third, fourth] = [await open(at), await open(at)];
    third.client.abort();
    fourth.client.abort();
    await at.engine.seen.at(-1)!.gone;
    await expect.poll(async () => (await rows(at)).calls.length).toBe(4);
    await booksAgree(at);
  });
});
