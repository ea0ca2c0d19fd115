// A tenant for tests: an organisation, a project and an owner's key, as rows.
import { randomBytes } from "node:crypto";
import { newId, type Database } from "../../store/index.ts";

export interface Tenant {
  organisation: string;
  project: string;
  key: string;
  currency: string;
}

export async function makeTenant(db: Database): Promise<Tenant> {
  const tenant = { organisation: newId("org"), project: newId("prj"), key: newId("key"), currency: "USD" };
  await db.query("insert into organisations (id, name, currency) values ($1, $1, 'USD')", [tenant.organisation]);
  await db.query("insert into projects (id, organisation, name) values ($1, $2, 'main')", [
    tenant.project,
    tenant.organisation,
  ]);
  await db.query(
    "insert into keys (id, organisation, project, name, role, secret_hmac) values ($1, $2, $3, 'test', 'owner', $4)",
    [tenant.key, tenant.organisation, tenant.project, randomBytes(32)],
  );
  return tenant;
}
