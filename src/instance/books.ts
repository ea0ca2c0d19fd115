// What stands on the database: identity, secrets and the ledger, and the session whose lock says that this process lives. Every process
// that serves calls has books of its own; main has opened the database before.
import { hostname } from "node:os";
import { Identity, Limiter, Seal, Secrets } from "../governance/index.ts";
import type { Home } from "../fleet/index.ts";
import { callRecords, recordProof } from "../gateway/index.ts";
import { createLedger } from "../ledger/index.ts";
import { Session, type Database } from "../store/index.ts";
import type { Alarms, Logger } from "../telemetry/index.ts";
import { firstTenant, type Settings } from "./settings.ts";
import type { Undo } from "./undo.ts";

export type Books = Awaited<ReturnType<typeof openBooks>>;

/** What must be in a migrated database before anything is served: the tenant and its books. */
export async function openBooks(
  { home, settings, db }: { home: Home; settings: Settings; db: Database },
  undo: Undo,
  { alarms, log }: { alarms: Alarms; log: Logger },
) {
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
  const key = Buffer.from(secretsKey, "hex");
  const seal = new Seal(key);
  const secrets = new Secrets({ db, key });
  const tenant = await identity.ensureTenant({ ...firstTenant, currency: settings.LINESHAFT_CURRENCY });
  const ledger = await createLedger({
    db,
    session,
    spools: home.file("spools"),
    machine: `${hostname()}:${home.path}`,
    records: callRecords,
    onAlarm: (alarm) => alarms.raise(alarm),
    recordProof,
  });
  undo.add(
    "ledger",
    () => ledger.close(),
    () => {
      const records = ledger.unposted();
      return records === 0 ? undefined : `${records} records of calls are in the spool and not in the database`;
    },
  );
  const limiter = await Limiter.open({ db, session });
  undo.add("limits on use", () => limiter.close());
  return { db, session, identity, seal, secrets, ledger, limiter, ...tenant };
}
