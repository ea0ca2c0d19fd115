// A frozen Postgres: all of its processes are stopped by SIGSTOP, so it neither refuses nor closes nor answers. Requests that need it are
// refused in time. Calls whose key, price and money are known go on without it, and everything is posted by itself after SIGCONT.
import { expect, test } from "vitest";
import type { Script } from "../../src/engines/testing.ts";
import { limits } from "../../src/store/limits.ts";
import { ownPostgres, type OwnPostgres } from "../../src/store/testing.ts";
import { hello, rows, testGateway, type TestGateway } from "../../src/api/testing.ts";

/** Far above the two seconds that are promised (and counted in src/store/pulse.test.ts): a machine may be slow, a hang is for ever. */
const hangMs = 60_000;

async function within<Result>(work: Promise<Result>): Promise<Result> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`It hangs: no answer within ${hangMs} ms.`)), hangMs);
  return Promise.race([work, late.promise]).finally(() => clearTimeout(timer));
}

async function frozenGateway(script: Script = {}): Promise<{ at: TestGateway; server: OwnPostgres } & AsyncDisposable> {
  const server = await ownPostgres();
  const at = await testGateway({ db: server.open(), script });
  return {
    at,
    server,
    async [Symbol.asyncDispose]() {
      server.thaw();
      await at[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

const call = (at: TestGateway) => at.request("/v1/chat/completions", { method: "POST", body: JSON.stringify(hello) });
const streamed = (at: TestGateway) =>
  at.request("/v1/chat/completions", { method: "POST", body: JSON.stringify({ ...hello, stream: true }) });

const thawed = async ({ at, server }: { at: TestGateway; server: OwnPostgres }) => {
  server.thaw();
  await expect.poll(async () => (await at.request("/healthz")).status, { timeout: hangMs }).toBe(200);
};

test("calls go on, lists and /healthz answer 503 in time, and every call is posted when it goes on", async () => {
  await using frozen = await frozenGateway();
  const { at, server } = frozen;
  expect((await call(at)).status).toBe(200);
  await at.gateway.flushed();
  server.freeze();
  const calls = await within(
    Promise.all(Array.from({ length: 20 }, (_, place) => (place % 2 === 0 ? call(at) : streamed(at)))),
  );
  expect(calls.map(({ status }) => status)).toEqual(Array(20).fill(200));
  for (const { status, body, headers } of await within(
    Promise.all([at.request("/api/calls"), at.request("/api/bill"), at.request("/api/keys")]),
  )) {
    expect([status, body.error.code, headers.get("retry-after")]).toEqual([503, "store_unavailable", "1"]);
    expect(body.error.message).toMatch(/again/);
  }
  expect(await within(at.request("/healthz"))).toMatchObject({ status: 503, body: { status: "unavailable" } });
  expect((await within(call(at))).status).toBe(200);

  await thawed(frozen);
  await at.gateway.flushed();
  const { calls: recorded, attempts, settlements } = await rows(at);
  expect([recorded, attempts, settlements].map(({ length }) => length)).toEqual([22, 22, 22]);
  expect((await at.ledger.prove()).discrepancies).toEqual([]);
  expect((await at.request("/api/calls")).status).toBe(200);
});

test("money that is not leased cannot be had while it is frozen, and is all there afterwards", async () => {
  await using frozen = await frozenGateway();
  const { at, server } = frozen;
  const { organisation, project } = at.principal;
  await call(at);
  await at.ledger.setBudget({
    organisation,
    currency: "USD",
    limitNano: 1_000_000n,
    period: "total",
    scope: { kind: "project", id: project },
  });
  await at.gateway.flushed();
  // This process has heard of the budget.
  await expect.poll(async () => (await at.ledger.listBudgets(organisation))[0]!.pending).toBe(false);
  server.freeze();
  expect(await within(call(at))).toMatchObject({ status: 503, body: { error: { code: "store_unavailable" } } });
  await thawed(frozen);
  // What the statement in the socket of the frozen server was granted all the same is given back.
  await expect.poll(async () => (await call(at)).status, { timeout: hangMs }).toBe(200);
  await at.gateway.flushed();
  const [budget] = await at.ledger.listBudgets(organisation);
  expect(budget).toMatchObject({ spentNano: 58n });
  expect((await at.ledger.prove()).discrepancies).toEqual([]);
});

test("a call that runs when it freezes is answered, and settled when it goes on", async () => {
  const gate = Promise.withResolvers<void>();
  await using frozen = await frozenGateway({ wait: gate.promise });
  const { at, server } = frozen;
  const asked = call(at);
  await expect.poll(() => at.engine.seen.length, { timeout: hangMs }).toBe(1);
  server.freeze();
  gate.resolve();
  const { status, body } = await within(asked);
  expect([status, body.choices?.length]).toEqual([200, 1]);
  await thawed(frozen);
  expect((await rows(at)).settlements).toMatchObject([{ amount_nano: 58n }]);
});

test("a statement that takes long on a server that lives is not given up, however short the silence allowed", async () => {
  await using server = await ownPostgres();
  await using db = server.open();
  const seconds = (limits.silentMs * 2) / 1000;
  const slept = async () =>
    (await db.query<{ done: string }>("select 'yes' as done, pg_sleep($1)", [seconds])).rows[0]!.done;
  // On a machine that stands still the server is silent, and one of them is given up.
  await expect.poll(() => slept().catch(String), { timeout: hangMs }).toBe("yes");
  await expect(db.query("select pg_sleep(60)", [], { boundMs: 200 })).rejects.toMatchObject({
    code: "store_unavailable",
  });
  expect((await db.query<{ one: number }>("select 1 as one")).rows).toEqual([{ one: 1 }]);
});

test("transactions and waits for a connection are given up too, and the pool is whole afterwards", async () => {
  await using server = await ownPostgres();
  await using db = server.open();
  server.freeze();
  const works = Array.from({ length: 30 }, (_, place) =>
    place % 2 === 0 ? db.query("select 1") : db.transaction((client) => client.query("select 1")),
  );
  const ends = await within(Promise.allSettled(works));
  expect(new Set(ends.map((end) => end.status === "rejected" && end.reason.code))).toEqual(
    new Set(["store_unavailable"]),
  );
  server.thaw();
  await expect.poll(() => db.answers(), { timeout: hangMs }).toBe(true);
  await expect
    .poll(
      () =>
        Promise.all(works.map(() => db.query("select 1"))).then(
          () => true,
          () => false,
        ),
      { timeout: hangMs },
    )
    .toBe(true);
  // Connections that were begun during the freeze are established now. Their callers have given up, so they are released.
  await expect.poll(() => db.pool.totalCount - db.pool.idleCount, { timeout: hangMs }).toBe(0);
});
