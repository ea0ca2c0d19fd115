// The mark of a restore that has begun and not ended: nothing starts on such a home, and nothing makes a backup of it. The restore may be
// run again; it takes away what the interrupted one left.
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { z } from "zod";
import type { Home } from "../../fleet/index.ts";
import { LineshaftError } from "../../errors/index.ts";
import { BackupError, embeddedDataFolder } from "../../store/index.ts";

const name = "restoring.json";
const schema = z.object({
  file: z.string(),
  /** Once everything but the commit is done: the incarnation that the commit brings, and what the restore says of itself. */
  done: z
    .object({ incarnation: z.string(), pausedRuns: z.number(), spools: z.number(), lostLeases: z.number() })
    .optional(),
});
export type RestoreMark = z.infer<typeof schema>;

/** Throws LineshaftError `restore_unfinished` for a home whose restore was interrupted. */
export function assertNotRestoring(home: Home): void {
  const mark = readMark(home);
  if (!mark) return;
  throw new LineshaftError({
    code: "restore_unfinished",
    message: "This home is not whole: a restore into it was interrupted.",
    why: `${home.file(name)} says so; the backup was ${mark.file}.`,
    hint: `Restore again: npx lineshaft restore ${mark.file}`,
  });
}

/** The mark of this home, where there is one. One that cannot be read is a mark all the same. */
export function readMark(home: Home): RestoreMark | undefined {
  if (!existsSync(home.file(name))) return undefined;
  try {
    return schema.parse(JSON.parse(readFileSync(home.file(name), "utf8")));
  } catch {
    return { file: "FILE" };
  }
}

export function writeMark(home: Home, mark: RestoreMark): void {
  writeFileSync(home.file(name), `${JSON.stringify(mark)}\n`, { mode: 0o600, flush: true });
}

export function removeMark(home: Home): void {
  rmSync(home.file(name));
}

/** What may lie in a home that a restore goes into: downloaded models, and folders that a look at the home has made. */
const harmless = new Set(["models", "run", "kv"]);

/** Throws BackupError `restore_refused` for a home that holds anything, except what an interrupted restore has left. */
export function assertEmptyHome(home: Home): void {
  if (readMark(home)) return;
  const found = (existsSync(home.path) ? readdirSync(home.path) : []).find(
    (entry) => !harmless.has(entry) || (entry === "kv" && readdirSync(home.file("kv")).length > 0),
  );
  const data = existsSync(embeddedDataFolder(home.path)) ? embeddedDataFolder(home.path) : undefined;
  if (found === undefined && data === undefined) return;
  throw new BackupError("restore_refused", {
    why: found === undefined ? `The data of its Postgres is still there: ${data}.` : `${home.path} holds ${found}.`,
    hint: `Set LINESHAFT_HOME to another folder, or move ${home.path} away.`,
  });
}

/** Takes away what an interrupted restore has left in its home. */
export function clearInterrupted(home: Home): void {
  rmSync(embeddedDataFolder(home.path), { recursive: true, force: true });
  for (const entry of readdirSync(home.path))
    if (!harmless.has(entry) && entry !== name) rmSync(home.file(entry), { recursive: true, force: true });
}
