// How long the files of a spool stay.
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../store/spool/testing.ts";
import { mayRemove, spoolKeeping } from "./keep.ts";

test("a posted file stays while a backup is being made, and until one began after it was written", () => {
  using root = temporaryFolder();
  const path = join(root.path, "writer", "one.spool");
  mkdirSync(join(root.path, "writer"));
  writeFileSync(path, "records");
  expect(mayRemove(path)).toBe(true);
  const backingUp = join(root.path, `${spoolKeeping.backingUp}.1`);
  writeFileSync(backingUp, "");
  expect(mayRemove(path)).toBe(false);
  // A backup that has died says nothing more.
  const longAgo = new Date(Date.now() - 60 * spoolKeeping.againMs);
  utimesSync(backingUp, longAgo, longAgo);
  expect(mayRemove(path)).toBe(true);
  const began = (at: Date) =>
    writeFileSync(join(root.path, spoolKeeping.backup), JSON.stringify({ startedAt: at.toISOString() }));
  began(longAgo);
  expect(mayRemove(path)).toBe(false);
  began(new Date(Date.now() + 1_000));
  expect(mayRemove(path)).toBe(true);
});
