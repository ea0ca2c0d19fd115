// Limits on a real Postgres: what several processes admit together, how a call is refused, what waits, and what is left behind by
// processes that end.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { LineshaftError } from "../../errors/index.ts";
import { Session, type Database } from "../../store/index.ts";
import { asOwner, testDatabase } from "../../store/testing.ts";
import { Identity } from "../identity/identity.ts";
import { listLimits, removeLimit, setLimit } from "./definitions.ts";
import { durationText } from "./headers.ts";
import { Limiter, type Use } from "./limiter.ts";
import { Share } from "./share.ts";
import { Central } from "./testing/central.ts";
import { windows, type Dimension, type LimitScope, type ShareItem } from "./types.ts";

const timeout = 60_000;

async function tenant(db: Database) {
  const identity = new Identity({ db, secret: Buffer.alloc(32, 1) });
  const { organisation, project } = await identity.ensureTenant({ organisation: "o", project: "p", currency: "EUR" });
  return { organisation: organisation.id, project: project.id, key: "key_1" };
}

/** A tenant whose key has one limit. */
async function limitedKey(db: Database, dimension: Dimension, amount: number) {
  const of = await tenant(db);
  await setLimit(db, { ...of, scope: { kind: "key", id: of.key, model: undefined }, dimension, amount });
  return of;
}

const useOf = (of: Pick<Use, "organisation" | "project" | "key">, more: Partial<Use> = {}): Use => ({
  ...of,
  model: "m",
  promptTokens: 10,
  bytes: 100,
  signal: new AbortController().signal,
  ...more,
});

/** A process of its own, as far as the limits can tell. */
async function gateway(db: Database, clock: { now: number }) {
  const session = await Session.open({ url: db.url });
  const limiter = await Limiter.open({ db, session, now: () => clock.now });
  return {
    limiter,
    session,
    async [Symbol.asyncDispose]() {
      await limiter.close();
      await session.close();
    },
  };
}

const code = async (work: () => unknown): Promise<LineshaftError | undefined> => {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error as LineshaftError;
  }
};

/** A call whose prompt is counted. */
async function prompted({ limiter }: { limiter: Limiter }, use: Use) {
  const counted = await limiter.begin(use);
  await counted.prompt(use.promptTokens);
  return counted;
}

/** Waits for what a notification brings about. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
}

test("the model of the database in the simulation answers as the database does", { timeout }, async () => {
  await using db = await testDatabase();
  const of = await tenant(db);
  const scope: LimitScope = { kind: "key", id: of.key, model: undefined };
  const { number } = await setLimit(db, { ...of, scope, dimension: "requests_per_minute", amount: 40 });
  let state = 7;
  const below = (most: number) => (state = (state * 48_271) % 2_147_483_647) % most;
  // One transaction has one time, for all of its statements.
  await db.transaction(async (client) => {
    const central = new Central(40, () => {});
    for (let turn = 1; turn <= 400; turn++) {
      const used = below(14);
      const moved = below(4) === 0 ? [{ slot: turn, amount: 1 + below(2), forMs: 60_000 * below(2) }] : [];
      const least = below(2) * below(12);
      const item: ShareItem = { number, used, kept: used + below(10), least, want: least + below(10), moved };
      const process = 1 + below(4);
      const late = below(10) === 0 ? 1 : turn;
      const { rows } = await client.query("select * from sync_limit_shares($1, $2, $3)", [
        process,
        late,
        JSON.stringify([item]),
      ]);
      const [row] = rows as Record<string, unknown>[];
      const answer =
        row &&
        Object.fromEntries(
          Object.entries(row).map(([name, value]) => [name, typeof value === "bigint" ? Number(value) : value]),
        );
      expect(answer).toEqual(central.sync(process, late, item, 0));
    }
  });
});

test(
  "several processes together admit exactly the limit, and refuse with its name and the time",
  { timeout },
  async () => {
    await using db = await testDatabase();
    const of = await limitedKey(db, "requests_per_minute", 50);
    const clock = { now: 0 };
    await using one = await gateway(db, clock);
    await using two = await gateway(db, clock);
    let admitted = 0;
    let refusal: LineshaftError | undefined;
    // A call is refused too where the other process does not return what it has left within a moment, so more calls come until it has.
    for (let call = 0; call < 120 || admitted < 50 || !refusal; call++) {
      refusal = await code(() => [one, two][call % 2]!.limiter.begin(useOf(of)));
      if (!refusal) admitted++;
      clock.now += 10;
    }
    expect(admitted).toBe(50);
    expect(refusal).toMatchObject({ status: 429, code: "rate_limit_exceeded" });
    expect(refusal!.message).toMatch(/limit of key key_1 \(lim_\w+\) is 50 requests in a minute/);
    expect(refusal!.retryAfterSeconds).toBeLessThanOrEqual(61);
    expect(refusal!.headers).toMatchObject({
      "x-ratelimit-limit-requests": "50",
      "x-ratelimit-remaining-requests": "0",
    });
    // The window has passed: all of it is there again, at either process.
    clock.now += 62_000;
    const counted = await one.limiter.begin(useOf(of));
    expect(counted.headers()).toMatchObject({ "anthropic-ratelimit-requests-limit": "50" });
  },
);

test(
  "a call counts on all limits of its scopes or on none; other models, keys and projects are not counted",
  { timeout },
  async () => {
    await using db = await testDatabase();
    const of = await tenant(db);
    const set = (scope: LimitScope, amount: number, dimension: Dimension = "requests_per_minute") =>
      setLimit(db, { ...of, scope, dimension, amount });
    await set({ kind: "key", id: of.key, model: "m" }, 2);
    await set({ kind: "project", id: of.project, model: undefined }, 4);
    await set({ kind: "organisation", id: of.organisation, model: "m" }, 100);
    const clock = { now: 0 };
    await using one = await gateway(db, clock);
    const begin = (more: Partial<Use>) => code(() => one.limiter.begin(useOf(of, more)));
    expect(await begin({})).toBeUndefined();
    expect(await begin({})).toBeUndefined();
    // Refused by the key's limit for the model, so the project's is not touched.
    for (let times = 0; times < 5; times++) {
      expect(await begin({})).toMatchObject({ code: "rate_limit_exceeded" });
      clock.now += 200;
    }
    expect(await begin({ model: "other" })).toBeUndefined();
    expect(await begin({ key: "key_2" })).toBeUndefined();
    expect((await begin({ key: "key_2" }))!.message).toContain("limit of project");
    expect(await begin({ project: "another", key: "key_3" })).toBeUndefined();
  },
);

test(
  "tokens count by the prompt, then by the output as it comes; an answer is never refused, the next call is",
  { timeout },
  async () => {
    await using db = await testDatabase();
    const of = await limitedKey(db, "tokens_per_minute", 100);
    const clock = { now: 0 };
    await using one = await gateway(db, clock);
    expect(await code(() => prompted(one, useOf(of, { promptTokens: 101 })))).toMatchObject({
      code: "call_over_limit",
    });
    const long = await prompted(one, useOf(of, { promptTokens: 60 }));
    const unserved = await prompted(one, useOf(of, { promptTokens: 40 }));
    unserved.end(0);
    long.output(30);
    const next = () => code(() => prompted(one, useOf(of, { promptTokens: 10 })));
    expect(await next()).toBeUndefined();
    clock.now += 200;
    long.output(500);
    expect(await next()).toMatchObject({ code: "rate_limit_exceeded" });
    // The engine counted 30 tokens for the prompt that was estimated as 60.
    long.end(60);
    clock.now += 200;
    expect(await next()).toBeUndefined();
  },
);

test(
  "a prompt that is refused once its tokens are counted counts against nothing, and a used-up limit refuses before that",
  { timeout },
  async () => {
    await using db = await testDatabase();
    const of = await tenant(db);
    const scope = { kind: "key", id: of.key, model: undefined } as const;
    const tokens = await setLimit(db, { ...of, scope, dimension: "tokens_per_minute", amount: 100 });
    const requests = await setLimit(db, { ...of, scope, dimension: "requests_per_minute", amount: 10 });
    const atOnce = await setLimit(db, { ...of, scope, dimension: "concurrent_calls", amount: 1 });
    const clock = { now: 0 };
    await using one = await gateway(db, clock);
    const numbers = [tokens.number, requests.number, atOnce.number];
    const used = async () => [...(await one.limiter.usedOf(numbers)).values()];
    const first = await prompted(one, useOf(of, { promptTokens: 60 }));
    first.end(60);
    expect(await used()).toEqual([60, 1, 0]);
    const second = await one.limiter.begin(useOf(of, { promptTokens: 41 }));
    expect(await used()).toEqual([61, 2, 1]);
    const waiting = one.limiter.begin(useOf(of));
    expect(await code(() => second.prompt(41))).toMatchObject({ code: "rate_limit_exceeded" });
    second.end(0);
    // The place of the refused call is free again.
    const third = await waiting;
    expect(await used()).toEqual([61, 2, 1]);
    expect(await code(() => third.prompt(101))).toMatchObject({ code: "call_over_limit" });
    clock.now += 200;
    const fourth = await prompted(one, useOf(of, { promptTokens: 40 }));
    expect(await used()).toEqual([100, 2, 1]);
    fourth.end(40);
    clock.now += 200;
    const error = await code(() => one.limiter.begin(useOf(of, { promptTokens: 40 })));
    expect(error).toMatchObject({ code: "rate_limit_exceeded" });
    expect(error!.message).toContain("0 left, 40 needed");
    expect(await used()).toEqual([100, 2, 0]);
  },
);

test(
  "calls at once: a further call waits for one of them in the order of arrival, and is given up by its client",
  { timeout },
  async () => {
    await using db = await testDatabase();
    const of = await tenant(db);
    await setLimit(db, {
      ...of,
      scope: { kind: "project", id: of.project, model: undefined },
      dimension: "concurrent_calls",
      amount: 2,
    });
    const clock = { now: 0 };
    await using one = await gateway(db, clock);
    const [first, second] = [await one.limiter.begin(useOf(of)), await one.limiter.begin(useOf(of))];
    const order: string[] = [];
    const third = Promise.resolve(one.limiter.begin(useOf(of))).then((counted) => (order.push("third"), counted));
    const leaves = new AbortController();
    const gone = code(() => one.limiter.begin(useOf(of, { signal: leaves.signal })));
    const fourth = Promise.resolve(one.limiter.begin(useOf(of))).then((counted) => (order.push("fourth"), counted));
    leaves.abort(new Error("gone"));
    expect(await gone).toMatchObject({ message: "gone" });
    first.end(1);
    const counted = await third;
    expect(order).toEqual(["third"]);
    second.end(1);
    await fourth;
    // Ten seconds after it began to wait a call is refused, whenever that was.
    const late = code(() => one.limiter.begin(useOf(of)));
    let refused: Awaited<typeof late>;
    do {
      clock.now += 10_001;
      refused = await Promise.race([
        late,
        new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 10)),
      ]);
    } while (refused === undefined);
    expect(refused).toMatchObject({ status: 429, code: "rate_limit_exceeded", retryAfterSeconds: 1 });
    counted.end(1);
  },
);

test(
  "a call that waits for its project's limit stops no call of another project, although it waited for the organisation's before",
  { timeout },
  async () => {
    await using db = await testDatabase();
    const of = await tenant(db);
    const ofOrganisation: LimitScope = { kind: "organisation", id: of.organisation, model: undefined };
    const ofProject: LimitScope = { kind: "project", id: of.project, model: undefined };
    await setLimit(db, { ...of, scope: ofOrganisation, dimension: "concurrent_calls", amount: 16 });
    await setLimit(db, { ...of, scope: ofProject, dimension: "concurrent_calls", amount: 2 });
    await using one = await gateway(db, { now: 0 });
    const begin = (project: string) => Promise.resolve(one.limiter.begin(useOf({ ...of, project })));
    const running = [await begin(of.project), await begin(of.project)];
    const others = await Promise.all(Array.from({ length: 14 }, () => begin("another")));
    // Sixteen calls are under way, so these wait for the organisation's limit first.
    const third = begin(of.project);
    const fourth = begin(of.project);
    others.pop()!.end(1);
    others.pop()!.end(1);
    await Promise.all([begin("another"), begin("another")]);
    running.pop()!.end(1);
    (await third).end(1);
    await fourth;
  },
);

test(
  "calls that each need several limits all get their turn, whatever the order in which they are short of them",
  { timeout },
  async () => {
    await using db = await testDatabase();
    const of = await tenant(db);
    const projects = ["p1", "p2", "p3"];
    const models = ["m1", "m2", "m3"];
    const set = (scope: LimitScope, dimension: Dimension, amount: number) =>
      setLimit(db, { ...of, scope, dimension, amount });
    for (const id of projects) await set({ kind: "project", id, model: undefined }, "concurrent_calls", 2);
    for (const model of models) await set({ kind: "organisation", id: of.organisation, model }, "concurrent_calls", 2);
    await set({ kind: "organisation", id: of.organisation, model: undefined }, "bytes_in_flight", 600);
    const clock = { now: 0 };
    await using one = await gateway(db, clock);
    let state = 11;
    const oneOf = <T>(all: readonly T[]): T => all[(state = (state * 48_271) % 2_147_483_647) % all.length]!;
    const client = async () => {
      for (let call = 0; call < 12; call++) {
        const more = { project: oneOf(projects), model: oneOf(models), bytes: oneOf([10, 100, 500]) };
        const counted = await one.limiter.begin(useOf(of, more));
        await new Promise((resolve) => setImmediate(resolve));
        counted.end(1);
        clock.now++;
      }
    };
    await Promise.all(Array.from({ length: 24 }, () => client()));
  },
);

test("two processes whose calls each need most of a limit do not keep each other waiting", { timeout }, async () => {
  await using db = await testDatabase();
  const of = await tenant(db);
  const scope: LimitScope = { kind: "organisation", id: of.organisation, model: undefined };
  await setLimit(db, { ...of, scope, dimension: "bytes_in_flight", amount: 600 });
  const clock = { now: 0 };
  await using one = await gateway(db, clock);
  await using two = await gateway(db, clock);
  const large = (at: typeof one) => Promise.resolve(at.limiter.begin(useOf(of, { bytes: 500 })));
  await using third = await gateway(db, clock);
  const first = await large(third);
  // Both have nothing and ask again and again.
  const waiting = [large(one), large(two)].map((call) => call.then((counted) => counted.end(1)));
  const owner = asOwner(db);
  const asks = async () => (await owner.query("select from limit_shares where waits_at is not null")).rowCount;
  await until(async () => (await asks()) === 2);
  await owner.close();
  first.end(1);
  await Promise.all(waiting);
});

test(
  "what is used is this process's use as it is, others' as they told it last, and what ended processes had used",
  { timeout },
  async () => {
    await using db = await testDatabase();
    const of = await tenant(db);
    const scope = { kind: "key", id: of.key, model: undefined } as const;
    const requests = await setLimit(db, { ...of, scope, dimension: "requests_per_minute", amount: 100 });
    const tokens = await setLimit(db, { ...of, scope, dimension: "tokens_per_day", amount: 100_000 });
    const atOnce = await setLimit(db, { ...of, scope, dimension: "concurrent_calls", amount: 50 });
    const numbers = [requests.number, tokens.number, atOnce.number, 999];
    const clock = { now: 0 };
    await using one = await gateway(db, clock);
    const two = await gateway(db, clock);
    const usedAt = async (at: typeof one) => {
      const used = await at.limiter.usedOf(numbers);
      return numbers.map((number) => used.get(number));
    };
    expect(await usedAt(one)).toEqual([0, 0, 0, 0]);
    const call = await prompted(one, useOf(of));
    await prompted(one, useOf(of));
    // Output counts as it comes.
    call.output(500);
    expect(await usedAt(one)).toEqual([2, 520, 2, 0]);
    // The other process hears it within five seconds and a tick, without a call that asks the database.
    await until(async () => {
      clock.now = Math.min(clock.now + 250, 6_000);
      return (await usedAt(two)).join() === "2,520,2,0";
    });
    call.end(510);
    await prompted(two, useOf(of));
    expect((await usedAt(two)).slice(0, 1)).toEqual([3]);
    await two[Symbol.asyncDispose]();
    // The use of a process that has ended counts on; its calls are no longer under way.
    expect(await usedAt(one)).toEqual([3, 530, 1, 0]);
    // Use leaves its window by the clock alone.
    clock.now += 62_000;
    const [ofMinute, ofDay] = await usedAt(one);
    expect([ofMinute, ofDay]).toEqual([1, 530]);
  },
);

test("a limit that is set, lowered and removed holds in every process at once", { timeout }, async () => {
  await using db = await testDatabase();
  const of = await tenant(db);
  const clock = { now: 0 };
  await using one = await gateway(db, clock);
  await using two = await gateway(db, clock);
  const begin = (at: typeof one) => code(() => at.limiter.begin(useOf(of)));
  for (let call = 0; call < 5; call++) expect(await begin(one)).toBeUndefined();
  const limit = {
    ...of,
    scope: { kind: "key", id: of.key, model: undefined } as const,
    dimension: "requests_per_minute" as const,
  };
  const { id } = await setLimit(db, { ...limit, amount: 10 });
  await until(async () => (await one.limiter.begin(useOf(of))).headers()["x-ratelimit-limit-requests"] === "10");
  await setLimit(db, { ...limit, amount: 0 });
  for (const at of [one, two]) await until(async () => (await begin(at))?.code === "call_over_limit");
  expect(await listLimits(db, of.organisation, { limit: 10 })).toMatchObject([{ id, amount: 0 }]);
  expect(await removeLimit(db, of.organisation, id)).toBeTypeOf("number");
  expect(await removeLimit(db, of.organisation, id)).toBeUndefined();
  for (const at of [one, two]) await until(async () => (await begin(at)) === undefined);
});

test(
  "a new limit holds although the statement that should have read it failed, and although its notification was lost",
  { timeout },
  async () => {
    await using db = await testDatabase();
    const of = await tenant(db);
    const clock = { now: 0 };
    const session = await Session.open({ url: db.url });
    let failing = false;
    let failed = 0;
    const query = ((...asked: Parameters<Database["query"]>) =>
      failing && asked[0].includes("from usage_limits")
        ? Promise.reject(new LineshaftError({ code: "store_unavailable", message: `away ${++failed}` }))
        : db.query(...asked)) as Database["query"];
    const limiter = await Limiter.open({ db: { query } as Database, session, now: () => clock.now });
    // The channel of this one is silent.
    const deaf = await Limiter.open({
      db,
      session: { processId: session.processId + 1, listen: () => Promise.resolve(() => {}) },
      now: () => clock.now,
    });
    failing = true;
    const scope = { kind: "key", id: of.key, model: undefined } as const;
    await setLimit(db, { ...of, scope, dimension: "requests_per_minute", amount: 0 });
    await until(() => failed > 0);
    expect(await code(() => limiter.begin(useOf(of)))).toBeUndefined();
    failing = false;
    const isRefused = async (at: Limiter) => (await code(() => at.begin(useOf(of))))?.code === "call_over_limit";
    await until(() => isRefused(limiter));
    expect(await isRefused(deaf)).toBe(false);
    clock.now += 30_000;
    await until(() => isRefused(deaf));
    await limiter.close();
    await deaf.close();
    await session.close();
  },
);

test(
  "what a process used counts on after its end, orderly or not, and is free when its window has passed",
  { timeout },
  async () => {
    await using db = await testDatabase();
    const of = await tenant(db);
    for (const dimension of ["requests_per_minute", "concurrent_calls"] as const)
      await setLimit(db, { ...of, scope: { kind: "key", id: of.key, model: undefined }, dimension, amount: 10 });
    const clock = { now: 0 };
    const ended = await gateway(db, clock);
    for (let call = 0; call < 4; call++) await ended.limiter.begin(useOf(of));
    await ended[Symbol.asyncDispose]();
    // The clock of what is killed stands, so that it does nothing more.
    const killed = await gateway(db, { now: 0 });
    for (let call = 0; call < 3; call++) await killed.limiter.begin(useOf(of));
    // Its session ends as at a crash, and nothing is returned. Five seconds of a free lock are made to have passed.
    await killed.session.close();
    const owner = asOwner(db);
    await using one = await gateway(db, clock);
    const looks = (holds: () => Promise<boolean>) =>
      until(async () => {
        clock.now += 3_000;
        return holds();
      });
    await looks(async () => (await owner.query("select from limit_shares where gone_at is not null")).rowCount === 2);
    await owner.query("update limit_shares set gone_at = gone_at - interval '6 seconds' where gone_at is not null");
    await looks(async () => (await owner.query("select from limit_shares")).rowCount === 0);
    // 4 and at least 3 of the minute's 10 are used; nothing is under way.
    const { rows } = await owner.query<{ sum: string }>("select sum(amount) from limit_counted");
    expect(Number(rows[0]!.sum)).toBeGreaterThanOrEqual(7);
    let admitted = 0;
    while ((await code(() => one.limiter.begin(useOf(of)))) === undefined) admitted++;
    expect(admitted).toBeLessThanOrEqual(3);
    await owner.query("update limit_counted set until = now()");
    clock.now += 500;
    expect(await code(() => one.limiter.begin(useOf(of)))).toBeUndefined();
    await owner.close();
  },
);

test(
  "while the database is away a process goes on within its share, and refuses beyond it with a retryable error",
  { timeout },
  async () => {
    await using db = await testDatabase();
    const of = await limitedKey(db, "requests_per_minute", 20);
    const clock = { now: 0 };
    const session = await Session.open({ url: db.url });
    let away = false;
    const query = ((...asked: Parameters<Database["query"]>) =>
      away
        ? Promise.reject(new LineshaftError({ code: "store_unavailable", message: "away" }))
        : db.query(...asked)) as Database["query"];
    const limiter = await Limiter.open({ db: { query } as Database, session, now: () => clock.now });
    for (let call = 0; call < 12; call++) {
      await limiter.begin(useOf(of));
      clock.now += 100;
    }
    away = true;
    let more = 0;
    let failure: LineshaftError | undefined;
    while (!failure) {
      failure = await code(() => limiter.begin(useOf(of)));
      if (!failure) more++;
    }
    expect(12 + more).toBeLessThanOrEqual(20);
    expect(failure).toMatchObject({ status: 503, code: "store_unavailable" });
    // A minute later the same share serves again, still without the database.
    clock.now += 62_000;
    expect(await code(() => limiter.begin(useOf(of)))).toBeUndefined();
    away = false;
    await limiter.close();
    await session.close();
  },
);

test.each([
  ["requests_per_minute", 300, 0],
  ["concurrent_calls", 7, 3],
] as const)(
  "three processes that hammer a limit of %s never pass it and use all of it",
  { timeout },
  async (dimension, amount, holdMs) => {
    await using db = await testDatabase();
    const of = await limitedKey(db, dimension, amount);
    const script = join(import.meta.dirname, "testing/hammer.ts");
    const run = promisify(execFile);
    const outputs = await Promise.all(
      [1, 2, 3].map(() =>
        run(process.execPath, [script, db.url, of.organisation, of.project, of.key, "400", String(holdMs)], {
          maxBuffer: 1e8,
        }),
      ),
    );
    const calls = outputs.flatMap(({ stdout }) => (JSON.parse(stdout) as { calls: [number, number][] }).calls);
    if (dimension === "requests_per_minute") {
      const starts = calls.map(([began]) => began).toSorted((a, b) => a - b);
      const mostInWindow = Math.max(
        ...starts.map((from, place) => starts.findLastIndex((at) => at < from + 60_000) - place + 1),
      );
      expect(mostInWindow).toBe(amount);
    } else {
      const moments = calls.flatMap(
        ([began, ended]) =>
          [
            [began, 1],
            [ended, -1],
          ] as [number, number][],
      );
      let now = 0;
      let most = 0;
      for (const [, change] of moments.toSorted((a, b) => a[0] - b[0] || a[1] - b[1]))
        most = Math.max(most, (now += change));
      expect(most).toBe(amount);
      expect(calls).toHaveLength(1_200);
    }
  },
);

test("durations are written as OpenAI writes them", () => {
  expect([20, 1_500, 59_950, 360_000, 86_340_000].map(durationText)).toEqual([
    "20ms",
    "1.5s",
    "60s",
    "6m0s",
    "23h59m0s",
  ]);
});

test("a share is empty when nothing is held and nothing was used", () => {
  expect(new Share(1, 10, windows.concurrent_calls).isEmpty).toBe(true);
});
