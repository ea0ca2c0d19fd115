// Several processes serve one instance: the gateway processes of `lineshaft up --gateways N`, and two homes on one database. What is done
// at one is known at the others, and one may die, be frozen and come back.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { scriptedEngine, type ScriptedEngine } from "../src/engines/testing.ts";
import { asOwner, testDatabase } from "../src/store/testing.ts";
import { startInstance, type Instance } from "./setup/instance.ts";
import { gatewaysOf, placeAt, placeIn, type Place } from "./setup/places.ts";

/** Far above what a test takes, which waits for several things. Each of them may take a minute. */
const timeout = 180_000;
const price = { currency: "USD", input_nano_per_million: "1000000000", output_nano_per_million: "2000000000" };
const call = (model: string) => ({ model, messages: [{ role: "user", content: "Hello" }], max_tokens: 16 });
const chat = "/v1/chat/completions";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-gateways-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

/** What is done at `a` is known at `b`. `engine` answers the calls of the models that are added. */
function knownEverywhere(at: () => { a: Place; b: Place; engine: ScriptedEngine }) {
  const added = (name: string, more: object = {}) => ({
    name,
    urls: [at().engine.url],
    model: "scripted",
    price,
    ...more,
  });

  test("an engine is added, changed and removed", { timeout }, async () => {
    const { a, b, engine } = at();
    expect((await a.ask("POST", "/api/engines", added("first"))).status).toBe(200);
    await expect.poll(async () => (await b.ask("POST", chat, call("first"))).status).toBe(200);
    engine.models.push("other");
    await a.ask("POST", "/api/engines", added("first", { model: "other" }));
    await expect
      .poll(async () => {
        await b.ask("POST", chat, call("first"));
        return engine.seen.at(-1)!.body["model"];
      })
      .toBe("other");
    await a.ask("DELETE", "/api/engines/first");
    await expect.poll(async () => (await b.ask("POST", chat, call("first"))).status).toBe(404);
  });

  test("a price prices the next calls, and a budget refuses them", { timeout }, async () => {
    const { a, b } = at();
    await a.ask("POST", "/api/engines", added("priced"));
    const priceOf = async () => {
      await b.ask("POST", chat, call("priced"));
      const { body } = await b.ask("GET", "/api/calls?limit=1");
      return BigInt(body.data[0].price_nano);
    };
    await expect.poll(priceOf).toBeGreaterThan(0n);
    const before = await priceOf();
    const twice = { ...price, input_nano_per_million: "2000000000", output_nano_per_million: "4000000000" };
    await a.ask("POST", "/api/engines", added("priced", { price: twice }));
    await expect.poll(priceOf).toBe(2n * before);
    const made = await a.ask("POST", "/api/keys", { name: "poor", role: "member" });
    const authorization = `Bearer ${made.body.secret}`;
    const asPoor = async () => (await b.ask("POST", chat, call("priced"), { authorization })).status;
    expect(await asPoor()).toBe(200);
    const scope = { kind: "key", id: made.body.id };
    await a.ask("PUT", "/api/budgets", { scope, limit_nano: "1", period: "total" });
    await expect.poll(asPoor).toBe(429);
  });

  test("a revoked key opens nothing any more", { timeout }, async () => {
    const { a, b } = at();
    const made = await a.ask("POST", "/api/keys", { name: "short", role: "member" });
    const authorization = `Bearer ${made.body.secret}`;
    const status = async () => (await b.ask("GET", "/api/runs", undefined, { authorization })).status;
    expect(await status()).toBe(200);
    await a.ask("DELETE", `/api/keys/${made.body.id}`);
    // A key is remembered for a second (governance/identity). The time is that of the machine, so that only the refusal is looked at.
    await expect.poll(status).toBe(401);
  });

  test("the same Idempotency-Key at both creates one thing", { timeout }, async () => {
    const { a, b } = at();
    const body = { name: "once", role: "member" };
    const headers = { "idempotency-key": "the same at both" };
    const made = await Promise.all([a, b, a, b].map((place) => place.ask("POST", "/api/keys", body, headers)));
    expect(new Set(made.map(({ body: of }) => `${of.id} ${of.secret}`)).size).toBe(1);
    const { body: keys } = await a.ask("GET", "/api/keys");
    expect(keys.data.filter(({ name }: { name: string }) => name === "once")).toHaveLength(1);
  });

  test("a secret is there, and a feed of live events shows the calls of both", { timeout }, async () => {
    const { a, b } = at();
    await a.ask("PUT", "/api/secrets/token", { value: "a-secret-value", hosts: ["api.example.com"] });
    const { body } = await b.ask("GET", "/api/secrets");
    expect(body.data.map(({ name }: { name: string }) => name)).toContain("token");
    await a.ask("POST", "/api/engines", added("watched"));
    const stop = new AbortController();
    try {
      const seen = await b.feed(stop.signal);
      const seenCalls = () => seen.filter(({ type }) => type === "call").map(({ data }) => data.call.id);
      const begun: string[] = [];
      // The message that this process has readers takes a moment to reach the other one.
      await expect
        .poll(async () => {
          begun.push((await a.ask("POST", chat, call("watched"))).body.id);
          return seenCalls().length > 0;
        })
        .toBe(true);
      const { body: calls } = await a.ask("GET", "/api/calls?limit=200");
      const recorded = calls.data.map(({ id }: { id: string }) => id);
      expect(recorded).toEqual(expect.arrayContaining(seenCalls()));
    } finally {
      stop.abort();
    }
  });

  test("a run that is stopped at one ends its model call, wherever it runs", { timeout }, async () => {
    const { a, b, engine } = at();
    await a.ask("POST", "/api/engines", added("slow"));
    await expect.poll(async () => (await b.ask("POST", chat, call("slow"))).status).toBe(200);
    const manifest = { kind: "Agent", name: "waits", instructions: "Answer.", model: "slow" };
    expect((await a.ask("POST", "/api/agents", { manifest })).status).toBe(200);
    engine.next({ wait: new Promise(() => {}) });
    const before = engine.seen.length;
    const { body: run } = await a.ask("POST", "/api/runs", { agent: "waits", input: {} });
    await expect.poll(() => engine.seen.length).toBeGreaterThan(before);
    const asked = engine.seen.at(-1)!;
    expect((await b.ask("POST", `/api/runs/${run.id}/stop`)).status).toBe(200);
    await asked.gone;
    expect((await a.ask("GET", `/api/runs/${run.id}`)).body).toMatchObject({ status: "stopped" });
  });
}

describe("two gateway processes of one instance", () => {
  let instance: Instance;
  let engine: ScriptedEngine;
  beforeAll(async () => {
    engine = await scriptedEngine();
    instance = await startInstance({ home: join(folder, "gateways"), words: ["--gateways", "2"] });
  }, 2 * timeout);
  afterAll(async () => {
    await instance?.[Symbol.asyncDispose]();
    await engine?.[Symbol.asyncDispose]();
  }, timeout);

  const place = (number: 1 | 2) => placeIn(instance, `gateway-${number}`);
  knownEverywhere(() => ({ a: place(1), b: place(2), engine }));

  test("each says what all do: components, calls, metrics, and the worker that all reach", { timeout }, async () => {
    const [a, b] = [place(1), place(2)];
    const { body: status } = await a.ask("GET", "/api/status");
    const names = status.components.map(({ name }: { name: string }) => name);
    expect(names).toEqual(["main", "gateway-1", "gateway-2", ...names.slice(3)]);
    expect(status.deployments[0]).toMatchObject({ engine: "embedded", state: "ready" });
    const model = status.deployments[0].name;
    const ids: string[] = [];
    for (const one of [a, b]) {
      const answer = await one.ask("POST", chat, { ...call(model), max_tokens: 2 });
      expect(answer.status).toBe(200);
      // Both processes know of the call as soon as its client has the answer.
      for (const reader of [a, b]) {
        const { body } = await reader.ask("GET", "/api/calls?limit=1");
        expect(ids).not.toContain(body.data[0].id);
        if (reader === b) ids.push(body.data[0].id);
      }
    }
    const { body: text } = await b.ask("GET", "/metrics");
    for (const process of ["gateway-1", "gateway-2"])
      expect(text).toMatch(
        new RegExp(`lineshaft_calls_total\\{model="${model}",outcome="completed",process="${process}"\\} 1\n`),
      );
    const deployed = await b.ask("GET", `/api/deployments/${model}`);
    expect(deployed.body).toMatchObject({ name: model, state: "ready" });
  });

  test(
    "one is killed, one is frozen and comes back: the other serves all, and nothing is doubled",
    { timeout: 3 * timeout },
    async () => {
      const a = place(1);
      await a.ask("POST", "/api/engines", { name: "busy", urls: [engine.url], model: "scripted", price });
      const pidOf = async (name: string) => (await gatewaysOf(instance)).get(name)!.pid!;
      await expect.poll(async () => (await place(2).ask("POST", chat, call("busy"))).status).toBe(200);
      const before = (await a.ask("GET", "/api/overview?range=1h")).body.calls.total;
      const { body: key } = await a.ask("POST", "/api/keys", { name: "busy", role: "member" });
      const limit = 1_000_000_000n;
      const scope = { kind: "key", id: key.id };
      expect((await a.ask("PUT", "/api/budgets", { scope, limit_nano: String(limit) })).status).toBe(200);
      let answered = 0;
      const cut: string[] = [];
      const over = new AbortController();
      /** A client without a connection to keep: each call may reach any process. A call is cut only with the process that had it. */
      const client = async () => {
        while (!over.signal.aborted) {
          try {
            const response = await fetch(`${instance.address}${chat}`, {
              method: "POST",
              headers: {
                authorization: `Bearer ${key.secret}`,
                "content-type": "application/json",
                connection: "close",
              },
              body: JSON.stringify(call("busy")),
            });
            const { id } = (await response.json()) as { id?: string };
            expect([response.status, typeof id]).toEqual([200, "string"]);
            answered++;
          } catch (error) {
            if (!(error instanceof TypeError)) throw error;
            cut.push(String((error.cause as NodeJS.ErrnoException | undefined)?.code ?? error.message));
          }
        }
      };
      const clients = [1, 2, 3, 4].map(() => client());
      const served = async (calls: number) => {
        const from = answered;
        await expect.poll(() => answered - from).toBeGreaterThan(calls);
      };
      const restarted = async (name: string, former: number) => {
        await expect.poll(() => pidOf(name).catch(() => former)).not.toBe(former);
        await expect.poll(async () => (await gatewaysOf(instance)).get(name)!.state).toBe("ready");
      };
      await served(20);

      const killed = await pidOf("gateway-1");
      process.kill(killed, "SIGKILL");
      await served(20);
      await restarted("gateway-1", killed);
      expect(cut.length).toBeLessThanOrEqual(clients.length);

      // A pause that is shorter than the bound: the process goes on where it was, and so do its calls.
      const cutBefore = cut.length;
      const paused = await pidOf("gateway-2");
      process.kill(paused, "SIGSTOP");
      await sleep(2_000);
      process.kill(paused, "SIGCONT");
      await served(20);
      expect(await pidOf("gateway-2")).toBe(paused);
      expect(cut.length).toBe(cutBefore);

      // A longer one: it is ended, its calls end with it, and a new process takes its place.
      process.kill(paused, "SIGSTOP");
      await restarted("gateway-2", paused);
      await served(20);
      expect(cut.length - cutBefore).toBeLessThanOrEqual(clients.length);
      over.abort();
      await Promise.all(clients);

      // Every answered call is recorded once, and charged once. What was cut may be recorded too.
      const after = (await place(2).ask("GET", "/api/overview?range=1h")).body.calls.total;
      expect(after - before).toBeGreaterThanOrEqual(answered);
      expect(after - before).toBeLessThanOrEqual(answered + cut.length);
      // What the ended processes had leased comes back when their spools are replayed, so nothing of it is lost.
      const proven = async () => {
        const { body: proof } = await place(1).ask("POST", "/api/proofs", { kind: "whole" });
        const { body: proofs } = await place(1).ask("GET", "/api/proofs");
        return [proof.discrepancies, proofs.standing.suspense];
      };
      await expect.poll(proven).toEqual([[], []]);
      const { body: budgets } = await place(1).ask("GET", "/api/budgets?limit=200");
      const of = budgets.data.find((one: { scope: { id: string } }) => one.scope.id === key.id);
      const amounts = [of.spent_nano, of.leased_nano, of.lost_nano].map(BigInt) as [bigint, bigint, bigint];
      expect(amounts[0]).toBeGreaterThan(0n);
      expect(amounts[2]).toBe(0n);
      expect(amounts[0] + amounts[1]).toBeLessThanOrEqual(limit);
    },
  );
});

test(
  "a stop settles the calls of all gateway processes, and leaves none running",
  { timeout: 3 * timeout },
  async () => {
    await using engine = await scriptedEngine();
    const [home, env] = [join(folder, "stopped"), { LINESHAFT_REPLICAS: "0" }];
    const start = () => startInstance({ home, env, words: ["--gateways", "2"] });
    let instance = await start();
    const places = ["gateway-1", "gateway-2"].map((name) => placeIn(instance, name));
    await places[0]!.ask("POST", "/api/engines", { name: "slow", urls: [engine.url], model: "scripted", price });
    await expect.poll(async () => (await places[1]!.ask("POST", chat, call("slow"))).status).toBe(200);
    const hangs = { wait: new Promise<void>(() => {}) };
    engine.next(hangs, hangs);
    const before = engine.seen.length;
    const asked = places.map((place) => place.ask("POST", chat, call("slow")));
    await expect.poll(() => engine.seen.length).toBe(before + 2);
    const pids = [...(await gatewaysOf(instance)).values()].map(({ pid }) => pid!);
    await instance.end("SIGTERM");
    for (const { status, body } of await Promise.all(asked))
      expect([status, body.error.code]).toEqual([503, "shutting_down"]);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow();
    instance = await start();
    const { body } = await placeIn(instance, "gateway-1").ask("GET", "/api/calls?limit=2");
    expect(body.data.map(({ status, error_code: code }: Record<string, string>) => [status, code])).toEqual([
      ["cancelled", "shutting_down"],
      ["cancelled", "shutting_down"],
    ]);
    await instance.end("SIGTERM");
  },
);

describe("two homes on one database", () => {
  let stack: AsyncDisposableStack;
  let instances: Instance[];
  let engine: ScriptedEngine;
  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    engine = stack.use(await scriptedEngine());
    const db = stack.use(await testDatabase());
    const owner = asOwner(db);
    const env = { DATABASE_URL: db.url, LINESHAFT_MIGRATION_URL: owner.url, LINESHAFT_REPLICAS: "0" };
    await owner.close();
    const [first, second] = [join(folder, "first"), join(folder, "second")];
    instances = [stack.use(await startInstance({ home: first, env }))];
    // Keys and secrets are opened by what this file holds, so all homes of a database have the same.
    mkdirSync(second);
    copyFileSync(join(first, "secrets.json"), join(second, "secrets.json"));
    copyFileSync(join(first, "credentials"), join(second, "credentials"));
    instances.push(stack.use(await startInstance({ home: second, env })));
  }, 2 * timeout);
  afterAll(() => stack.disposeAsync(), timeout);

  knownEverywhere(() => {
    const [a, b] = instances.map((instance) => placeAt(instance, instances[0]!.key));
    return { a: a!, b: b!, engine };
  });
});
