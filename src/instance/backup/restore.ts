// `lineshaft restore`: a backup into an empty home and an empty database. Nothing is overwritten, and nothing of the instance that was
// saved goes on by itself: its leases are fenced, its runs are paused, its spools are put aside.
//
//   file read to its end and found whole -> home and database found empty -> home marked -> rows, spools and secrets written, in one
//   transaction of the database -> mark removed -> books proven
//
// An error takes back what was written. A kill leaves the mark, and the next restore takes back what was written.
import { statfsSync } from "node:fs";
import { resolve } from "node:path";
import { takeRestoredRuns } from "../../agents/index.ts";
import { LineshaftError } from "../../errors/index.ts";
import type { Home } from "../../fleet/index.ts";
import { recordProof } from "../../gateway/index.ts";
import { fenceRestored, incarnationOf, proofRules, proveLedger } from "../../ledger/index.ts";
import {
  assertEmptyDatabase,
  Database,
  loadBackup,
  readBackup,
  type DatabaseUrls,
  type ExternalUrls,
  type Manifest,
  type Part,
} from "../../store/index.ts";
import type { BackupProgress } from "./backup.ts";
import { externalUrls, withEmbedded } from "./database.ts";
import { HomeFiles } from "./files.ts";
import { assertEmptyHome, clearInterrupted, readMark, removeMark, writeMark, type RestoreMark } from "./mark.ts";

/** Rows take this much of the disk for each byte that they have as text: with their indexes, and with the log of writing them. */
const diskFactor = 2.5;

interface RestoreOptions {
  home: Home;
  env: ExternalUrls;
  file: string;
  passphrase: string | undefined;
  /** Runs go on at the next start instead of waiting for a person's word. */
  resume: boolean;
  /** Records of spools that were not in the database yet are posted at the next start. */
  replay: boolean;
  signal: AbortSignal;
  onProgress?: BackupProgress;
}

/** What a restore has made. */
export interface Restored {
  manifest: Manifest;
  /** Runs that wait for a person's word. */
  pausedRuns: number;
  /** Files of spools, replayed or put aside. */
  spools: number;
  /** Leases of before, now in suspense: they count as spent in their budgets. */
  lostLeases: number;
  /** Figures that do not agree, and the first of them in words. The data is restored all the same. */
  discrepancies: number | undefined;
  firstDifference: string | undefined;
  /** Why the figures could not be compared. */
  unproven: string | undefined;
}

/** Restores a backup. Throws BackupError or LineshaftError; home and database are then as they were. */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { home, passphrase, signal, onProgress = () => {} } = options;
  const file = resolve(options.file);
  const own = externalUrls(options.env);
  const read = (what: string, onPart: (part: Part) => Promise<void>) => {
    let bytes = 0;
    return readBackup(file, {
      passphrase,
      signal,
      onPart: async (part) => {
        onProgress(`${what} ${part.stream}`, (bytes += part.bytes.length));
        await onPart(part);
      },
    });
  };
  const manifest = await read("checking", async () => {});
  assertEmptyHome(home);
  home.prepare();
  using _lock = home.lock();
  assertEmptyHome(home);
  const interrupted = readMark(home);
  if (interrupted && own && (await isCommitted(own, interrupted))) return finish(home, own, manifest, interrupted);
  if (own) await assertEmptyDatabase(own.owner);
  assertRoom(home, manifest);
  if (interrupted) clearInterrupted(home);
  writeMark(home, { file });
  try {
    const into = (urls: DatabaseUrls) => load(options, urls, manifest, (onPart) => read("restoring", onPart));
    return await (own ? into(own) : withEmbedded(home, into));
  } catch (error) {
    const left = readMark(home);
    // Where it cannot be told whether the commit took place, the mark stays, and the next restore finds out.
    if (left && !(own && (await isCommitted(own, left).catch(() => true)))) {
      clearInterrupted(home);
      removeMark(home);
    }
    throw error;
  }
}

async function load(
  { home, resume, replay, signal, file }: RestoreOptions,
  urls: DatabaseUrls,
  manifest: Manifest,
  read: (onPart: (part: Part) => Promise<void>) => Promise<Manifest>,
): Promise<Restored> {
  await using files = new HomeFiles(home, { replay });
  await loadBackup({
    url: urls.owner,
    manifest,
    signal,
    parts: (onPart) => read((part) => (part.stream.startsWith("tables/") ? onPart(part) : files.write(part))),
    async finish(client) {
      await files.finish();
      const { incarnation, lostLeases } = await fenceRestored(client);
      const pausedRuns = await takeRestoredRuns(client, { resume });
      const done = {
        incarnation: String(incarnation),
        pausedRuns,
        spools: files.spools,
        lostLeases: lostLeases.length,
      };
      // A kill between the commit and the end finds here that the database has what the home expects.
      writeMark(home, { file: resolve(file), done });
    },
  });
  return finish(home, urls, manifest, readMark(home)!);
}

/** Whether the transaction of an interrupted restore was committed. Throws where the database cannot be reached. */
async function isCommitted(urls: DatabaseUrls, { done }: RestoreMark): Promise<boolean> {
  if (!done) return false;
  const db = new Database(urls.owner, { connections: 1 });
  try {
    return String(await incarnationOf(db)) === done.incarnation;
  } finally {
    await db.close();
  }
}

/** The last step of a restore: the home may start, and its books are proven. */
async function finish(home: Home, urls: DatabaseUrls, manifest: Manifest, { done }: RestoreMark): Promise<Restored> {
  removeMark(home);
  const db = new Database(urls.owner, { connections: 2 });
  try {
    const { pausedRuns, spools, lostLeases } = done!;
    const restored = { manifest, pausedRuns, spools, lostLeases };
    // All is restored by now: a proof that could not be made is said, and can be made again.
    const proof = await proveLedger(db, "whole", recordProof).catch((error: Error) => error);
    if (proof instanceof Error)
      return { ...restored, discrepancies: undefined, firstDifference: undefined, unproven: proof.message };
    const [first] = proof.discrepancies;
    return {
      ...restored,
      discrepancies: proof.discrepancyCount,
      firstDifference: first && `${proofRules[first.rule]} (${first.id})`,
      unproven: undefined,
    };
  } finally {
    await db.close();
  }
}

/** Throws LineshaftError `disk_full` when the home's disk has less room than the rows will take. */
function assertRoom(home: Home, manifest: Manifest): void {
  const bytes = manifest.streams.reduce((sum, stream) => sum + stream.bytes, 0);
  const { bavail, bsize } = statfsSync(home.path);
  if (bavail * bsize >= diskFactor * bytes) return;
  const gigabytes = (count: number) => `${(count / 1e9).toFixed(1)} GB`;
  throw new LineshaftError({
    code: "disk_full",
    message: "The disk has too little room for this backup.",
    why: `It needs about ${gigabytes(diskFactor * bytes)}, and ${gigabytes(bavail * bsize)} are free under ${home.path}.`,
    hint: "Free some space, or set LINESHAFT_HOME to a folder on another disk.",
  });
}
