// What stands on the database: identity, secrets and the ledger, and the session whose lock says that this process lives.
import { Identity, Secrets } from "../governance/index.ts";
import type { Home, Supervisor } from "../fleet/index.ts";
import { createLedger, stuckAlarm } from "../ledger/index.ts";
import { Session } from "../store/index.ts";
import type { Alarms, Logger } from "../telemetry/index.ts";
import { startDatabase } from "./postgres.ts";
import { firstTenant, type Settings } from "./settings.ts";
import type { Undo } from "./undo.ts";

/** The database, and what must be in it before anything is served: the tenant and its books. */
export async function openBooks(
  { home, settings }: { home: Home; settings: Settings },
  supervisor: Supervisor,
  undo: Undo,
  { alarms, log }: { alarms: Alarms; log: Logger },
) {
  const { db, port } = await startDatabase(home, supervisor, settings);
  undo.add("database", () => db.close());
  const session = await Session.open({
    url: db.url,
    watcher: {
      lost: (reason) => log.warn({ reason }, "the lock that says that this process lives is lost; it is taken again"),
      back: () => log.info("the lock that says that this process lives is held again"),
    },
  });
  undo.add("session", () => session.close());
  const { keyHmac, secretsKey } = home.secrets();
  const identity = new Identity({ db, secret: Buffer.from(keyHmac, "hex") });
  const secrets = new Secrets({ db, key: Buffer.from(secretsKey, "hex") });
  const tenant = await identity.ensureTenant({ ...firstTenant, currency: settings.LINESHAFT_CURRENCY });
  const ledger = await createLedger({
    db,
    session,
    // The embedded Postgres was started for this process: no other gateway is on it.
    alone: !settings.DATABASE_URL,
    onStuck: (hold) => alarms.raise(stuckAlarm(hold)),
  });
  undo.add("ledger", async () => ledger.close());
  return { db, session, port, identity, secrets, ledger, ...tenant };
}
