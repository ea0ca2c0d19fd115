// Makes an owner key by way of the database, for the keeper of the home who has lost every key.
import { Identity } from "../governance/index.ts";
import type { Home, MainRecord } from "../fleet/index.ts";
import { Database, runtimeRole, urlAs } from "../store/index.ts";
import { LineshaftError } from "../errors/index.ts";
import { firstTenant } from "./settings.ts";

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
