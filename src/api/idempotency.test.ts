// Creations that may be sent again, on a real Postgres: what is remembered of them, for how many, and by which process.
import type { Context } from "hono";
import { expect, test, vi } from "vitest";
import { Seal } from "../governance/index.ts";
import { Database, type Queryable } from "../store/index.ts";
import { asOwner, testDatabase } from "../store/testing.ts";
import type { ApiEnv } from "./helpers.ts";
import { idempotent } from "./idempotency.ts";
import { limits } from "./limits.ts";

const seal = new Seal(Buffer.alloc(32, 7));

async function organisations(db: Database, ...ids: string[]): Promise<void> {
  for (const id of ids) await db.query("insert into organisations (id, name, currency) values ($1, $1, 'USD')", [id]);
}

/** A creation by an owner of the organisation, with this Idempotency-Key. */
function create<Answer>(
  db: Database,
  [organisation, key]: [organisation: string, key: string],
  make: (client: Queryable) => Promise<Answer>,
  body: unknown = { name: key },
) {
  const request = { method: "POST", path: "/api/keys", header: () => key };
  const principal = { organisation, key: `key of ${organisation}` };
  const context = { req: request, var: { principal } } as unknown as Context<ApiEnv>;
  return idempotent({ db, seal }, context, body, make);
}

test("the same key at two processes at once creates one thing, and both are given it", async () => {
  await using db = await testDatabase();
  await organisations(db, "org_a");
  const other = new Database(db.url);
  const gate = Promise.withResolvers<void>();
  const made = vi.fn(async () => {
    await gate.promise;
    return { secret: made.mock.calls.length };
  });
  const first = create(db, ["org_a", "k"], made);
  await expect.poll(() => made.mock.calls.length).toBe(1);
  const second = create(other, ["org_a", "k"], made);
  await expect
    .poll(
      async () =>
        (await db.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"))
          .rowCount,
    )
    .toBe(1);
  gate.resolve();
  expect(await Promise.all([first, second])).toEqual([{ secret: 1 }, { secret: 1 }]);
  expect(made).toHaveBeenCalledTimes(1);
  await expect(create(other, ["org_a", "k"], made, { name: "another" })).rejects.toMatchObject({
    code: "idempotency_mismatch",
  });
  const { rows } = await db.query<{ sealed: Buffer }>("select sealed from creations");
  expect(rows.every(({ sealed }) => sealed.length > 0 && !sealed.includes("secret"))).toBe(true);
  await other.close();
});

test("a creation that failed made nothing, and is tried anew", async () => {
  await using db = await testDatabase();
  await organisations(db, "org_a");
  const half = async (client: Queryable) => {
    await client.query("insert into organisations (id, name, currency) values ('org_half', 'half', 'USD')");
    throw new Error("away");
  };
  await expect(create(db, ["org_a", "k"], half)).rejects.toThrow("away");
  expect((await db.query("select from organisations where id = 'org_half'")).rowCount).toBe(0);
  expect(await create(db, ["org_a", "k"], async () => "made")).toBe("made");
  expect(await create(db, ["org_a", "k"], async () => "again")).toBe("made");
});

test("creations of one organisation never push out those of another", async () => {
  await using db = await testDatabase();
  await organisations(db, "org_a", "org_b");
  await create(db, ["org_a", "first"], async () => "first");
  await create(db, ["org_b", "oldest"], async () => "oldest");
  // As many as are remembered, younger than the one above.
  const owner = asOwner(db);
  await owner.query(
    `insert into creations select 'org_b', sha256(n::text::bytea), '', '', now() from generate_series(1, $1) n`,
    [limits.creationsRemembered],
  );
  await owner.close();
  expect(await create(db, ["org_a", "first"], async () => "anew")).toBe("first");
  expect(await create(db, ["org_b", "oldest"], async () => "anew")).toBe("anew");
});

test("what is remembered for a day is forgotten then", async () => {
  await using db = await testDatabase();
  await organisations(db, "org_a");
  expect(await create(db, ["org_a", "k"], async () => "first")).toBe("first");
  await db.query("update creations set created_at = now() - make_interval(secs => $1)", [
    limits.creationRememberedMs / 1000 + 1,
  ]);
  expect(await create(db, ["org_a", "k"], async () => "second", { name: "other" })).toBe("second");
});
