// What follows a failed attempt, through the whole gateway: other endpoints, waits for an engine's limit, and models that serve a call
// which its own cannot. For each path the attempts, the ledger and the call's record have the same sum, and every attempt is priced by the
// card of the model that it was made at.
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { createOpenAiEngine } from "../engines/index.ts";
import { scriptedEngine, type Script, type ScriptedEngine } from "../engines/testing.ts";
import type { RateCard } from "../ledger/index.ts";
import type { ModelRoute } from "./modelRoutes.ts";
import { card, memoryGateway, type MemoryGateway } from "./testing/memoryGateway.ts";

/** The second model costs ten times as much. */
const dear: RateCard = {
  ...card,
  id: "card_2",
  model: "second",
  inputNanoPerMillion: 30_000_000n,
  outputNanoPerMillion: 70_000_000n,
};

interface Models extends AsyncDisposable {
  at: MemoryGateway;
  first: ScriptedEngine;
  second: ScriptedEngine;
  /** Adds a further endpoint of a model. */
  also(model: string, endpoint: string, script?: Script): Promise<ScriptedEngine>;
}

interface Setting {
  script?: Script;
  route?: ModelRoute;
  priced?: (model: string) => RateCard | undefined;
  contextTokens?: { first?: number; second?: number };
}

const cards = (model: string) => (model === "scripted" ? card : { ...dear, model });

/** The model `scripted` with a route, and the model `second` beside it. */
async function twoModels({
  script,
  route = { fallbacks: ["second"] },
  priced,
  contextTokens,
}: Setting = {}): Promise<Models> {
  const at = await memoryGateway({
    ...(script && { script }),
    routes: { of: (_organisation, model) => ({ model, route: model === "scripted" ? route : {} }), aliases: () => [] },
    cardOf: priced ?? cards,
  });
  const others: ScriptedEngine[] = [];
  const also = async (model: string, endpoint: string, usual: Script = {}, context?: number) => {
    const engine = await scriptedEngine(usual, [model], 0, {
      routes: {},
      card: { owned_by: "sglang", ...(context !== undefined && { max_model_len: context }) },
    });
    others.push(engine);
    const opened = createOpenAiEngine({ url: engine.url, model });
    at.engines.add(model, opened, { kind: "openai", model, endpoint, facts: await opened.probe() });
    return engine;
  };
  const second = await also("second", "second", {}, contextTokens?.second);
  if (contextTokens?.first !== undefined) {
    const { facts } = at.engines.get("scripted")!;
    at.engines.get("scripted")!.facts = { ...facts!, contextTokens: contextTokens.first };
  }
  return {
    at,
    first: at.engine,
    second,
    also,
    async [Symbol.asyncDispose]() {
      await at[Symbol.asyncDispose]();
      for (const engine of others) await engine[Symbol.asyncDispose]();
    },
  };
}

const answered = { usage: { prompt: 10, output: 4 } };
const busy = (seconds: number | undefined): Script => ({
  fail: { status: 429, headers: seconds === undefined ? {} : { "retry-after": String(seconds) } },
});

/** What came of one call: its error, and the rows of its attempts. Sums agree, or this throws. */
async function outcomeOf({ at }: Models, { body = {}, more = {} }: { body?: object; more?: object } = {}) {
  let code: string | undefined;
  let headers: Record<string, string> = {};
  try {
    const answer = await at.gateway.call(at.request(body as Record<string, unknown>, more));
    headers = answer.headers;
    if ("stream" in body) for await (const _ of answer.chunks);
    else await answer.whole();
    await answer.finished;
  } catch (error) {
    code = (error as { code: string }).code;
  }
  const call = at.ledger.calls.at(-1);
  const attempts = at.ledger.settlements.map(({ row }) => row as any).filter((row) => row?.call === call.id);
  const settled = at.ledger.settlements.filter(({ row }) => (row as any)?.call === call.id);
  const sum = (amounts: (bigint | string)[]) => amounts.reduce<bigint>((total, amount) => total + BigInt(amount), 0n);
  expect(sum(attempts.map((row) => row.price_nano))).toBe(BigInt(call.price_nano));
  expect(sum(settled.map(({ amountNano }) => amountNano))).toBe(BigInt(call.price_nano));
  expect(at.ledger.heldNano).toBe(0n);
  return { code, headers, call, attempts, ways: attempts.map((row) => `${row.why} ${row.engine} ${row.status}`) };
}

describe("a fallback", () => {
  test.each([
    ["500", { fail: { status: 500 } }],
    ["a refused key", { fail: { status: 401 } }],
    ["a missing model", { fail: { status: 404 } }],
    ["a limit", busy(undefined)],
    ["a used up account", { fail: { status: 429, body: { error: { message: "no", code: "insufficient_quota" } } } }],
  ] as [string, Script][])("serves a call whose model fails with %s, at its own price", async (_name, script) => {
    await using models = await twoModels({ script });
    models.second.usual = answered;
    for (const body of [{}, { stream: true }]) {
      const { call, ways, headers, attempts } = await outcomeOf(models, { body });
      expect(ways.at(-1)).toBe("fallback second completed");
      expect(headers["x-lineshaft-model"]).toBe("second");
      expect(call).toMatchObject({ model: "second", asked_model: "scripted", status: "completed" });
      // 10 prompt tokens at 30 and 4 output tokens at 70: the failed attempt costs nothing.
      expect(BigInt(attempts.at(-1).price_nano)).toBe(580n);
    }
  });

  test("is not taken for what the request is refused for", async () => {
    await using models = await twoModels({ script: { fail: { status: 400 } } });
    const { code, ways } = await outcomeOf(models);
    expect([code, ways]).toEqual(["invalid_request", ["first scripted refused"]]);
    expect(models.second.seen).toHaveLength(0);
  });

  test("serves a prompt that is too long for the model, where its context is longer", async () => {
    const tooLong: Script = {
      fail: { status: 400, body: { error: { message: "This model's maximum context length is 100 tokens." } } },
    };
    await using longer = await twoModels({ script: tooLong, contextTokens: { first: 100, second: 1000 } });
    expect((await outcomeOf(longer)).ways).toEqual(["first scripted refused", "fallback second completed"]);
    await using shorter = await twoModels({ script: tooLong, contextTokens: { first: 100, second: 90 } });
    expect(await outcomeOf(shorter)).toMatchObject({
      code: "context_length_exceeded",
      ways: ["first scripted refused"],
    });
  });

  test("that has no price, or is not there, is passed over for the next one", async () => {
    await using models = await twoModels({
      script: { fail: { status: 500 } },
      route: { fallbacks: ["away", "unpriced", "second"] },
      priced: (model) => (model === "unpriced" ? undefined : cards(model)),
    });
    await models.also("unpriced", "unpriced");
    expect((await outcomeOf(models)).ways).toEqual(["first scripted failed", "fallback second completed"]);
  });

  test("that fails too leaves the call with the last failure, and all attempts with their rows", async () => {
    await using models = await twoModels({ script: { fail: { status: 500 } } });
    models.second.usual = { cut: "before" };
    const { code, ways, call } = await outcomeOf(models);
    expect(code).toBe("engine_unreachable");
    expect(ways).toEqual(["first scripted failed", "fallback second failed", "retry second failed"]);
    expect(call).toMatchObject({ status: "failed", model: "second", asked_model: "scripted" });
  });

  test("is taken at once while all endpoints of the model are ejected", async () => {
    await using models = await twoModels({ script: { fail: { status: 401 } } });
    // Three refusals in a row eject an endpoint for 20 s.
    for (let call = 0; call < 3; call++)
      expect((await outcomeOf(models)).ways).toEqual(["first scripted failed", "fallback second completed"]);
    expect((await outcomeOf(models)).ways).toEqual(["fallback second completed"]);
  });

  test("is the only thing that a route adds: other endpoints of the model go before it", async () => {
    await using models = await twoModels({ script: { fail: { status: 500 } } });
    const other = await models.also("scripted", "other");
    for (let call = 0; call < 3; call++) expect((await outcomeOf(models)).ways.at(-1)).toContain("other completed");
    expect(other.seen).toHaveLength(3);
    expect(models.second.seen).toHaveLength(0);
  });

  test("of a budget that does not pay for it refuses the call by the budget's name", async () => {
    await using models = await twoModels({ script: { fail: { status: 500 } } });
    models.at.ledger.limitNano = 3_000n;
    const { code, ways } = await outcomeOf(models, { body: { max_tokens: 20 } });
    expect([code, ways]).toEqual(["budget_exceeded", ["first scripted failed"]]);
  });
});

describe("an engine's limit", () => {
  test("goes on to another endpoint, and keeps calls away from the first for the time that it named", async () => {
    await using models = await twoModels({ script: busy(30), route: {} });
    const other = await models.also("scripted", "other");
    for (let call = 0; call < 6; call++) expect((await outcomeOf(models)).code).toBeUndefined();
    expect(models.first.seen.length).toBeLessThanOrEqual(1);
    expect(other.seen).toHaveLength(6);
  });

  test("of the only endpoint is answered with its time, and it is not asked before", async () => {
    await using models = await twoModels({ script: busy(60), route: {} });
    const errors: any[] = [];
    for (let call = 0; call < 3; call++)
      await models.at.gateway.call(models.at.request()).catch((error: unknown) => errors.push(error));
    expect(errors).toHaveLength(3);
    for (const error of errors) {
      expect(error).toMatchObject({ status: 429, code: "engine_busy" });
      expect(error.retryAfterSeconds).toBeGreaterThan(30);
      expect(error.retryAfterSeconds).toBeLessThanOrEqual(60);
    }
    expect(models.first.seen).toHaveLength(1);
    // It is no fault of the endpoint.
    expect(models.at.engines.get("scripted")!.standing).toBe("serving");
  });

  test("is waited for where the route allows it, with nothing held meanwhile", async () => {
    await using models = await twoModels({ route: { retry: { waitMostMs: 2_000 } } });
    models.first.next(busy(0.05));
    const call = outcomeOf(models);
    while (models.first.seen.length === 0) await sleep(1);
    await expect.poll(() => models.at.ledger.heldNano, { interval: 1 }).toBe(0n);
    expect((await call).ways).toEqual(["first scripted failed", "retry scripted completed"]);
  });

  test("that is too long to wait for, or past the deadline, goes to the fallback", async () => {
    for (const more of [{}, { deadlineMs: 100_000 }]) {
      await using models = await twoModels({
        route: { fallbacks: ["second"], retry: { waitMostMs: more.deadlineMs ? 1_000_000 : 500 } },
      });
      models.first.next(busy(200));
      expect((await outcomeOf(models, { more })).ways).toEqual(["first scripted failed", "fallback second completed"]);
    }
  });

  test("a client that goes while its call waits ends the wait", async () => {
    await using models = await twoModels({ route: { retry: { waitMostMs: 60_000 } } });
    models.first.next(busy(60));
    const client = new AbortController();
    const call = outcomeOf(models, { more: { signal: client.signal } });
    await expect.poll(() => models.at.ledger.settlements.length, { interval: 1 }).toBe(1);
    client.abort();
    expect(await call).toMatchObject({ code: "client_gone", ways: ["first scripted failed"] });
  });
});
