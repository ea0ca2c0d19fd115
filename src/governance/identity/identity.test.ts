import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { StoreUnavailableError } from "../../store/index.ts";
import { testDatabase } from "../../store/testing.ts";
import { Identity } from "./identity.ts";
import { hmacOf, looksLikeSecret, newSecret } from "./keys.ts";

const secret = Buffer.alloc(32, 7);

async function setUp() {
  const db = await testDatabase();
  let now = 0;
  const identity = new Identity({ db, secret, now: () => now });
  const tenant = await identity.ensureTenant({ organisation: "acme", project: "ops", currency: "EUR" });
  const scope = { organisation: tenant.organisation.id, project: tenant.project.id };
  return {
    db,
    identity,
    tenant,
    scope,
    pass: (ms: number) => (now += ms),
    [Symbol.asyncDispose]: () => db[Symbol.asyncDispose](),
  };
}

describe("keys", () => {
  test("a key opens its own organisation and project, with its role and currency", async () => {
    await using world = await setUp();
    const { key, secret } = await world.identity.createKey({ ...world.scope, name: "ci", role: "member" });
    expect(await world.identity.authenticate(secret)).toEqual({
      kind: "key",
      key: key.id,
      organisation: world.scope.organisation,
      project: world.scope.project,
      role: "member",
      currency: "EUR",
    });
  });

  test("nothing in the database is the secret, or opens anything", async () => {
    await using world = await setUp();
    const { secret: shown } = await world.identity.createKey({ ...world.scope, name: "ci", role: "owner" });
    const { rows } = await world.db.query<{ row: string; hmac: string }>(
      "select keys::text as row, encode(secret_hmac, 'base64') as hmac from keys",
    );
    expect(rows[0]!.row).not.toContain(shown.slice(4));
    expect(await world.identity.authenticate(`lsk_${rows[0]!.hmac.slice(0, 43)}`)).toBeUndefined();
  });

  test.each(["", "lsk_", "sk-123", "lsk_' or 1=1 --", `lsk_${"a".repeat(43)}`, `lsk_${"a".repeat(44)}`])(
    "%j opens nothing",
    async (token) => {
      await using world = await setUp();
      expect(await world.identity.authenticate(token)).toBeUndefined();
    },
  );

  test("a key revoked here is dead at once, one revoked elsewhere within a second", async () => {
    await using world = await setUp();
    const elsewhere = new Identity({ db: world.db, secret });
    const here = await world.identity.createKey({ ...world.scope, name: "a", role: "owner" });
    const there = await world.identity.createKey({ ...world.scope, name: "b", role: "owner" });
    const ofHere = (await world.identity.authenticate(here.secret))!;
    const ofThere = (await world.identity.authenticate(there.secret))!;
    expect([ofHere, ofThere].map((principal) => world.identity.isConfirmed(principal))).toEqual([true, true]);
    await world.identity.revokeKey(world.scope.organisation, here.key.id);
    await elsewhere.revokeKey(world.scope.organisation, there.key.id);
    expect(await world.identity.authenticate(here.secret)).toBeUndefined();
    expect([ofHere, ofThere].map((principal) => world.identity.isConfirmed(principal))).toEqual([false, true]);
    world.pass(1001);
    expect(world.identity.isConfirmed(ofThere)).toBe(false);
    expect(await world.identity.authenticate(there.secret)).toBeUndefined();
  });

  test("a look-up that a revocation overtakes is not remembered", async () => {
    await using world = await setUp();
    const { key, secret: token } = await world.identity.createKey({ ...world.scope, name: "a", role: "owner" });
    const answered = Promise.withResolvers<void>();
    const heard = Promise.withResolvers<void>();
    const query = world.db.query.bind(world.db);
    vi.spyOn(world.db, "query").mockImplementation(async (text, values) => {
      const answer = await query(text, values);
      if (text.includes("secret_hmac = $1")) {
        answered.resolve();
        await heard.promise;
      }
      return answer as never;
    });
    const early = world.identity.authenticate(token);
    await answered.promise;
    await world.identity.revokeKey(world.scope.organisation, key.id);
    heard.resolve();
    expect(world.identity.isConfirmed((await early)!)).toBe(false);
    expect(await world.identity.authenticate(token)).toBeUndefined();
  });

  describe("while the database is away", () => {
    const away = () => Promise.reject(new StoreUnavailableError("away", { sent: false }));

    test("a key that was confirmed opens calls for the offline term, and one that was not opens none", async () => {
      await using world = await setUp();
      const { secret: token } = await world.identity.createKey({ ...world.scope, name: "a", role: "owner" });
      const { secret: other } = await world.identity.createKey({ ...world.scope, name: "b", role: "owner" });
      const principal = await world.identity.authenticate(token);
      vi.spyOn(world.db, "query").mockImplementation(away);
      world.pass(599_999);
      expect(await world.identity.authenticate(token)).toEqual(principal);
      await expect(world.identity.authenticate(other)).rejects.toThrow(StoreUnavailableError);
      world.pass(1);
      await expect(world.identity.authenticate(token)).rejects.toThrow(StoreUnavailableError);
    });

    test("a key that is known to be revoked opens nothing", async () => {
      await using world = await setUp();
      const elsewhere = new Identity({ db: world.db, secret });
      const { key, secret: token } = await world.identity.createKey({ ...world.scope, name: "a", role: "owner" });
      await world.identity.authenticate(token);
      const revoked = new Promise<void>((resolve) => world.identity.watch(key.id, resolve));
      await elsewhere.revokeKey(world.scope.organisation, key.id);
      await revoked;
      vi.spyOn(world.db, "query").mockImplementation(away);
      world.pass(1001);
      await expect(world.identity.authenticate(token)).rejects.toThrow(StoreUnavailableError);
    });

    test("guesses push no key out of memory", async () => {
      await using world = await setUp();
      const { secret: token } = await world.identity.createKey({ ...world.scope, name: "a", role: "owner" });
      await world.identity.authenticate(token);
      const query = vi.spyOn(world.db, "query").mockResolvedValue({ rows: [], rowCount: 0 } as never);
      for (let guess = 0; guess < 10_001; guess++) await world.identity.authenticate(newSecret());
      query.mockImplementation(away);
      expect(await world.identity.authenticate(token)).toBeDefined();
    });
  });

  test("a key of another organisation cannot be revoked", async () => {
    await using world = await setUp();
    const { key, secret } = await world.identity.createKey({ ...world.scope, name: "a", role: "owner" });
    expect(await world.identity.revokeKey("org_other", key.id)).toBeUndefined();
    expect(await world.identity.authenticate(secret)).toBeDefined();
  });

  test("no two tokens share an HMAC, and every new secret has the shape that is accepted", () => {
    const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        const [one, two] = [newSecret(Buffer.from(a)), newSecret(Buffer.from(b))];
        expect(looksLikeSecret(one)).toBe(true);
        expect(hmacOf(one, secret).equals(hmacOf(two, secret))).toBe(one === two);
      }),
    );
  });
});

test("a tenant is made once, and its currency stands", async () => {
  await using world = await setUp();
  const again = await world.identity.ensureTenant({ organisation: "acme", project: "ops", currency: "USD" });
  expect(again).toEqual(world.tenant);
  expect(again.organisation.currency).toBe("EUR");
});
