// A backup with a passphrase, written and opened with a key that is derived as it is for users, which takes a second of CPU time each.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import "../../../test/setup/costly.ts";
import { writeContainer } from "./container.ts";
import { entriesOf, readBackup, type Facts } from "./manifest.ts";

test("an encrypted file opens with its passphrase", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lineshaft-passphrase-"));
  const file = join(folder, "1.backup");
  const label = { lineshaft: "0.1.0", created_at: "2026-11-27T12:00:00.000Z" };
  const facts = (): Facts => ({ migrations: [], tables: [], sequences: [], left_out: ["models"] });
  async function* streams() {
    yield { name: "tables/calls", bytes: Readable.from([Buffer.from("a\tb\n")]) };
  }
  await writeContainer(file, entriesOf(label, streams(), facts), {
    timeS: 1_700_000_000,
    passphrase: "correct horse",
  });
  expect(readFileSync(file).includes("calls")).toBe(false);
  const read: string[] = [];
  const onPart = async ({ stream, bytes }: { stream: string; bytes: Buffer }) => void read.push(`${stream} ${bytes}`);
  await readBackup(file, { passphrase: "correct horse", onPart });
  expect(read).toEqual(["tables/calls a\tb\n"]);
  await expect(readBackup(file, { passphrase: undefined, onPart })).rejects.toMatchObject({
    code: "backup_locked",
    why: expect.stringMatching(/^No passphrase/),
  });
  rmSync(folder, { recursive: true });
});
