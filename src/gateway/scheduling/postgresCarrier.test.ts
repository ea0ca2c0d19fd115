// Two gateways over one real Postgres: each sees what the other has placed, sums stay right when messages are lost, and an
// idle pair tells each other little.
import { describe, expect, test } from "vitest";
import { Session } from "../../store/index.ts";
import { testDatabase } from "../../store/testing.ts";
import { createLogger } from "../../telemetry/index.ts";
import { LoadView } from "../../scheduler/index.ts";
import type { LoadMessage, ProgramNews, TenantNews } from "../../scheduler/index.ts";
import { carrierRequirements, type CarrierScene } from "../../scheduler/load/testing.ts";
import { loadChannel, PostgresCarrier } from "./postgresCarrier.ts";

const log = createLogger({ level: "silent" });

/** Names of a machine: `mine` is reached by one gateway alone, `worker-0` by those of its machine, everything else by all. */
const namesOn = (machine: string) => ({
  toOthers(endpoint: string) {
    if (endpoint === "mine") return undefined;
    return endpoint === "worker-0" ? `${machine}/worker-0` : endpoint;
  },
  ofOthers: (name: string) => (name === `${machine}/worker-0` ? "worker-0" : name),
});

/** A gateway's view of load over its own carrier. */
async function gatewayOn(db: Awaited<ReturnType<typeof testDatabase>>, machine = "one") {
  const session = await Session.open({ url: db.url });
  const carrier = new PostgresCarrier({ session, log, names: namesOn(machine) });
  const view = new LoadView(carrier.gateway);
  const heard: LoadMessage[] = [];
  carrier.subscribe((message) => {
    heard.push(message);
    view.receive(message, performance.now());
  });
  const tell = () => {
    const message = view.message(performance.now(), true);
    if (message) carrier.publish(message);
  };
  const close = async () => {
    carrier.close();
    await session.close();
  };
  return { carrier, view, heard, tell, close };
}

const until = (holds: () => boolean) => expect.poll(holds, { interval: 10 }).toBe(true);

/** Three gateways over one real Postgres, for the suite that every carrier passes. */
async function sceneOf(db: Awaited<ReturnType<typeof testDatabase>>): Promise<CarrierScene> {
  const sessions = await Promise.all([1, 2, 3].map(() => Session.open({ url: db.url })));
  const carriers = sessions.map((session) => new PostgresCarrier({ session, log, names: namesOn("one") }));
  await Promise.all(carriers.map(({ ready }) => ready));
  return {
    gateways: carriers.map((carrier) => ({ name: carrier.gateway, carrier })),
    endpoint: "shared",
    now: () => performance.now(),
    async settle(holds) {
      for (let tries = 0; tries < 6_000 && !holds(); tries++) await new Promise((resolve) => setTimeout(resolve, 10));
      return holds();
    },
    async close() {
      for (const carrier of carriers) carrier.close();
      await Promise.all(sessions.map((session) => session.close()));
    },
  };
}

describe("the suite of carriers", () => {
  test.each(carrierRequirements)("$name", async ({ check }) => {
    await using db = await testDatabase();
    const scene = await sceneOf(db);
    try {
      expect(await check(scene)).toBeUndefined();
    } finally {
      await scene.close();
    }
  });
});

test("load is told and taken back; endpoints of this process alone are not told of; a total repairs what was lost", async () => {
  await using db = await testDatabase();
  const [a, b] = await Promise.all([gatewayOn(db), gatewayOn(db)]);
  try {
    await Promise.all([a.carrier.ready, b.carrier.ready]);
    // Both say that they are there.
    a.tell();
    b.tell();
    await until(() => a.heard.length > 0 && b.heard.length > 0);

    const handle = a.view.open("shared", 0, 900, 1000, performance.now());
    a.view.open("mine", 0, 5, 5, performance.now());
    for (let told = 0; told < 20; told++) a.tell();
    await until(() => b.view.of("shared", 0).prefillTokens === 900);
    expect(b.view.of("shared", 0)).toMatchObject({ kvTokens: 1000, inFlight: 1, prefilling: 1 });
    expect(b.heard.flatMap(({ deltas }) => deltas).some(({ endpoint }) => endpoint === "mine")).toBe(false);

    // One that is lost: what follows is not added to a sum that is in doubt, until a total says it all.
    handle.prefilled(performance.now());
    a.view.message(performance.now());
    const second = a.view.open("shared", 0, 10, 20, performance.now());
    for (let told = 0; told < 20; told++) a.tell();
    await until(() => b.view.of("shared", 0).inFlight === 2);
    expect(b.view.of("shared", 0)).toMatchObject({ prefillTokens: 10, kvTokens: 1020 });

    handle.close();
    second.close();
    for (let told = 0; told < 20; told++) a.tell();
    await until(() => b.view.of("shared", 0).inFlight === 0);
    expect(b.view.of("shared", 0)).toMatchObject({ prefillTokens: 0, kvTokens: 0, prefilling: 0 });

    // Text that is no message is ignored.
    await db.query("select pg_notify($1, 'not JSON')", [loadChannel]);
    const before = b.heard.length;
    a.tell();
    await until(() => b.heard.length > before);
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
});

test("what waits is told for endpoints that others have, and shortened where a message would be too long", async () => {
  await using db = await testDatabase();
  const [a, b] = await Promise.all([gatewayOn(db), gatewayOn(db)]);
  try {
    await Promise.all([a.carrier.ready, b.carrier.ready]);
    a.tell();
    b.tell();
    await until(() => a.heard.length > 0 && b.heard.length > 0);
    const told = b.heard.length;
    const named = (length: number, count: number) =>
      Array.from({ length: count }, (_, i) => ({ tenant: `${i}`.padEnd(length, "t"), served: 1, waits: true }));
    const queue = (endpoints: string[], tenants: TenantNews[]) => ({ endpoints, batch: false, calls: 0, tenants });
    const publish = (queues: LoadMessage["queues"]) =>
      a.carrier.publish({ ...a.view.message(performance.now(), true)!, queues });
    // The first of many endpoints are this gateway's own.
    publish([queue(["mine"], named(3, 1)), queue([...Array<string>(20).fill("mine"), "shared"], named(3, 1))]);
    publish([]);
    publish([queue(["shared"], named(1000, 20))]);
    publish([queue(["shared"], named(9000, 1))]);
    await until(() => b.heard.length >= told + 4);
    const queues = b.heard.slice(told).map((message) => message.queues);
    expect(queues[0]).toEqual([queue(["shared"], named(3, 1))]);
    expect(queues[1]).toEqual([]);
    expect(queues[2]).toEqual([queue(["shared"], named(1000, 20).slice(0, 5))]);
    // Nothing is told, which is not that nothing waits.
    expect(queues[3]).toBeUndefined();
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
});

test("programs are told for endpoints that others have, and fewer of them where a message would be too long", async () => {
  await using db = await testDatabase();
  const [a, b] = await Promise.all([gatewayOn(db), gatewayOn(db)]);
  try {
    await Promise.all([a.carrier.ready, b.carrier.ready]);
    a.tell();
    b.tell();
    await until(() => a.heard.length > 0 && b.heard.length > 0);
    const told = b.heard.length;
    const program = (length: number): ProgramNews => {
      const tenant = "t".repeat(length);
      return { program: "p", tenant, tokens: 1, state: "rests", ageMs: 1, changedMs: 1, leftMs: 1 };
    };
    const publish = (programs: LoadMessage["programs"]) =>
      a.carrier.publish({ ...a.view.message(performance.now(), true)!, programs: programs! });
    const programs = Array.from({ length: 32 }, () => program(40));
    publish([
      { endpoints: ["mine"], programs },
      { endpoints: ["mine", "shared"], programs },
    ]);
    publish([{ endpoints: ["shared"], programs: Array.from({ length: 32 }, () => program(400)) }]);
    publish([{ endpoints: ["shared"], programs: [program(9000)] }]);
    await until(() => b.heard.length >= told + 3);
    const heard = b.heard.slice(told).map((message) => message.programs);
    expect(heard[0]).toEqual([{ endpoints: ["shared"], programs }]);
    expect(heard[1]?.[0]?.programs).toHaveLength(8);
    expect(heard[2]).toBeUndefined();
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
});

test("workers of two machines have the same names: load is added up among the gateways of one machine alone", async () => {
  await using db = await testDatabase();
  const gateways = await Promise.all([gatewayOn(db, "one"), gatewayOn(db, "one"), gatewayOn(db, "two")]);
  const [a, b, elsewhere] = gateways;
  try {
    await Promise.all(gateways.map(({ carrier }) => carrier.ready));
    for (const { tell } of gateways) tell();
    await until(() => gateways.every(({ heard }) => heard.length > 0));
    a.view.open("worker-0", 0, 900, 1000, performance.now());
    const before = elsewhere.heard.length;
    for (let told = 0; told < 20; told++) a.tell();
    await until(() => b.view.of("worker-0", 0).inFlight === 1 && elsewhere.heard.length > before);
    expect(elsewhere.view.of("worker-0", 0).inFlight).toBe(0);
  } finally {
    await Promise.all(gateways.map(({ close }) => close()));
  }
});

test("a gateway that is alone says little; a connection that breaks is made again", async () => {
  await using db = await testDatabase();
  const [a, b] = await Promise.all([gatewayOn(db), gatewayOn(db)]);
  try {
    await Promise.all([a.carrier.ready, b.carrier.ready]);
    // No other process was heard, so of ten messages in a row only the first is sent.
    for (let told = 0; told < 10; told++) a.tell();
    await until(() => b.heard.length > 0);
    await db.query("select 1");
    expect(b.heard).toHaveLength(1);

    await db.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name = 'lineshaft session' and datname = current_database()`,
    );
    const listens = async () => {
      const { rows } = await db.query<{ count: bigint }>(
        `select count(*) as count from pg_stat_activity
         where application_name = 'lineshaft session' and datname = current_database()`,
      );
      return Number(rows[0]!.count);
    };
    await expect.poll(listens).toBeGreaterThanOrEqual(2);
    const before = a.heard.length;
    await until(() => {
      b.tell();
      return a.heard.length > before;
    });
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
});

test("a message is as old when it is heard as own messages are when they come back", async () => {
  await using db = await testDatabase();
  const [a, b] = await Promise.all([gatewayOn(db), gatewayOn(db)]);
  try {
    await Promise.all([a.carrier.ready, b.carrier.ready]);
    const told = { gateway: a.carrier.gateway, sequence: 0, kind: "total" as const, deltas: [] };
    a.carrier.publish({ ...told, atMs: performance.now() - 60_000 });
    await until(() => {
      b.tell();
      return a.heard.some(({ atMs }) => atMs < performance.now() - 60_000);
    });
    // The clock of another process decides nothing.
    b.carrier.publish({ ...told, gateway: b.carrier.gateway, atMs: 1e12 });
    b.tell();
    await until(() => a.heard.length > 2);
    expect(a.heard.every(({ atMs }) => atMs < performance.now())).toBe(true);
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
});
