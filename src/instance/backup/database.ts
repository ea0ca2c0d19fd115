// The database of a home for a command that is not the instance itself: the one that DATABASE_URL names, the embedded one of an instance
// that runs, or the embedded one started for the time of the work.
import { existsSync } from "node:fs";
import { endOrphans, Supervisor, type Home } from "../../fleet/index.ts";
import { BackupError, ownerRole, urlAs, type DatabaseUrls, type ExternalUrls } from "../../store/index.ts";
import { startEmbedded } from "../postgres.ts";

/** Both roles of the operator's own database. */
export function externalUrls({ DATABASE_URL, LINESHAFT_MIGRATION_URL }: ExternalUrls): DatabaseUrls | undefined {
  return DATABASE_URL ? { runtime: DATABASE_URL, owner: LINESHAFT_MIGRATION_URL || DATABASE_URL } : undefined;
}

/** Runs `work` with the owner's address of the home's database, whether an instance runs or not. Throws BackupError `backup_failed`. */
export async function withDatabaseOf<Result>(
  home: Home,
  external: ExternalUrls,
  work: (ownerUrl: string) => Promise<Result>,
): Promise<Result> {
  const own = externalUrls(external);
  if (own) return work(own.owner);
  if (!existsSync(home.file("secrets.json")))
    throw new BackupError("backup_failed", {
      why: `There is no home at ${home.path}.`,
      hint: "Set LINESHAFT_HOME to the home of the instance, and DATABASE_URL as it is set for it.",
    });
  if (home.isFree()) {
    home.prepare();
    using _lock = home.lock();
    return await withEmbedded(home, (urls) => work(urls.owner));
  }
  const port = home.readMain()?.postgresPort;
  if (!port)
    throw new BackupError("backup_failed", {
      why: "The instance is starting, or it was started with DATABASE_URL.",
      hint: "Try again when it is ready, with DATABASE_URL set as it is for `npm start`.",
    });
  return work(urlAs(`postgres://127.0.0.1:${port}`, ownerRole, home.secrets().postgresOwnerPassword));
}

/** Starts the embedded server of a home whose lock the caller holds, and stops it when `work` has ended. */
export async function withEmbedded<Result>(home: Home, work: (urls: DatabaseUrls) => Promise<Result>): Promise<Result> {
  await endOrphans(home.recordsPath, home.marks);
  const supervisor = new Supervisor({ recordsPath: home.recordsPath, mark: home.mark });
  const kill = () => supervisor.killAll();
  process.once("exit", kill);
  try {
    const { urls } = await startEmbedded(home, supervisor);
    return await work(urls);
  } finally {
    await supervisor.stopAll();
    process.off("exit", kill);
  }
}
