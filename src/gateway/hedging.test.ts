// Second attempts beside silent first ones, through the gateway over scripted engines: which of the two serves the call, when none is made,
// and that the attempts, the record and the ledger have one sum.
import { expect, test } from "vitest";
import type { Engine } from "../engines/index.ts";
import type { RateCard } from "../ledger/index.ts";
import { createEngine } from "../engines/kinds.ts";
import { scriptedEngine, type Script, type ScriptedEngine } from "../engines/testing.ts";
import type { ModelRoute } from "./modelRoutes.ts";
import { busyFor } from "./scheduling/busy.ts";
import { card, memoryGateway, type MemoryGateway } from "./testing/memoryGateway.ts";

interface Twins extends AsyncDisposable {
  at: MemoryGateway;
  engines: ScriptedEngine[];
  /** Bodies that reached any of them. */
  seen(): number;
}

const hedge = { afterMs: 1, share: 1 };
const never = new Promise<void>(() => {});

/**
 * The model `scripted` at two endpoints. The first request is answered by `first`, all others by `then`. The first is that of the endpoint
 * that was asked first: the request of a second attempt, which is sent a millisecond later, may arrive before it.
 */
async function twins({
  first,
  then = {},
  route = { hedge },
  owner = "sglang",
  as = (engine) => engine,
  cardOf = () => card,
}: {
  first: Script;
  then?: Script;
  route?: ModelRoute;
  owner?: string;
  as?: (engine: Engine) => Engine;
  cardOf?: () => RateCard;
}): Promise<Twins> {
  let askedFirst: string | undefined;
  const open = (url: string) => {
    const engine = as(createEngine("openai", { url, model: "scripted" }));
    const { open: ask } = engine;
    engine.open = (...how) => {
      askedFirst ??= url;
      return ask.call(engine, ...how);
    };
    return engine;
  };
  const at = await memoryGateway({
    owner,
    open,
    cardOf,
    routes: { of: (_organisation, model) => ({ model, route }), aliases: () => [] },
  });
  const other = await scriptedEngine({}, ["scripted"], 0, { routes: {}, card: { owned_by: owner } });
  const opened = open(other.url);
  const facts = await opened.probe();
  at.engines.add("scripted", opened, { kind: "openai", model: "scripted", endpoint: "other", facts });
  const engines = [at.engine, other];
  const seen = () => engines.reduce((sum, one) => sum + one.seen.length, 0);
  for (const engine of engines)
    engine.decide = () => (engine.url === askedFirst && engine.seen.length === 1 ? first : then);
  return {
    at,
    engines,
    seen,
    async [Symbol.asyncDispose]() {
      await at[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
    },
  };
}

/** Calls once. The sums of the attempts, the settlements and the record agree and nothing is held, or this throws. */
async function outcomeOf({ at }: Twins, body: Record<string, unknown> = {}, signal?: AbortSignal) {
  let code: string | undefined;
  let text = "";
  try {
    const answer = await at.gateway.call(at.request({ stream: true, ...body }, signal && { signal }));
    if (body["stream"] === false) text = (await answer.whole()).deltas[0]?.text ?? "";
    else for await (const { deltas } of answer.chunks) text += deltas[0]?.text ?? "";
    await answer.finished;
  } catch (error) {
    code = (error as { code: string }).code;
  }
  await expect.poll(() => at.ledger.calls.length).toBe(1);
  const [call] = at.ledger.calls;
  const settled = at.ledger.settlements.filter(({ row }) => row !== undefined);
  const attempts = settled.map(({ row }) => row as any).toSorted((a, b) => a.number - b.number);
  const sum = (amounts: (bigint | string)[]) => amounts.reduce<bigint>((total, one) => total + BigInt(one), 0n);
  expect(sum(attempts.map((row) => row.price_nano))).toBe(BigInt(call.price_nano));
  expect(sum(settled.map(({ amountNano }) => amountNano))).toBe(BigInt(call.price_nano));
  expect(at.ledger.heldNano).toBe(0n);
  return {
    code,
    text,
    call,
    attempts,
    ways: attempts.map((row) => `${row.why} ${row.status} ${row.error_code ?? "-"}`),
  };
}

const won = ["first cancelled answered_elsewhere", "hedge completed -"];

test("a silent endpoint is given up for a second one, and both are recorded and billed", async () => {
  const answered = Promise.withResolvers<void>();
  await using two = await twins({ first: { wait: never }, then: { wait: answered.promise } });
  const outcome = outcomeOf(two);
  await expect.poll(two.seen, { interval: 1 }).toBe(2);
  answered.resolve();
  const { text, ways, attempts, call } = await outcome;
  expect(text).toBe("Hello, world.");
  expect(ways).toEqual(won);
  expect(new Set(attempts.map(({ engine }) => engine)).size).toBe(2);
  // 10 prompt tokens at 3 and 4 output tokens at 7; the other had not begun, and pays for its prompt as it was held.
  expect(BigInt(attempts[1].price_nano)).toBe(58n);
  expect(BigInt(call.price_nano)).toBe(58n + 3n * BigInt(attempts[0].prompt_tokens));
  // Its engine was told to stop.
  const silent = two.engines[attempts[0].engine === "other" ? 1 : 0]!;
  await silent.seen[0]!.gone;
});

test("the call's record waits for the attempt that lost, whose money is in its sum", async () => {
  const ended = Promise.withResolvers<void>();
  /** An engine that takes its time to stop. */
  const as = (engine: Engine): Engine =>
    Object.assign(Object.create(engine) as Engine, {
      probe: () => engine.probe(),
      close: () => engine.close(),
      open: (...how: Parameters<Engine["open"]>) =>
        engine.open(...how).catch(async (error: unknown) => {
          await ended.promise;
          throw error;
        }),
    });
  await using two = await twins({ first: { wait: never }, as });
  const outcome = outcomeOf(two);
  await expect.poll(() => two.at.ledger.settlements.length, { interval: 1 }).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(two.at.ledger.calls).toHaveLength(0);
  ended.resolve();
  expect((await outcome).ways).toEqual(won);
});

test("the first endpoint wins where it answers before the second, which is stopped", async () => {
  const slow = Promise.withResolvers<void>();
  await using two = await twins({ first: { wait: slow.promise }, then: { wait: never } });
  const outcome = outcomeOf(two);
  await expect.poll(two.seen, { interval: 1 }).toBe(2);
  slow.resolve();
  expect(await outcome).toMatchObject({
    text: "Hello, world.",
    ways: ["first completed -", "hedge cancelled answered_elsewhere"],
  });
});

test("a first attempt that fails beside the second is recorded, and the second serves the call", async () => {
  const failed = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  await using two = await twins({
    first: { wait: failed.promise, fail: { status: 500 } },
    then: { wait: answered.promise },
  });
  const outcome = outcomeOf(two);
  await expect.poll(two.seen, { interval: 1 }).toBe(2);
  failed.resolve();
  await expect.poll(() => two.at.ledger.settlements.length, { interval: 1 }).toBe(1);
  answered.resolve();
  const { text, ways } = await outcome;
  expect(text).toBe("Hello, world.");
  expect(ways).toEqual([expect.stringContaining("first failed"), "hedge completed -"]);
});

test("where both fail the call fails as after one attempt, with both recorded", async () => {
  const failed = Promise.withResolvers<void>();
  await using two = await twins({
    first: { wait: failed.promise, fail: { status: 500 } },
    then: { fail: { status: 500 } },
  });
  const outcome = outcomeOf(two);
  await expect.poll(() => two.at.ledger.settlements.length, { interval: 1 }).toBe(1);
  failed.resolve();
  const { code, ways } = await outcome;
  expect(code).toBe("engine_failed");
  expect(ways.map((way) => way.split(" ").slice(0, 2).join(" "))).toEqual(["first failed", "hedge failed"]);
});

test("a client that goes stops both", async () => {
  const client = new AbortController();
  await using two = await twins({ first: { wait: never }, then: { wait: never } });
  const outcome = outcomeOf(two, {}, client.signal);
  await expect.poll(two.seen, { interval: 1 }).toBe(2);
  client.abort();
  expect(await outcome).toMatchObject({
    code: "client_gone",
    ways: ["first cancelled client_gone", "hedge cancelled client_gone"],
  });
});

/** What makes no second attempt: the first answers in the end. */
const alone: [string, Omit<Parameters<typeof twins>[0], "first">, Record<string, unknown>][] = [
  ["a route that does not ask for it", { route: {} }, {}],
  ["a share that is used up", { route: { hedge: { afterMs: 1, share: 0.5 } } }, {}],
  ["a call that does not stream", {}, { stream: false }],
  ["endpoints that are not known to stop", { owner: "someone" }, {}],
  ["a first token that may take longer", { route: { hedge: { afterMs: 600_000, share: 1 } } }, {}],
];
test.each(alone)("there is no second attempt with %s", async (_name, setting, body) => {
  const slow = Promise.withResolvers<void>();
  await using two = await twins({ ...setting, first: { wait: slow.promise } });
  const outcome = outcomeOf(two, body);
  await expect.poll(two.seen, { interval: 1 }).toBe(1);
  // Longer than the wait before a second attempt.
  await new Promise((resolve) => setTimeout(resolve, 20));
  slow.resolve();
  expect(await outcome).toMatchObject({ text: "Hello, world.", ways: ["first completed -"] });
  expect(two.seen()).toBe(1);
});

test("there is no second attempt where its money has to be waited for", async () => {
  const slow = Promise.withResolvers<void>();
  await using two = await twins({ first: { wait: slow.promise } });
  // One hold of 546 prompt tokens and 4 of output, and no second one.
  two.at.ledger.limitNano = 2_500n;
  const outcome = outcomeOf(two, { max_tokens: 4 });
  await expect.poll(two.seen, { interval: 1 }).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  slow.resolve();
  expect(await outcome).toMatchObject({ text: "Hello, world.", ways: ["first completed -"] });
});

test("a second attempt whose money has to be waited for is none of the attempts at the model", async () => {
  const slow = Promise.withResolvers<void>();
  await using two = await twins({
    first: { wait: slow.promise, fail: { status: 500 } },
    route: { hedge, retry: { most: 2 } },
  });
  // One hold of 546 prompt tokens and 4 of output, and no second one.
  two.at.ledger.limitNano = 2_500n;
  const outcome = outcomeOf(two, { max_tokens: 4 });
  await expect.poll(two.seen, { interval: 1 }).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  slow.resolve();
  const { text, ways, attempts } = await outcome;
  expect(text).toBe("Hello, world.");
  expect(ways).toEqual([expect.stringContaining("first failed"), "retry completed -"]);
  expect(attempts.map(({ number }) => number)).toEqual([1, 2]);
});

test("an unforeseen error of the second attempt leaves the call to the first", async () => {
  const slow = Promise.withResolvers<void>();
  let asked = 0;
  await using two = await twins({
    first: { wait: slow.promise },
    // The price of the call, and of its first attempt, are known.
    cardOf: () => {
      if (++asked === 3) throw new TypeError("unforeseen");
      return card;
    },
  });
  const outcome = outcomeOf(two);
  await expect.poll(() => asked, { interval: 1 }).toBe(3);
  slow.resolve();
  expect(await outcome).toMatchObject({ text: "Hello, world.", ways: ["first completed -"] });
});

test("an endpoint that asks for a pause is left alone though the second attempt served the call", async () => {
  const failed = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  await using two = await twins({
    first: { wait: failed.promise, fail: { status: 429, headers: { "retry-after": "30" } } },
    then: { wait: answered.promise },
  });
  const outcome = outcomeOf(two);
  await expect.poll(two.seen, { interval: 1 }).toBe(2);
  failed.resolve();
  await expect.poll(() => two.at.ledger.settlements.length, { interval: 1 }).toBe(1);
  answered.resolve();
  const { attempts } = await outcome;
  const [busy] = two.at.engines.list("org_test").filter(({ endpoint }) => endpoint === attempts[0].engine);
  expect(busyFor(busy!)).toBeGreaterThan(0);
});
