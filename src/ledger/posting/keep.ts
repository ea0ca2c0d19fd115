// How long posted files of a spool stay. A backup of the home is the database at one moment with the spools beside it. A database that is
// restored from an older backup lacks what was posted since, so the files with those records must still be there: they stay until a backup
// began after them. Where no backup was ever made they may go at once.
import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";

/** Written by the backup when it is whole. */
const backupFile = "backup.json";
const backupSchema = z.object({ startedAt: z.iso.datetime() });

/** Whether a posted file may be removed. It lies in its writer's folder, and that in the folder of all spools. */
export function mayRemove(path: string): boolean {
  const began = backupBegan(dirname(dirname(path)));
  const stat = statSync(path, { throwIfNoEntry: false });
  return began === undefined || stat === undefined || stat.mtimeMs < began;
}

/** When the newest backup began; undefined where there is none. */
function backupBegan(root: string): number | undefined {
  try {
    return Date.parse(backupSchema.parse(JSON.parse(readFileSync(join(root, backupFile), "utf8"))).startedAt);
  } catch (error) {
    // A file that cannot be read keeps everything.
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? undefined : -Infinity;
  }
}
