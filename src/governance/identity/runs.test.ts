// The principal of a run: it acts for its key, and only while the key is in force and of the run's own project.
import { expect, test } from "vitest";
import { testDatabase } from "../../store/testing.ts";
import { Identity } from "./identity.ts";
import { principalOfRun } from "./runs.ts";

test("a run acts for the key that started it, until that key is revoked", async () => {
  await using db = await testDatabase();
  const identity = new Identity({ db, secret: Buffer.alloc(32, 1) });
  const tenant = await identity.ensureTenant({ organisation: "acme", project: "default", currency: "EUR" });
  const other = await identity.ensureTenant({ organisation: "acme", project: "other", currency: "EUR" });
  const where = { organisation: tenant.organisation.id, project: tenant.project.id };
  const { key, secret } = await identity.createKey({ ...where, name: "ci", role: "member" });
  const run = { id: "run_1", agent: "agt_1", key: key.id, ...where };
  const { kind: _kind, ...holder } = (await identity.authenticate(secret))!;
  expect(await principalOfRun(db, run)).toEqual({ kind: "run", act: { run: "run_1", agent: "agt_1" }, ...holder });
  for (const changed of [
    { key: null },
    { key: "key_none" },
    { project: other.project.id },
    { organisation: "org_other" },
  ])
    expect(await principalOfRun(db, { ...run, ...changed })).toBeUndefined();
  await identity.revokeKey(where.organisation, key.id);
  expect(await principalOfRun(db, run)).toBeUndefined();
});
