// Two endpoints of one model that differ: in the fields that they are sent, in the media that they read, in the length of their context.
// Each one is sent the request as it can take it. An endpoint that cannot take a request is no candidate for it, and the decision or
// the refusal says why.
import { expect, test } from "vitest";
import { hello, rows, testGateway, type TestGateway } from "../api/testing.ts";
import { createOpenAiEngine } from "../engines/index.ts";
import type { Capabilities, EndpointFacts } from "../engines/index.ts";
import { fieldsOfSoftware } from "../engines/wire/chat/fields.ts";
import { scriptedEngine, type ScriptedEngine } from "../engines/testing.ts";

interface Said {
  software?: "vllm" | "openai" | "ollama" | "other";
  contextTokens?: number;
  kvTokens?: number;
  media?: Capabilities["media"];
  allowFields?: string[];
}

function factsOf({ software = "other", contextTokens, kvTokens, media }: Said): EndpointFacts {
  return {
    models: ["scripted"],
    ...(contextTokens !== undefined && { contextTokens }),
    ...(kvTokens !== undefined && {
      kv: { bytesPerToken: 0, deviceTokens: kvTokens, totalTokens: kvTokens, reloadMsPerToken: {} },
    }),
    slots: 4,
    capabilities: {
      tokenize: false,
      kvEvents: false,
      fields: fieldsOfSoftware(software),
      ...(media !== undefined && { media }),
    },
  };
}

interface Pair extends AsyncDisposable {
  at: TestGateway;
  first: ScriptedEngine;
  second: ScriptedEngine;
  say(endpoint: "first" | "second", said: Said): void;
}

/** A gateway whose model `scripted` has two endpoints, to which calls go in turn where both are candidates. */
async function pair(first: Said, second: Said): Promise<Pair> {
  const at = await testGateway();
  const other = await scriptedEngine();
  at.engines.remove("scripted");
  at.engines.configure("scripted", { placement: "round-robin" });
  const say = (endpoint: "first" | "second", said: Said) => {
    const { url } = endpoint === "first" ? at.engine : other;
    at.engines.add("scripted", createOpenAiEngine({ url, model: "scripted" }), {
      kind: "openai",
      model: "scripted",
      endpoint,
      facts: factsOf(said),
      allowFields: said.allowFields ?? [],
    });
  };
  say("first", first);
  say("second", second);
  return {
    at,
    first: at.engine,
    second: other,
    say,
    async [Symbol.asyncDispose]() {
      await at[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
    },
  };
}

const chat = (at: TestGateway, more: object = {}) =>
  at.request("/v1/chat/completions", { method: "POST", body: JSON.stringify({ ...hello, ...more }) });
const count = ({ first, second }: Pair) => [first.seen.length, second.seen.length];

test("a field that one endpoint takes goes to that endpoint alone, and the decision says why", async () => {
  await using two = await pair({ software: "vllm" }, { software: "ollama" });
  for (let call = 0; call < 4; call++)
    expect((await chat(two.at, { guided_json: { type: "object" } })).status).toBe(200);
  expect(count(two)).toEqual([4, 0]);
  expect(two.first.seen[0]!.body).toMatchObject({ guided_json: { type: "object" } });
  const { attempts } = await rows(two.at);
  expect(attempts[0]!["decision"].reason).toContain("second was passed over: `guided_json`");
  expect(attempts[0]!["decision"].excluded).toEqual([
    { endpoint: "second", reason: expect.stringContaining("`guided_json` is not on the list of fields") },
  ]);
});

test("what both endpoints take goes to both, and no decision speaks of an exclusion", async () => {
  await using two = await pair({ software: "vllm" }, { software: "ollama" });
  for (let call = 0; call < 4; call++) expect((await chat(two.at, { seed: 7 })).status).toBe(200);
  expect(count(two)).toEqual([2, 2]);
  const { attempts } = await rows(two.at);
  for (const { decision } of attempts) {
    expect(decision.excluded).toBeUndefined();
    expect(decision.reason).not.toContain("passed over");
  }
});

test("a hint without a promise is sent where it is understood and left out where it is not", async () => {
  await using two = await pair({ software: "openai" }, { software: "ollama" });
  for (let call = 0; call < 4; call++)
    expect((await chat(two.at, { safety_identifier: "u1", reasoning_effort: "low" })).status).toBe(200);
  expect(count(two)).toEqual([2, 2]);
  for (const { body } of two.first.seen) expect(body).toMatchObject({ safety_identifier: "u1" });
  for (const { body } of two.second.seen) {
    expect(body).not.toHaveProperty("safety_identifier");
    expect(body).toMatchObject({ reasoning_effort: "low" });
  }
});

test("a field that no endpoint takes is refused by name, before anything is held", async () => {
  await using two = await pair({ software: "vllm" }, { software: "ollama" });
  const { status, body } = await chat(two.at, { my_sampler: 1 });
  expect(status).toBe(400);
  expect(body.error).toMatchObject({ code: "unsupported_parameter", param: "my_sampler" });
  expect(count(two)).toEqual([0, 0]);
  expect((await rows(two.at)).settlements).toHaveLength(0);
});

test("two fields that no single endpoint takes together: the refusal names what each one lacks", async () => {
  await using two = await pair({ software: "vllm" }, { software: "ollama", allowFields: ["my_sampler"] });
  const { status, body } = await chat(two.at, { my_sampler: 1, guided_json: {} });
  expect(status).toBe(400);
  expect(body.error.code).toBe("unsupported_parameter");
  expect(body.error.message).toContain("first: `my_sampler`");
  expect(body.error.message).toContain("second: `guided_json`");
  expect(count(two)).toEqual([0, 0]);
});

test("a second attempt is shaped anew for its endpoint", async () => {
  await using two = await pair(
    { software: "openai", contextTokens: 8192 },
    { software: "ollama", contextTokens: 1024 },
  );
  two.first.usual = { fail: { status: 500 } };
  const answer = await chat(two.at, { safety_identifier: "u1" });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("x-lineshaft-engine")).toBe("second");
  expect(two.first.seen[0]!.body).toMatchObject({ safety_identifier: "u1", max_tokens: 4096 });
  expect(two.second.seen[0]!.body).not.toHaveProperty("safety_identifier");
  expect(two.second.seen[0]!.body["max_tokens"]).toBeLessThan(1024);
});

test("each endpoint is given the output limit that its own context leaves, and the hold covers the largest", async () => {
  await using two = await pair({ contextTokens: 1024 }, { contextTokens: 8192 });
  for (let call = 0; call < 4; call++) expect((await chat(two.at)).status).toBe(200);
  expect(count(two)).toEqual([2, 2]);
  for (const { body } of two.first.seen) {
    expect(body["max_tokens"]).toBeGreaterThan(16);
    expect(body["max_tokens"]).toBeLessThan(1024);
  }
  for (const { body } of two.second.seen) expect(body["max_tokens"]).toBe(4096);
  const { settlements } = await rows(two.at);
  for (const { held_nano: held } of settlements) expect(held).toBeGreaterThanOrEqual(4096n * 7n);
});

test("a prompt and an output that the shorter context cannot hold go to the longer one", async () => {
  await using two = await pair({ contextTokens: 1024 }, { contextTokens: 8192 });
  const messages = [{ role: "user", content: "word ".repeat(2000) }];
  for (let call = 0; call < 2; call++) expect((await chat(two.at, { messages })).status).toBe(200);
  for (let call = 0; call < 2; call++) expect((await chat(two.at, { max_tokens: 2000 })).status).toBe(200);
  expect(count(two)).toEqual([0, 4]);
  const { attempts } = await rows(two.at);
  expect(attempts[0]!["decision"].reason).toContain("first was passed over: its context has 1024 tokens");
  // More output than any context of the model has is refused as before.
  const { status, body } = await chat(two.at, { max_tokens: 9000 });
  expect(status).toBe(400);
  expect(body.error.message).toContain("8192");
});

test("a guessed length takes no endpoint out of failover: the shorter context is asked when the longer one fails", async () => {
  await using two = await pair({ contextTokens: 1024 }, { contextTokens: 8192 });
  // 4,000 spaces are few tokens, and no endpoint here counts them.
  const messages = [{ role: "user", content: `${" ".repeat(4000)}Hello` }];
  await two.second[Symbol.asyncDispose]();
  expect((await chat(two.at, { messages })).status).toBe(200);
  expect(two.first.seen.length).toBe(1);
});

test("a guessed length refuses nothing: the engine judges a prompt that may not fit its KV", async () => {
  await using two = await pair({ kvTokens: 200 }, { kvTokens: 500 });
  // 4,000 spaces are few tokens; the guess is 1,000, more than either endpoint holds. It goes to the larger one.
  const messages = [{ role: "user", content: `${" ".repeat(4000)}Hello` }];
  for (let call = 0; call < 2; call++) expect((await chat(two.at, { messages })).status).toBe(200);
  expect(count(two)).toEqual([0, 2]);
});

test("an endpoint that refuses a prompt as too long gives it to one with a longer context", async () => {
  await using two = await pair({ contextTokens: 1024 }, { contextTokens: 8192 });
  const tooLong = { error: { message: "This model's maximum context length is 1024 tokens.", code: null } };
  two.first.usual = { fail: { status: 400, body: tooLong } };
  for (let call = 0; call < 4; call++) expect((await chat(two.at)).status).toBe(200);
  const { attempts, calls } = await rows(two.at);
  expect(calls.every((row) => row["status"] === "completed")).toBe(true);
  const refused = attempts.filter((row) => row["engine"] === "first");
  expect(refused.length).toBeGreaterThan(0);
  for (const row of refused) expect(row).toMatchObject({ status: "refused", error_code: "context_length_exceeded" });
  // Where all contexts are equal its refusal is final.
  two.say("second", { contextTokens: 1024 });
  two.second.usual = two.first.usual;
  const { status, body } = await chat(two.at);
  expect(status).toBe(400);
  expect(body.error.code).toBe("context_length_exceeded");
  const after = await rows(two.at);
  expect(after.attempts.filter((row) => row["call"] === after.calls.at(-1)!["id"])).toHaveLength(1);
});

test("media go where they are read", async () => {
  await using two = await pair({ media: [] }, { media: ["image"] });
  const image = Buffer.from("89504e470d0a1a0a0000", "hex").toString("base64");
  const content = [{ type: "image_url", image_url: { url: `data:image/png;base64,${image}` } }];
  const messages = [{ role: "user", content }];
  for (let call = 0; call < 2; call++) expect((await chat(two.at, { messages })).status).toBe(200);
  expect(count(two)).toEqual([0, 2]);
  two.say("second", { media: [] });
  expect((await chat(two.at, { messages })).body.error).toMatchObject({ code: "media_not_read" });
});

test("an endpoint that turns out to be other software while a call waits is passed over when the call's turn has come", async () => {
  await using two = await pair({ software: "vllm" }, { software: "vllm" });
  const open = Promise.withResolvers<void>();
  two.first.usual = { wait: open.promise };
  two.second.usual = { wait: open.promise };
  // Each endpoint is given eight calls at once: further ones wait in the queue.
  const filling = Array.from({ length: 16 }, () => chat(two.at));
  await expect.poll(() => two.first.seen.length + two.second.seen.length).toBe(16);
  const waiting = Array.from({ length: 4 }, () => chat(two.at, { guided_json: {} }));
  await expect.poll(() => two.at.gateway.scheduler().queued).toBe(4);
  const first = two.at.engines.get("first")!;
  first.facts = { ...factsOf({ software: "ollama" }) };
  open.resolve();
  for (const { status } of await Promise.all([...filling, ...waiting])) expect(status).toBe(200);
  expect(two.first.seen.filter(({ body }) => "guided_json" in body)).toHaveLength(0);
  expect(two.second.seen.filter(({ body }) => "guided_json" in body)).toHaveLength(4);
  expect((await two.at.ledger.prove()).discrepancies).toEqual([]);
});

test("the only endpoint that takes a request is away: the refusal says what the others lack", async () => {
  await using two = await pair({ software: "vllm" }, { software: "ollama" });
  two.at.engines.lost(two.at.engines.get("first")!, "It does not answer.");
  const { status, body } = await chat(two.at, { guided_json: {} });
  expect(status).toBe(503);
  expect(body.error.code).toBe("no_endpoint");
  expect(body.error.message).toContain("second was passed over: `guided_json`");
  expect(count(two)).toEqual([0, 0]);
});

test("the only endpoint that takes a request fails: its failure is the answer, and the other is not sent the request", async () => {
  await using two = await pair({ software: "vllm" }, { software: "ollama" });
  two.first.usual = { fail: { status: 401 } };
  const { status, body } = await chat(two.at, { guided_json: {} });
  expect(status).toBe(502);
  expect(body.error.code).toBe("engine_auth_failed");
  expect(two.second.seen).toHaveLength(0);
});
