// What tests of spools share: a folder that goes with the test, a disk that fails on demand, and a file read to its end.
import { closeSync, fdatasyncSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SpoolReader } from "./reader.ts";
import type { Disk, SpoolEnding } from "./types.ts";

/** A folder that is removed with the scope. */
export function temporaryFolder(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "lineshaft-spool-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

interface FailingDisk extends Disk {
  /** Bytes that still fit; ENOSPC after them. */
  room: number;
  /** Thrown by the next writes, or by the next syncs. */
  failWrites: Error | undefined;
  failSyncs: Error | undefined;
  /** Ends the syncs that were begun; they wait for it. */
  finishSyncs(): void;
  readonly syncs: number;
}

/** A disk whose syncs end when the test says so, and that has so much room. */
export function failingDisk(room = Infinity): FailingDisk {
  const begun: (() => void)[] = [];
  const disk: FailingDisk & { syncs: number } = {
    room,
    failWrites: undefined,
    failSyncs: undefined,
    syncs: 0,
    finishSyncs: () => begun.splice(0).forEach((finish) => finish()),
    write(fd, bytes, offset, length, position) {
      if (disk.failWrites) throw disk.failWrites;
      // A write over bytes that were written before needs no room.
      const fresh = Math.max(0, position + length - (sizes.get(fd) ?? 0));
      const fits = Math.min(length, length - fresh + disk.room);
      if (fits <= 0) throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
      const written = writeSync(fd, bytes, offset, fits, position);
      sizes.set(fd, Math.max(sizes.get(fd) ?? 0, position + written));
      disk.room -= Math.max(0, fits - (length - fresh));
      return written;
    },
    sync(fd, done) {
      disk.syncs++;
      begun.push(() => done(disk.failSyncs ?? null));
    },
    syncNow(fd) {
      if (disk.failSyncs) throw disk.failSyncs;
      fdatasyncSync(fd);
    },
  };
  const sizes = new Map<number, number>();
  return disk;
}

/** Gives a file other bytes in its place. A file that is first cut to nothing, as by `writeFileSync`, goes to the disk each time. */
export function overwrite(path: string, bytes: Buffer): void {
  const file = openSync(path, "r+");
  writeSync(file, bytes, 0, bytes.length, 0);
  ftruncateSync(file, bytes.length);
  closeSync(file);
}

/** All records of a file, as text, and how it ends. */
export async function readWhole(path: string): Promise<{ texts: string[]; ending: SpoolEnding; chain: number }> {
  await using reader = await SpoolReader.open(path);
  const texts: string[] = [];
  for (;;) {
    const records = await reader.read();
    if (records.length === 0) return { texts, ending: await reader.ending(), chain: reader.place.chain };
    texts.push(...records.map(({ payload }) => payload.toString()));
  }
}
