// A frozen Postgres: all of its processes are stopped by SIGSTOP, so it neither refuses nor closes nor answers. Requests that need it are
// refused in time, other work goes on, and everything recovers by itself after SIGCONT.
import { expect, test } from "vitest";
import type { Script } from "../../src/engines/testing.ts";
import { limits } from "../../src/store/limits.ts";
import { ownPostgres, type OwnPostgres } from "../../src/store/testing.ts";
import { hello, testGateway, type TestGateway } from "../../src/api/testing.ts";

/** Far above the two seconds that are promised (and counted in src/store/pulse.test.ts): a machine may be slow, a hang is for ever. */
const hangMs = 30_000;

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

const holds = async (at: TestGateway) =>
  (await at.db.query<{ open: bigint }>("select count(*) as open from holds where not settled")).rows[0]!.open;

test("calls, lists and /healthz answer 503 in time, and everything heals when it goes on", async () => {
  await using frozen = await frozenGateway();
  const { at, server } = frozen;
  expect((await call(at)).status).toBe(200);
  await at.gateway.flushed();
  server.freeze();
  // The first requests use connections that look alive. The last ones are refused at once.
  const answers = await within(
    Promise.all([
      ...Array.from({ length: 20 }, () => call(at)),
      at.request("/api/calls"),
      at.request("/api/bill"),
      at.request("/api/keys"),
    ]),
  );
  for (const { status, body, headers } of answers) {
    expect([status, body.error.code, headers.get("retry-after")]).toEqual([503, "store_unavailable", "1"]);
    expect(body.error.message).toMatch(/again/);
  }
  expect(await within(at.request("/healthz"))).toMatchObject({ status: 503, body: { status: "unavailable" } });
  const late = await within(call(at));
  expect([late.status, late.body.error.code]).toEqual([503, "store_unavailable"]);

  server.thaw();
  await expect.poll(async () => (await at.request("/healthz")).status, { timeout: hangMs }).toBe(200);
  await expect.poll(async () => (await call(at)).status, { timeout: hangMs }).toBe(200);
  // Holds that were under way at the freeze may have been committed: each is ended exactly once, and the accounts balance.
  await expect.poll(() => holds(at), { timeout: hangMs }).toBe(0n);
  await at.gateway.flushed();
  expect((await at.ledger.prove()).discrepancies).toEqual([]);
  expect((await at.request("/api/calls")).status).toBe(200);
});

test("a hold that was taken although its caller was refused is ended, also when it comes after its end", async () => {
  await using frozen = await frozenGateway();
  const { at, server } = frozen;
  const { organisation, project } = at.principal;
  await at.ledger.setBudget({
    organisation,
    currency: "USD",
    limitNano: 1_000n,
    period: "total",
    scope: { kind: "project", id: project },
  });
  const rateCard = (await at.ledger.currentRateCard(organisation, "scripted"))!;
  const request = {
    attempt: "att_doubt",
    call: "call_doubt",
    organisation,
    project,
    amountNano: 900n,
    rateCard,
    scopes: [{ kind: "project" as const, id: project }],
    most: { promptTokens: 10, outputTokens: 10 },
  };
  // The statement waits in the socket of the frozen server, which executes it after SIGCONT.
  server.freeze();
  await expect(within(at.ledger.hold(request))).rejects.toMatchObject({ code: "store_unavailable" });
  server.thaw();
  await expect
    .poll(
      async () =>
        (await at.db.query<{ amount_nano: bigint }>("select amount_nano from settlements where attempt = 'att_doubt'"))
          .rows,
      { timeout: hangMs },
    )
    .toEqual([{ amount_nano: 0n }]);
  expect(await holds(at)).toBe(0n);
  const [budget] = await at.ledger.listBudgets(organisation);
  expect([budget!.heldNano, budget!.spentNano, budget!.leftNano]).toEqual([0n, 0n, 1_000n]);
  // The same statement once more, after the hold was ended: it is refused, because the row exists.
  await expect(at.ledger.hold(request)).rejects.toThrow(/duplicate key/);
  expect((await at.ledger.listBudgets(organisation))[0]!.heldNano).toBe(0n);
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
  server.thaw();
  await expect.poll(() => holds(at), { timeout: hangMs }).toBe(0n);
  const { rows } = await at.db.query<{ amount_nano: bigint }>("select amount_nano from settlements");
  expect(rows).toHaveLength(1);
  expect(rows[0]!.amount_nano).toBeGreaterThan(0n);
});

test("a statement that takes long on a server that lives is not given up, however short the silence allowed", async () => {
  await using server = await ownPostgres();
  await using db = server.open();
  const seconds = (limits.silentMs * 2) / 1000;
  expect((await db.query<{ done: string }>("select 'yes' as done, pg_sleep($1)", [seconds])).rows[0]!.done).toBe("yes");
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
