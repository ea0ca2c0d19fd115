// Whether a process lives, as its advisory lock in a real Postgres says.
import { expect, test } from "vitest";
import { processGone, processNamespace } from "./process.ts";
import { testDatabase } from "./testing.ts";

test.each([
  ["of this version", processNamespace],
  ["of the version before, whose runs had locks of their own", 1_279_870_290],
])("a process %s lives for as long as a session holds its lock", async (_which, namespace) => {
  await using db = await testDatabase();
  const gone = async () => {
    const { rows } = await db.query<{ gone: boolean }>(`select ${processGone("42")} as gone`);
    return rows[0]!.gone;
  };
  expect(await gone()).toBe(true);
  await db.transaction(async (client) => {
    await client.query("select pg_advisory_xact_lock($1, 42)", [namespace]);
    expect(await gone()).toBe(false);
  });
  expect(await gone()).toBe(true);
});
