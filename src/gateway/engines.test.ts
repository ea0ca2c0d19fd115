// Engines of several endpoints: one name, one price, an endpoint for each address.
import { describe, expect, test } from "vitest";
import { EngineRegistry } from "../engines/index.ts";
import { scriptedEngine } from "../engines/testing.ts";
import { Changes, Session } from "../store/index.ts";
import { Alarms, createLogger, createMetrics } from "../telemetry/index.ts";
import { raisePriceUnknown, watchPrices } from "./prices.ts";
import { restoreEngines, syncEngines } from "./storedEngines.ts";
import { testGateway, testPrices, type TestGateway } from "../api/testing.ts";

const price = { currency: "USD", input_nano_per_million: "1000000", output_nano_per_million: "2000000" };
const hello = { messages: [{ role: "user" as const, content: "Hello" }], max_tokens: 16 };

const add = (at: TestGateway, body: object) =>
  at.request("/api/engines", {
    method: "POST",
    body: JSON.stringify({ name: "mine", model: "qwen", price, ...body }),
  });
const names = (engines: EngineRegistry) => engines.endpoints("mine").map(({ endpoint }) => endpoint);

describe("an engine of two endpoints", () => {
  test("serves by both under one name and one price", async () => {
    await using at = await testGateway();
    await using first = await scriptedEngine({}, ["qwen"]);
    await using second = await scriptedEngine({}, ["qwen"]);
    const added = await add(at, { urls: [first.url, second.url] });
    expect(added.body).toMatchObject({ name: "mine", urls: [first.url, second.url], price });
    expect(names(at.engines)).toEqual(["mine-0", "mine-1"]);
    const models = await at.client().models.list();
    expect(models.data.map(({ id }) => id)).toEqual(["scripted", "mine"]);
    at.engines.configure("mine", { placement: "round-robin" });
    for (let call = 0; call < 4; call++) await at.client().chat.completions.create({ ...hello, model: "mine" });
    expect([first.seen.length, second.seen.length]).toEqual([2, 2]);
  });

  test("goes on by the other one when one is gone", async () => {
    await using at = await testGateway();
    const first = await scriptedEngine({}, ["qwen"]);
    await using second = await scriptedEngine({}, ["qwen"]);
    await add(at, { urls: [first.url, second.url] });
    at.engines.configure("mine", { placement: "round-robin" });
    await first[Symbol.asyncDispose]();
    for (let call = 0; call < 3; call++) await at.client().chat.completions.create({ ...hello, model: "mine" });
    expect(second.seen).toHaveLength(3);
    expect(at.engines.get("mine-0")).toMatchObject({ up: false });
  });

  test("is there again after a start, whether its endpoints answer or not", async () => {
    await using at = await testGateway();
    const first = await scriptedEngine({}, ["qwen"]);
    await using second = await scriptedEngine({}, ["qwen"]);
    await add(at, { urls: [first.url, second.url] });
    await first[Symbol.asyncDispose]();
    const restarted = new EngineRegistry();
    await restoreEngines({ db: at.db, engines: restarted, log: { warn() {} } as never, alarms: at.alarms });
    expect(restarted.get("mine-0")).toMatchObject({ name: "mine", model: "qwen", up: false });
    expect(restarted.get("mine-1")).toMatchObject({ name: "mine", model: "qwen", up: true });
    await restarted.close();
  });

  test("has one address, then two, then one again, and never the ones before", async () => {
    await using at = await testGateway();
    await using first = await scriptedEngine({}, ["qwen"]);
    await using second = await scriptedEngine({}, ["qwen"]);
    for (const [urls, endpoints] of [
      [[first.url], ["mine"]],
      [
        [first.url, second.url],
        ["mine-0", "mine-1"],
      ],
      [[second.url], ["mine"]],
    ]) {
      expect((await add(at, { urls })).status).toBe(200);
      expect(names(at.engines)).toEqual(endpoints);
    }
    expect((await at.request("/api/engines/mine", { method: "DELETE" })).status).toBe(200);
    expect(names(at.engines)).toEqual([]);
  });

  test("is refused whole when one address is wrong, and says which", async () => {
    await using at = await testGateway();
    await using first = await scriptedEngine({}, ["qwen"]);
    await using other = await scriptedEngine({}, ["llama"]);
    const missing = await add(at, { urls: [first.url, other.url] });
    expect([missing.status, missing.body.error.code]).toEqual([400, "engine_model_missing"]);
    expect(missing.body.error.message).toContain(`${other.url}: The engine answers, but does not serve qwen.`);
    const twice = await add(at, { urls: [first.url, first.url] });
    expect(twice.body.error.message).toContain("names an address twice");
    expect(names(at.engines)).toEqual([]);
  });

  test("does not take an endpoint's name, nor a worker's", async () => {
    await using at = await testGateway();
    await using first = await scriptedEngine({}, ["qwen"]);
    await using second = await scriptedEngine({}, ["qwen"]);
    await add(at, { urls: [first.url, second.url] });
    expect((await add(at, { name: "mine-1", urls: [first.url] })).body.error.code).toBe("name_taken");
    expect((await add(at, { name: "worker-7", urls: [first.url] })).body.error.code).toBe("name_taken");
  });
});

describe("what an engine's owner allows it", () => {
  const bounds = { connect_ms: 2_000, first_token_ms: 30_000, idle_ms: 10_000, concurrency: 8 };
  const known = { connectMs: 2_000, firstTokenMs: 30_000, idleMs: 10_000, concurrency: 8 };

  test("is shown, holds at once and after a start, and goes when the engine is added without it", async () => {
    await using at = await testGateway();
    await using engine = await scriptedEngine({}, ["qwen"]);
    const added = await add(at, { urls: [engine.url], preset: "deepseek", ...bounds });
    expect(added.body).toMatchObject({ preset: "deepseek", ...bounds });
    expect(at.engines.get("mine")!.bounds).toEqual(known);
    // The list of fields is that of the provider, whatever the address.
    expect(at.engines.get("mine")!.facts!.capabilities.fields).toContain("thinking");
    const restarted = new EngineRegistry();
    await restoreEngines({ db: at.db, engines: restarted, log: { warn() {} } as never, alarms: at.alarms });
    expect(restarted.get("mine")!.bounds).toEqual(known);
    await restarted.close();
    const list = await at.request("/api/engines");
    expect(list.body.data.find(({ name }: { name: string }) => name === "mine")).toMatchObject(bounds);
    const plain = await add(at, { urls: [engine.url] });
    expect(plain.body).toMatchObject({
      preset: null,
      connect_ms: null,
      first_token_ms: null,
      idle_ms: null,
      concurrency: null,
    });
    expect(at.engines.get("mine")!.bounds.concurrency).toBeUndefined();
  });

  test.each([
    [{ preset: "dashscop" }, "No provider is known by the name dashscop"],
    [{ concurrency: 0 }, "concurrency"],
    [{ idle_ms: 1.5 }, "idle_ms"],
    [{ connect_ms: 4_000_000 }, "connect_ms"],
  ])("%j is refused by name", async (wrong, message) => {
    await using at = await testGateway();
    await using engine = await scriptedEngine({}, ["qwen"]);
    const refused = await add(at, { urls: [engine.url], ...wrong });
    expect(refused).toMatchObject({ status: 400, body: { error: { message: expect.stringContaining(message) } } });
  });
});

test("an engine that is added, changed or removed at one process is known at another one", async () => {
  await using at = await testGateway();
  await using first = await scriptedEngine({}, ["qwen"]);
  await using second = await scriptedEngine({}, ["qwen"]);
  const engines = new EngineRegistry();
  const session = await Session.open({ url: at.db.url });
  const other = { db: at.db, engines, log: { warn() {} } as never, alarms: at.alarms };
  const failures: Error[] = [];
  const changes = await Changes.open(session, (_table, error) => void failures.push(error));
  changes.on("engines", () => syncEngines(other));
  try {
    await add(at, { urls: [first.url] });
    await expect.poll(() => engines.get("mine")?.up).toBe(true);
    const before = engines.get("mine");
    // A change of another engine leaves this one, and the calls that it serves, alone.
    await add(at, { name: "second", urls: [second.url] });
    await expect.poll(() => engines.get("second")?.up).toBe(true);
    expect(engines.get("mine")).toBe(before);
    await add(at, { urls: [first.url, second.url], allow_fields: ["top_k"] });
    await expect.poll(() => names(engines)).toEqual(["mine-0", "mine-1"]);
    expect(engines.get("mine-1")!.allowFields).toEqual(["top_k"]);
    await at.request("/api/engines/mine", { method: "DELETE" });
    await expect.poll(() => names(engines)).toEqual([]);
    expect(failures).toEqual([]);
  } finally {
    changes.close();
    await session.close();
    await engines.close();
  }
});

test("an alarm about an engine's key clears at every process once the engine is changed or removed at one of them", async () => {
  await using at = await testGateway();
  const engines = new EngineRegistry();
  const session = await Session.open({ url: at.db.url });
  const log = createLogger({ level: "silent" });
  const alarms = new Alarms({ log, metrics: createMetrics({ process: false }) });
  const rooms = { db: at.db, engines, log, alarms };
  const changes = await Changes.open(session, () => {});
  const codes = () => alarms.own().map(({ code, subject }) => `${code} ${subject}`);
  const row = (keyEnv: string | null) =>
    at.db.query(
      `insert into engines (name, organisation, kind, urls, model, key_env, allow_fields)
       values ('mine', $1, 'openai', $2, 'qwen', $3, '{}')
       on conflict (name) do update set key_env = excluded.key_env`,
      [at.principal.organisation, [at.engine.url], keyEnv],
    );
  await row("UNLISTED_KEY");
  await restoreEngines(rooms);
  changes.on("engines", () => syncEngines(rooms));
  try {
    expect(codes()).toEqual(["engine_key_refused mine"]);
    await row(null);
    await expect.poll(codes).toEqual([]);
    await row("UNLISTED_KEY");
    await expect.poll(codes).toEqual(["engine_key_refused mine"]);
    await at.request("/api/engines/mine", { method: "DELETE" });
    await expect.poll(codes).toEqual([]);
  } finally {
    changes.close();
    await session.close();
    await engines.close();
  }
});

test("the alarm about a model without a price clears at every process once the price is set at one of them", async () => {
  await using at = await testGateway();
  const session = await Session.open({ url: at.db.url });
  const alarms = new Alarms({ log: createLogger({ level: "silent" }), metrics: createMetrics({ process: false }) });
  const changes = await Changes.open(session, () => {});
  const { organisation } = at.principal;
  const subjects = () => alarms.own().map(({ subject }) => subject);
  await at.ledger.setUnknownPrice(organisation, { rule: "hold_at", fallback: "scripted" });
  for (const model of ["one", "two", "three"])
    raisePriceUnknown(alarms, organisation, (await at.ledger.currentRateCard(organisation, model))!);
  const stop = watchPrices({ ledger: at.ledger, alarms }, changes);
  try {
    expect(subjects()).toEqual(["one", "two", "three"]);
    const prices = { currency: "USD", ...testPrices };
    await at.ledger.setRateCard({ organisation, model: "one", ...prices });
    await expect.poll(subjects).toEqual(["two", "three"]);
    // Its price is planned, so it has none yet.
    await at.ledger.setRateCard({ organisation, model: "two", ...prices, validFrom: new Date("2999-01-01") });
    await at.ledger.setRateCard({ organisation, model: "three", ...prices });
    await expect.poll(subjects).toEqual(["two"]);
    // Calls of a model without a price are refused from now on, so none is billed by another model's card.
    await at.ledger.setUnknownPrice(organisation, { rule: "refuse" });
    await expect.poll(subjects).toEqual([]);
  } finally {
    stop();
    changes.close();
    await session.close();
  }
});
