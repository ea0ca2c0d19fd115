// How long posted files of a spool stay. A backup of the home is the database at one moment with the spools beside it. A database that is
// restored from an older backup lacks what was posted since, so the files with those records must still be there: they stay until a backup
// began after them, and none goes while one is being made. Where no backup was ever made they may go at once.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";

/** Files in the folder of all spools by which a backup says what must stay. */
export const spoolKeeping = {
  /** When the newest whole backup began. */
  backup: "backup.json",
  /** Begins the name of the file that is there while a backup is being made, and is written anew every `againMs`. */
  backingUp: "backing-up",
  againMs: 20_000,
};
const backupSchema = z.object({ startedAt: z.iso.datetime() });

/** Whether a posted file may be removed. It lies in its writer's folder, and that in the folder of all spools. */
export function mayRemove(path: string): boolean {
  const root = dirname(dirname(path));
  if (isKept(root)) return false;
  const began = backupBegan(root);
  const stat = statSync(path, { throwIfNoEntry: false });
  return began === undefined || stat === undefined || stat.mtimeMs < began;
}

/** Whether a backup is being made; one that has died says nothing more after a while. */
function isKept(root: string): boolean {
  return readdirSync(root).some((name) => {
    if (!name.startsWith(`${spoolKeeping.backingUp}.`)) return false;
    const stat = statSync(join(root, name), { throwIfNoEntry: false });
    return stat !== undefined && Date.now() - stat.mtimeMs < 6 * spoolKeeping.againMs;
  });
}

/** When the newest backup began; undefined where there is none. */
function backupBegan(root: string): number | undefined {
  try {
    return Date.parse(backupSchema.parse(JSON.parse(readFileSync(join(root, spoolKeeping.backup), "utf8"))).startedAt);
  } catch (error) {
    // A file that cannot be read keeps everything.
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? undefined : -Infinity;
  }
}
