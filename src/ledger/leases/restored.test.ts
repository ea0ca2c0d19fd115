// After a restore no process of before may take or give money, and what it had out is in suspense by name.
import { expect, test } from "vitest";
import { asOwner, testDatabase } from "../../store/testing.ts";
import { fenceRestored, incarnationOf } from "./restored.ts";

test("every epoch is fenced, numbers go on beyond any of the other life, and a second restore gives others", async () => {
  await using db = await testDatabase();
  await db.query("select begin_epoch(1, 'here', 'spool_1')");
  await db.query("select begin_epoch(2, 'here', 'spool_2')");
  expect(await incarnationOf(db)).toBe(1n);
  await using owner = asOwner(db);
  const first = await fenceRestored(owner);
  expect(first.incarnation).toBeGreaterThan(1_700_000_000n);
  expect(await incarnationOf(db)).toBe(first.incarnation);
  const { rows: epochs } = await db.query<{ epoch: string }>(
    "select id || ' ' || state as epoch from epochs order by id",
  );
  expect(epochs.map(({ epoch }) => epoch)).toEqual(["1 fenced", "2 fenced"]);
  await expect(db.query("select require_live(1)")).rejects.toMatchObject({ code: "LS001" });
  // An epoch that only the other life had.
  await expect(db.query("select require_live(3)")).rejects.toMatchObject({ code: "LS001" });
  const { rows: begun } = await db.query<{ epoch: bigint; incarnation: bigint }>(
    "select * from begin_epoch(3, 'here', 'spool_3')",
  );
  expect(begun[0]!.epoch).toBeGreaterThan(1_700_000_000_000n);
  expect(begun[0]!.incarnation).toBe(first.incarnation);
  expect((await fenceRestored(owner)).incarnation).toBeGreaterThan(first.incarnation);
});
