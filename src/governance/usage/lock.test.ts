// Two processes ask for shares of one limit at the same moment. A limit's lock lets one statement after the other read and grant, so that
// both together get no more than the limit. The second test takes the lock away, to show that the first would see it.
import { expect, test } from "vitest";
import { asOwner, testDatabase } from "../../store/testing.ts";
import { Database } from "../../store/index.ts";
import { Identity } from "../identity/identity.ts";
import { setLimit } from "./definitions.ts";

interface Asker {
  query(sql: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

async function limited(db: Database, dimension: "requests_per_minute" | "tokens_per_day", amount: number) {
  const identity = new Identity({ db, secret: Buffer.alloc(32, 1) });
  const { organisation, project } = await identity.ensureTenant({ organisation: "o", project: "p", currency: "EUR" });
  const scope = { kind: "project", id: project.id, model: undefined } as const;
  return (await setLimit(db, { organisation: organisation.id, scope, dimension, amount })).number;
}

const asks = (number: number, least: number) =>
  JSON.stringify([{ number, used: 0, kept: 0, least, want: least, moved: [] }]);
const ask = async (client: Asker, process: number, items: string): Promise<number> => {
  const { rows } = await client.query("select units from sync_limit_shares($1, 1, $2)", [process, items]);
  return Number((rows[0] as { units: bigint }).units);
};

/** Units that each of two processes gets that ask for the whole limit, the second before the first's transaction has ended. */
async function race(db: Database, number: number, amount: number): Promise<number[]> {
  await using second = Object.assign(new Database(db.url, { connections: 1 }), {
    [Symbol.asyncDispose]: () => second.close(),
  });
  const { pid } = (await second.query<{ pid: number }>("select pg_backend_pid() as pid")).rows[0]!;
  let answered = false;
  let late: Promise<number>;
  const first = await db.transaction(async (client) => {
    const units = await ask(client, 1, asks(number, amount));
    late = ask(second, 2, asks(number, amount)).finally(() => (answered = true));
    // The first ends once the second waits for it, or has been answered without waiting.
    await expect
      .poll(async () => {
        const { rows } = await db.query("select from pg_locks where pid = $1 and not granted", [pid]);
        return answered || rows.length > 0;
      })
      .toBe(true);
    return units;
  });
  return [first, await late!];
}

test("the second gets nothing of what the first was granted", async () => {
  await using db = await testDatabase();
  const number = await limited(db, "requests_per_minute", 40);
  expect(await race(db, number, 40)).toEqual([40, 0]);
});

test("eight connections that ask and give back at once never hold more than the limit together", async () => {
  await using db = await testDatabase();
  const number = await limited(db, "tokens_per_day", 50);
  const most: number[] = [];
  const sumOfShares = async () => {
    const { rows } = await db.query<{ sum: bigint }>("select coalesce(sum(units), 0)::bigint as sum from limit_shares");
    most.push(Number(rows[0]!.sum));
  };
  await Promise.all(
    Array.from({ length: 8 }, async (_, place) => {
      const connection = new Database(db.url, { connections: 1 });
      let kept = 0;
      for (let turn = 1; turn <= 40; turn++) {
        const least = (place * 7 + turn * 5) % 30;
        const item = { number, used: kept, kept, least, want: least, moved: [] };
        const { rows } = await connection.query<{ units: bigint; refused: boolean }>(
          "select units, refused from sync_limit_shares($1, $2, $3)",
          [place + 1, turn, JSON.stringify([item])],
        );
        kept = rows[0]!.refused || turn % 3 === 0 ? 0 : Number(rows[0]!.units);
        await sumOfShares();
      }
      await connection.close();
    }),
  );
  expect(Math.max(...most)).toBeLessThanOrEqual(50);
  // The limit was contended: what was asked for was refused as well as granted.
  expect(Math.max(...most)).toBeGreaterThan(25);
});

test("without the limit's lock both get all of it, so the tests above would see its absence", async () => {
  await using db = await testDatabase();
  const number = await limited(db, "requests_per_minute", 40);
  await using owner = asOwner(db);
  const { rows } = await owner.query<{ source: string }>(
    "select pg_get_functiondef('sync_limit_shares'::regproc) as source",
  );
  const lock = "perform pg_advisory_xact_lock(40700005, item.number);";
  expect(rows[0]!.source).toContain(lock);
  await owner.query(rows[0]!.source.replace(lock, ""));
  expect(await race(db, number, 40)).toEqual([40, 40]);
});
