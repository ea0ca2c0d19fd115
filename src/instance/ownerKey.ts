// Owner keys: the first start makes one and writes it down, and the keeper of a home without one can have another by way of the database.
import { LineshaftError } from "../errors/index.ts";
import type { Home, MainRecord } from "../fleet/index.ts";
import { Identity } from "../governance/index.ts";
import { Database, runtimeRole, urlAs } from "../store/index.ts";
import { firstTenant } from "./settings.ts";

/** An owner key is shown by the start that made it. Later starts say that it is kept in the credentials file, or that it is not there. */
export type OwnerKey = { state: "new"; secret: string } | { state: "kept" } | { state: "gone" };

/** The first start makes the owner key and writes it down. Later starts keep the address in the file up to date. */
export async function ownerKey(
  home: Home,
  identity: Identity,
  tenant: { organisation: string; project: string },
  address: string,
): Promise<OwnerKey> {
  const isFirstStart = (await identity.listKeys(tenant.organisation)).length === 0;
  if (isFirstStart) {
    const { secret } = await identity.createKey({ ...tenant, name: "owner", role: "owner" });
    home.writeCredentials({ address, key: secret });
    return { state: "new", secret };
  }
  const kept = home.credentials();
  if (!kept) return { state: "gone" };
  home.writeCredentials({ address, key: kept.key });
  return { state: "kept" };
}

/** Makes an owner key by way of the database, for a home that has lost every key. Throws LineshaftError where the database is not known. */
export async function createOwnerKeyLocally(home: Home, main: MainRecord, name: string, env: NodeJS.ProcessEnv) {
  const secrets = home.secrets();
  const url =
    env["DATABASE_URL"] ||
    (main.postgresPort &&
      urlAs(`postgres://127.0.0.1:${main.postgresPort}`, runtimeRole, secrets.postgresRuntimePassword));
  if (!url)
    throw new LineshaftError({
      code: "database_unknown",
      message: "No key can be made: the database is not known here.",
      why: "This instance keeps its data in a Postgres of its own choice (DATABASE_URL).",
      hint: "Set DATABASE_URL as it was set for `npm start`, then try again.",
    });
  const db = new Database(url, { connections: 1 });
  try {
    const identity = new Identity({ db, secret: Buffer.from(secrets.keyHmac, "hex") });
    const { organisation, project } = await identity.ensureTenant({ ...firstTenant, currency: "USD" });
    const { key, secret } = await identity.createKey({
      organisation: organisation.id,
      project: project.id,
      name,
      role: "owner",
    });
    const { id, role, createdAt } = key;
    return { id, name, role, project: project.id, created_at: createdAt.toISOString(), revoked_at: null, secret };
  } finally {
    await db.close();
  }
}
