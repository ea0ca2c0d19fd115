// Endpoints that lie, hang and die behind one model. A failing endpoint is kept away from calls (ejected) and tried again later by
// one call at a time; a hanging one loses its call to another endpoint; a worker that restarts is waited for.
import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { createOpenAiEngine } from "../../src/engines/index.ts";
import { scriptedEngine, type Script, type ScriptedEngine } from "../../src/engines/testing.ts";
import { hello, rows, testGateway, type TestGateway } from "../../src/api/testing.ts";
import { askedUntilDeadline } from "./deadlines.ts";

const patience = { timeout: 60_000 };
const never = new Promise<void>(() => {});

/** A second endpoint of the model, that works. */
async function second(at: TestGateway, script: Script = {}): Promise<ScriptedEngine> {
  const engine = await scriptedEngine(script);
  at.engines.add("scripted", createOpenAiEngine({ url: engine.url, model: "scripted" }), {
    kind: "openai",
    model: "scripted",
    endpoint: "second",
  });
  return engine;
}

/** Endpoints in the order in which the attempts of all calls were made. */
async function firsts(at: TestGateway): Promise<string[]> {
  const { attempts } = await rows(at);
  return attempts.filter((row) => row["number"] === 1).map((row) => row["engine"] as string);
}

const broken: Record<string, Script> = {
  "answers 500": { fail: { status: 500 } },
  "closes connections": { cut: "before" },
  "answers garbage": { raw: { body: "<html>It works!</html>" } },
  "refuses our key": { fail: { status: 401 } },
};

test.each(Object.entries(broken))("an endpoint that %s is left alone: calls go to the other one", async (_, script) => {
  await using at = await testGateway({ script });
  await using works = await second(at);
  for (let call = 0; call < 80; call++) await at.client().chat.completions.create(hello);
  expect(works.seen).toHaveLength(80);
  const tried = (await firsts(at)).filter((engine) => engine === "scripted").length;
  // At most three failures in a row eject the endpoint; after that one call at a time tries it.
  expect(tried).toBeLessThanOrEqual(12);
  const { body } = await at.request("/api/scheduler");
  const standing = body.endpoints.find((one: { endpoint: string }) => one.endpoint === "scripted");
  // An endpoint that cannot be reached is down until a probe succeeds.
  expect(["ejected", "trial", "down"]).toContain(standing.health);
  expect((await at.request("/metrics")).body).toMatch(/lineshaft_engine_ejections_total\{engine="scripted"[^}]*\} \d/);
});

test.each([false, true])("an endpoint that hangs loses its call to another one (stream: %s)", async (stream) => {
  const open = Promise.withResolvers<void>();
  await using at = await testGateway({ script: { wait: open.promise } });
  await using works = await second(at);
  at.engines.configure("scripted", { placement: "round-robin", firstTokenMs: 150 });
  const answer = await at.client().chat.completions.create({ ...hello, stream, max_tokens: 4 });
  let text = "";
  if ("controller" in answer) for await (const chunk of answer) text += chunk.choices[0]?.delta.content ?? "";
  else text = answer.choices[0]!.message.content!;
  expect(text).toBe("Hello, world.");
  expect([at.engine.seen.length, works.seen.length]).toEqual([1, 1]);
  // The late answer of the abandoned endpoint changes nothing.
  open.resolve();
  await turn();
  const { calls, attempts, settlements } = await rows(at);
  expect(calls).toMatchObject([{ status: "completed", price_nano: 58n }]);
  expect(attempts.map((row) => [row["engine"], row["status"], row["error_code"], row["price_nano"]])).toEqual([
    ["scripted", "failed", "engine_timeout", 0n],
    ["second", "completed", null, 58n],
  ]);
  expect(settlements).toHaveLength(2);
  // The next calls do not wait for it.
  for (let call = 0; call < 5; call++) await at.client().chat.completions.create(hello);
  expect(at.engine.seen).toHaveLength(1);
  expect((await at.ledger.prove()).discrepancies).toEqual([]);
});

test("what an abandoned endpoint may charge is in suspense, and one sender's long calls take it from no other sender", async () => {
  const open = Promise.withResolvers<void>();
  await using at = await testGateway();
  await using works = await second(at);
  at.engines.configure("scripted", { placement: "round-robin", firstTokenMs: 150 });
  at.engine.next({ wait: open.promise });
  const stream = await at.client().chat.completions.create({ ...hello, stream: true });
  for await (const _ of stream);
  open.resolve();
  const { attempts, settlements } = await rows(at);
  expect(attempts.map((row) => [row["engine"], row["status"], row["price_nano"]])).toEqual([
    ["scripted", "failed", 0n],
    ["second", "completed", 58n],
  ]);
  const abandoned = settlements.find((row) => row["attempt"] === attempts[0]!["id"])!;
  expect(abandoned).toMatchObject({ amount_nano: 0n, claimed_output_tokens: 0n });
  expect(abandoned["suspense_nano"]).toBeGreaterThan(0n);
  expect(attempts[0]!["suspense_nano"]).toBe(abandoned["suspense_nano"]);
  const { organisation, project } = at.principal;
  const bill = await at.ledger.bill(organisation);
  expect(bill.suspense).toMatchObject([{ model: "scripted", attempts: 1, amountNano: abandoned["suspense_nano"] }]);
  expect((await at.ledger.prove()).discrepancies).toEqual([]);
  // The sender's next calls go elsewhere; those of others do not.
  for (let call = 0; call < 4; call++) await at.client().chat.completions.create(hello);
  expect([at.engine.seen.length, works.seen.length]).toEqual([1, 5]);
  const other = await at.identity.createKey({ organisation, project: project!, name: "other", role: "member" });
  for (let call = 0; call < 4; call++) await at.client({ key: other.secret }).chat.completions.create(hello);
  expect(at.engine.seen.length).toBeGreaterThan(1);
  expect((await at.request("/api/scheduler")).body.endpoints).toMatchObject([{ health: "ready" }, { health: "ready" }]);
});

test("a call that asks for reasoning is waited for, however long nothing comes of it", async () => {
  const open = Promise.withResolvers<void>();
  await using at = await testGateway();
  await using works = await second(at);
  at.engines.configure("scripted", { placement: "round-robin", firstTokenMs: 20 });
  at.engine.next({ wait: open.promise });
  const asked = at.client().chat.completions.create({ ...hello, stream: true, reasoning_effort: "high" });
  await expect.poll(() => at.engine.seen.length, patience).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  open.resolve();
  for await (const _ of await asked);
  expect(works.seen).toHaveLength(0);
  expect((await rows(at)).attempts).toMatchObject([{ status: "completed" }]);
});

test("an endpoint without another beside it is waited for, however long its prompt takes", async () => {
  const open = Promise.withResolvers<void>();
  await using at = await testGateway({ script: { wait: open.promise } });
  at.engines.configure("scripted", { firstTokenMs: 20 });
  const asked = at.client().chat.completions.create(hello);
  await expect.poll(() => at.engine.seen.length, patience).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  open.resolve();
  await asked;
  expect((await rows(at)).attempts).toMatchObject([{ status: "completed" }]);
});

test("where every endpoint is ejected all are tried, so that the model is back as soon as one of them is", async () => {
  await using at = await testGateway({ script: { fail: { status: 500 } } });
  await using other = await second(at, { fail: { status: 500 } });
  for (let call = 0; call < 8; call++)
    await at
      .client()
      .chat.completions.create(hello)
      .catch(() => {});
  // No call has asked an endpoint more than once.
  expect(at.engine.seen.length + other.seen.length).toBeLessThanOrEqual(16);
  at.engine.usual = {};
  other.usual = {};
  await at.client().chat.completions.create(hello);
});

test("a request that is at fault itself does not speak against its endpoint", async () => {
  const refusal = { error: { message: "This is not a temperature.", code: "invalid_value", param: "temperature" } };
  await using at = await testGateway({ script: { fail: { status: 400, body: refusal } } });
  for (let call = 0; call < 20; call++)
    await expect(at.client().chat.completions.create(hello)).rejects.toMatchObject({ status: 400 });
  const { body } = await at.request("/api/scheduler");
  expect(body.endpoints).toMatchObject([{ endpoint: "scripted", health: "ready" }]);
});

test("calls without a first byte wait for a worker that restarts; a stream that had begun ends with an error inside", async () => {
  await using at = await testGateway();
  const worker = await scriptedEngine({ wait: never, waitAfter: 1 });
  const register = ({ url }: ScriptedEngine) =>
    at.engines.add("scripted", createOpenAiEngine({ url, model: "scripted" }), {
      kind: "embedded",
      model: "scripted",
      endpoint: "worker-7",
    });
  at.engines.remove("scripted");
  register(worker);
  const stream = await at.client().chat.completions.create({ ...hello, stream: true });
  const chunks = stream[Symbol.asyncIterator]();
  await chunks.next();
  worker.usual = { wait: never };
  const waiting = [1, 2, 3].map(() => at.client().chat.completions.create(hello));
  await expect.poll(() => worker.seen.length, patience).toBe(4);
  await worker[Symbol.asyncDispose]();
  const failure = await (async () => {
    for (;;) await chunks.next();
  })().catch((error: unknown) => error as Error);
  expect(failure).toMatchObject({ code: expect.stringMatching(/^engine_/) });
  expect(failure.message).toContain("worker-7");
  expect(failure.message).not.toContain("127.0.0.1");
  waiting.push(at.client().chat.completions.create(hello));
  await expect.poll(() => at.gateway.scheduler().queued, patience).toBe(4);
  await using restarted = await scriptedEngine();
  register(restarted);
  for (const answer of await Promise.all(waiting)) expect(answer.choices[0]!.message.content).toBe("Hello, world.");
  const { calls, settlements } = await rows(at);
  expect(calls.map((call) => call["status"]).toSorted()).toEqual([
    "completed",
    "completed",
    "completed",
    "completed",
    "failed",
  ]);
  expect(new Set(settlements.map((row) => row["attempt"])).size).toBe(settlements.length);
});

test("a deadline bounds the wait for a restart", async () => {
  await using at = await testGateway({ script: { cut: "before" } });
  at.engines.add("scripted", createOpenAiEngine({ url: at.engine.url, model: "scripted" }), {
    kind: "embedded",
    model: "scripted",
    endpoint: "scripted",
  });
  await at.engine[Symbol.asyncDispose]();
  const { status, body } = await askedUntilDeadline(at);
  // The first error says more about the cause than the deadline does.
  expect([status, body.error.code]).toEqual([502, "engine_unreachable"]);
  expect(at.gateway.scheduler()).toMatchObject({ queued: 0, placed: 0 });
});
