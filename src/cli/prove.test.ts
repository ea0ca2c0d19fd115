// What `lineshaft prove --last` answers: a finding of an incremental proof counts until a later whole proof has looked at everything.
import { expect, test } from "vitest";
import { testCli } from "./testing.ts";

const status = { organisation: { currency: "EUR" } };
const standing = { complete_through: "2026-01-01T00:00:00.000Z", leased: [], suspense: [], suspense_count: 0 };
const proof = (kind: "whole" | "incremental", hour: number, found: number) => ({
  kind,
  began_at: `2026-01-01T0${hour}:00:00.000Z`,
  ended_at: `2026-01-01T0${hour}:00:01.000Z`,
  compared: { attempts: 1 },
  discrepancy_count: found,
  discrepancies: [],
});
const last = async (data: object[]) => {
  await using cli = await testCli(({ url }) => ({
    body: url.startsWith("/api/status") ? status : { data, standing },
  }));
  const { code, stdout } = await cli.run(["prove", "--last"]);
  return { code, stdout };
};

test("a finding of an incremental proof that a later whole proof has answered does not fail", async () => {
  const { code, stdout } = await last([proof("incremental", 2, 1), proof("whole", 3, 0)]);
  expect(code).toBe(0);
  expect(stdout).toContain("1 figures do not agree. A later proof of everything has answered it.");
});

test("a finding fails while no later whole proof has answered it", async () => {
  expect((await last([proof("incremental", 4, 1), proof("whole", 3, 0)])).code).toBe(1);
  expect((await last([proof("incremental", 4, 0), proof("whole", 3, 1)])).code).toBe(1);
  expect((await last([proof("incremental", 4, 1)])).code).toBe(1);
  expect((await last([])).code).toBe(0);
});
