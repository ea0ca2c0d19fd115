// Homes of earlier versions: what published agents used of the instance's secrets becomes their project's, once.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Identity, Secrets } from "../../governance/index.ts";
import { newId, putBlob, type Database } from "../../store/index.ts";
import { testDatabase } from "../../store/testing.ts";
import { carrySecrets } from "./carriedSecrets.ts";

const folder = mkdtempSync(join(tmpdir(), "lineshaft-secrets-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function world() {
  const db = await testDatabase();
  const identity = new Identity({ db, secret: Buffer.alloc(32, 1) });
  const ours = await identity.ensureTenant({ organisation: "ours", project: "default", currency: "USD" });
  const theirs = await identity.ensureTenant({ organisation: "theirs", project: "default", currency: "USD" });
  const secrets = new Secrets({ db, key: Buffer.alloc(32, 2) });
  const carry = (env: NodeJS.ProcessEnv, files = folder) =>
    carrySecrets({ db, secrets, organisation: ours.organisation.id, env, folder: files });
  return { db, secrets, ours, theirs, carry, [Symbol.asyncDispose]: () => db[Symbol.asyncDispose]() };
}

async function publish(
  db: Database,
  tenant: { organisation: { id: string }; project: { id: string } },
  name: string,
  tools: { secret?: string; url: string }[],
) {
  const project = tenant.project.id;
  const ref = await putBlob(db, project, { manifest: {}, tools });
  const agent = newId("agt");
  await db.query(
    "insert into agents (id, organisation, project, name) values ($1, $2, $3, $4) on conflict (project, name) do nothing",
    [agent, tenant.organisation.id, project, name],
  );
  await db.query(
    `insert into agent_versions (id, agent, number, manifest_ref)
     select $1, a.id, 1 + (select count(*) from agent_versions v where v.agent = a.id), $2 from agents a where a.project = $3 and a.name = $4`,
    [newId("agv"), ref, project, name],
  );
}

test("a variable and a file become secrets of the project, for the hosts that the newest versions name", async () => {
  await using at = await world();
  const { db, ours, secrets, carry } = at;
  await publish(db, ours, "inspector", [{ secret: "plant", url: "http://evil.test:1/mcp" }]);
  await publish(db, ours, "inspector", [{ secret: "plant", url: "http://127.0.0.1:4077/mcp" }]);
  await publish(db, ours, "buyer", [
    { secret: "plant", url: "https://plant.example.com/mcp" },
    { secret: "shop-1", url: "http://shop.lan/mcp" },
    { url: "https://open.example.com/mcp" },
  ]);
  writeFileSync(join(folder, "shop-1"), "from-a-file\n");
  const carried = await carry({ LINESHAFT_SECRET_PLANT: "from-a-variable" });
  const project = ours.project.id;
  expect(carried.map(({ name, from, refused }) => [name, from, refused]).toSorted()).toEqual([
    ["plant", "LINESHAFT_SECRET_PLANT", undefined],
    ["shop-1", join(folder, "shop-1"), undefined],
  ]);
  expect(
    (await secrets.list(ours.organisation.id)).map(({ name, hosts, createdBy }) => [name, hosts, createdBy]),
  ).toEqual([
    ["plant", ["127.0.0.1:4077", "plant.example.com"], undefined],
    ["shop-1", ["http://shop.lan"], undefined],
  ]);
  expect(await secrets.reveal({ project, name: "plant" }, "http://127.0.0.1:4077/mcp")).toBe("from-a-variable");
  expect(await secrets.reveal({ project, name: "shop-1" }, "http://shop.lan/mcp")).toBe("from-a-file");
  await expect(secrets.reveal({ project, name: "plant" }, "http://evil.test:1/mcp")).rejects.toMatchObject({
    code: "secret_host_refused",
  });
});

test("once: neither a changed variable nor a secret that was removed is carried over again", async () => {
  await using at = await world();
  const { db, ours, secrets, carry } = at;
  await publish(db, ours, "inspector", [{ secret: "plant", url: "http://127.0.0.1:4077/mcp" }]);
  expect(await carry({ LINESHAFT_SECRET_PLANT: "first-value" })).toHaveLength(1);
  expect(await carry({ LINESHAFT_SECRET_PLANT: "other-value" })).toEqual([]);
  await secrets.remove({ project: ours.project.id, name: "plant" });
  expect(await carry({ LINESHAFT_SECRET_PLANT: "other-value" })).toEqual([]);
  expect(await secrets.list(ours.organisation.id)).toEqual([]);
});

test("not for another organisation, which never owned the instance's secret", async () => {
  await using at = await world();
  await publish(at.db, at.theirs, "thief", [{ secret: "plant", url: "http://evil.test:1/mcp" }]);
  const [one] = await at.carry({ LINESHAFT_SECRET_PLANT: "the-operators" });
  expect(one).toMatchObject({
    refused: expect.stringContaining("belonged to the instance"),
    hosts: ["http://evil.test:1"],
  });
  expect(await at.secrets.list(at.theirs.organisation.id)).toEqual([]);
});

test("nothing is looked at where the instance has no secrets", async () => {
  await using at = await world();
  await publish(at.db, at.ours, "inspector", [{ secret: "plant", url: "http://127.0.0.1:4077/mcp" }]);
  expect(await at.carry({}, join(folder, "absent"))).toEqual([]);
});
