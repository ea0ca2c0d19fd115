// What a writer left in its folder: its files in their order, and how far each counts. Read when a process has died, and by whatever
// copies or restores spools.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { spoolSuffix } from "./file.ts";
import { SpoolError } from "./format.ts";
import { SpoolReader } from "./reader.ts";
import type { SpoolHeader, TrailFile } from "./types.ts";

interface LeftFile extends TrailFile {
  header: SpoolHeader;
}

/** The files of one writer. */
export interface LeftFolder {
  folder: string;
  /** In the order of their records. `upTo` is infinite for the last. */
  files: LeftFile[];
  /** Files whose header cannot be read, and files that are missing between two others. */
  unreadable: { path: string; error: Error }[];
}

/** The folders of all writers below a root; none where the root does not exist. */
export function spoolFolders(root: string): string[] {
  try {
    return readdirSync(root, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [join(root, entry.name)] : [],
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Reads the headers of a folder's files. Throws the errors of system calls alone. */
export async function readFolder(folder: string): Promise<LeftFolder> {
  const left: LeftFolder = { folder, files: [], unreadable: [] };
  for (const name of readdirSync(folder).filter((one) => one.endsWith(spoolSuffix))) {
    const path = join(folder, name);
    try {
      await using reader = await SpoolReader.open(path);
      const { header } = reader;
      left.files.push({ header, spool: header.spool, path, upTo: Infinity, ended: true });
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (code === "ENOENT" || code === "spool_empty") continue;
      left.unreadable.push({ path, error: error as Error });
    }
  }
  left.files.sort((one, other) => one.header.index - other.header.index);
  for (const [place, { header }] of left.files.slice(1).entries()) {
    const before = left.files[place]!;
    const { previous } = header;
    if (previous?.spool === before.spool) before.upTo = previous.number;
    // Posted files are removed from the oldest on, so a gap in between is a file that was lost.
    else
      left.unreadable.push({
        path: join(folder, `${previous?.spool}${spoolSuffix}`),
        error: new SpoolError("spool_damaged", `The file ${previous?.spool} of a spool is missing from ${folder}.`),
      });
  }
  return left;
}
