// What is appended is read back, in order and as often as asked; every broken file is told apart; and a disk that fails loses nothing
// that was promised.
import fc from "fast-check";
import { copyFileSync, existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { expect, test, vi } from "vitest";
import { encodeHeader, recordBytes } from "./format.ts";
import { readFolder, spoolFolders } from "./folder.ts";
import { claimFolder } from "./owner.ts";
import { SpoolReader } from "./reader.ts";
import { newSpoolId, SpoolWriter } from "./writer.ts";
import { limits } from "./limits.ts";
import { failingDisk, overwrite, readWhole, temporaryFolder } from "./testing.ts";
import type { Disk } from "./types.ts";
import { runs } from "../../../test/setup/runs.ts";

const bytesOf = (text: string) => Buffer.from(text);

interface WriterOptions {
  disk?: Disk;
  fileBytes?: number;
  onFailure?: (error: Error) => void;
  now?: () => number;
}
const writerIn = (root: string, options: WriterOptions = {}) =>
  SpoolWriter.open({ root, id: newSpoolId(), epoch: "7", ...options });

/** All records of a folder's files, each file up to where the next one says that it ends. */
async function textsOf(folder: string): Promise<string[]> {
  const { files } = await readFolder(folder);
  const texts: string[] = [];
  for (const { path, upTo } of files) texts.push(...(await readWhole(path)).texts.slice(0, upTo));
  return texts;
}

test("what is appended is read back in order, by its own process and by others, while it is written", async () => {
  using root = temporaryFolder();
  const writer = writerIn(root.path);
  expect(writer.position().number).toBe(0);
  expect(writer.append([bytesOf("a"), bytesOf("b")])).toEqual({ spool: writer.position().spool, number: 2 });
  const { path } = writer.trail[0]!;
  await using reader = await SpoolReader.open(path);
  expect(reader.header).toMatchObject({ epoch: "7", index: 0, spool: writer.position().spool });
  expect((await reader.read(1)).map(({ number }) => number)).toEqual([1]);
  expect((await reader.read()).map(({ payload }) => payload.toString())).toEqual(["b"]);
  expect(await reader.read()).toEqual([]);
  writer.append([bytesOf("c")]);
  const [third] = await reader.read();
  expect(third).toMatchObject({ number: 3 });
  await writer.synced(writer.position());
  expect(writer.trail).toMatchObject([{ upTo: 3, ended: false }]);
  writer.close();
  expect(await readWhole(path)).toEqual({ texts: ["a", "b", "c"], ending: "whole", chain: third!.chain });
  // A reader goes on where another one stopped.
  await using again = await SpoolReader.open(path);
  await again.read(2);
  await using later = await SpoolReader.open(path);
  later.seek(again.place);
  expect((await later.read()).map(({ number, chain }) => [number, chain])).toEqual([[3, third!.chain]]);
});

test("only its user can read a spool", () => {
  using root = temporaryFolder();
  const writer = writerIn(join(root.path, "spools"));
  expect(statSync(join(root.path, "spools")).mode & 0o777).toBe(0o700);
  expect(statSync(writer.folder).mode & 0o777).toBe(0o700);
  expect(statSync(writer.trail[0]!.path).mode & 0o777).toBe(0o600);
  writer.close();
});

test("any payloads in any groups come back as they were", async () => {
  const group = fc.array(fc.uint8Array({ minLength: 1, maxLength: 3000 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(fc.array(group, { maxLength: 30 }), fc.integer({ min: 1, max: 40_000 }), async (groups, size) => {
      using root = temporaryFolder();
      const writer = writerIn(root.path, { fileBytes: size });
      for (const payloads of groups) {
        if (payloads.length % 3 === 0) writer.queue(payloads);
        else writer.append(payloads);
        if (payloads.length % 2 === 0) await writer.synced(writer.position());
      }
      writer.close();
      const read = await textsOf(writer.folder);
      expect(read).toEqual(groups.flat().map((payload) => Buffer.from(payload).toString()));
    }),
    { numRuns: runs(40) },
  );
});

test("a record of the largest size is written and read, a larger one and an empty one are refused", async () => {
  using root = temporaryFolder();
  const writer = writerIn(root.path);
  writer.append([Buffer.alloc(limits.recordBytesMost, "x"), bytesOf("after")]);
  expect(() => writer.append([Buffer.alloc(limits.recordBytesMost + 1)])).toThrow(RangeError);
  expect(() => writer.append([bytesOf("first"), Buffer.alloc(0)])).toThrow(RangeError);
  writer.close();
  const { texts, ending } = await readWhole(writer.trail[0]!.path);
  expect(texts.map((text) => text.length)).toEqual([limits.recordBytesMost, 5]);
  expect(ending).toBe("whole");
});

/** A small file of ten records, and where each record ends. */
async function smallFile(root: string): Promise<{ path: string; bytes: Buffer; ends: number[]; texts: string[] }> {
  const writer = writerIn(root);
  const texts = Array.from({ length: 10 }, (_, number) => `record ${number} ${"x".repeat(number * 2)}`);
  for (const text of texts) writer.append([bytesOf(text)]);
  writer.close();
  const { path } = writer.trail[0]!;
  await using reader = await SpoolReader.open(path);
  const ends = [reader.place.offset];
  while ((await reader.read(ends.length)).length > 0) ends.push(reader.place.offset);
  const bytes = readFileSync(path).subarray(0, ends.at(-1)! + 64);
  return { path, bytes, ends, texts };
}

test("a file that is cut at any byte gives the records before the cut, and is never damaged", async () => {
  using root = temporaryFolder();
  const { path, bytes, ends, texts } = await smallFile(root.path);
  for (let length = bytes.length; length >= ends[0]!; length--) {
    overwrite(path, bytes.subarray(0, length));
    const whole = ends.filter((end) => end <= length).length - 1;
    const { texts: read, ending } = await readWhole(path);
    expect(read).toEqual(texts.slice(0, whole));
    if (length === ends[whole] || whole === 10) expect(ending).toBe("whole");
    else expect(["torn", "whole"]).toContain(ending);
  }
  for (let length = ends[0]! - 1; length >= 0; length--) {
    overwrite(path, bytes.subarray(0, length));
    const read = await readWhole(path).catch((error: { code: string }) => error);
    // The padding of the header carries no data, so losing it changes nothing.
    if ("code" in read) expect(read.code).toMatch(/^spool_(damaged|empty)$/);
    else expect(read.texts).toEqual([]);
  }
});

test("a flipped bit anywhere never changes a record: the records before it are read, and those after it are never lost in silence", async () => {
  using root = temporaryFolder();
  const { path, bytes, ends, texts } = await smallFile(root.path);
  for (let at = 0; at < bytes.length; at++) {
    const flipped = Buffer.from(bytes);
    flipped[at]! ^= 1 << (at % 8);
    overwrite(path, flipped);
    if (at < ends[0]!) {
      const read = await readWhole(path).catch((error: { code: string }) => error);
      if ("code" in read) expect(read.code).toMatch(/^spool_(damaged|version)$/);
      else expect(read.texts).toEqual(texts);
      continue;
    }
    const { texts: read, ending } = await readWhole(path);
    expect(texts.slice(0, read.length)).toEqual(read);
    const hit = ends.filter((end) => end <= at).length - 1;
    // Padding behind a payload may be anything.
    if (read.length === 10) continue;
    expect(read.length).toBe(hit);
    expect(ending).toBe(hit === 9 ? "torn" : "damaged");
  }
});

const endingOf = (rest: Buffer) => (rest.every((byte) => byte === 0) ? "whole" : "torn");

test("a write of several records that got to the disk in part is told by what is left of it", async () => {
  using root = temporaryFolder();
  const { path, bytes, ends, texts } = await smallFile(root.path);
  // Blocks of 64 bytes stand for the pages of a larger write, of which any may be missing.
  const first = Math.ceil(ends[6]! / 64);
  const last = Math.ceil(bytes.length / 64);
  for (let lost = 1; lost < 2 ** (last - first); lost++) {
    const torn = Buffer.from(bytes);
    for (let block = first; block < last; block++)
      if (lost & (1 << (block - first))) torn.fill(0, block * 64, Math.min(bytes.length, (block + 1) * 64));
    overwrite(path, torn);
    const { texts: read, ending } = await readWhole(path);
    expect(read.length).toBeGreaterThanOrEqual(6);
    expect(texts.slice(0, read.length)).toEqual(read);
    const isGood = (record: number) =>
      !torn.subarray(ends[record], ends[record + 1]).equals(bytes.subarray(ends[record], ends[record + 1]));
    const goodAfter = texts.slice(read.length + 1).some((_, place) => !isGood(read.length + 1 + place));
    if (read.length < 10) expect(ending).toBe(goodAfter ? "damaged" : endingOf(torn.subarray(ends[read.length])));
  }
});

test("the remains of another spool behind the end are no records", async () => {
  using root = temporaryFolder();
  const other = await smallFile(root.path);
  const { path, bytes, ends } = await smallFile(root.path);
  writeFileSync(path, Buffer.concat([bytes.subarray(0, ends[3]), other.bytes.subarray(other.ends[3])]));
  expect(await readWhole(path)).toMatchObject({ texts: { length: 3 }, ending: "torn" });
});

test("a file of random bytes behind its header costs bounded work, and allocates no length that it claims", async () => {
  using root = temporaryFolder();
  const { path, bytes, ends } = await smallFile(root.path);
  const junk = Buffer.alloc(200_000);
  // Every eighth byte begins the head of a record that claims the largest size and a believable number.
  for (let at = 0; at + 16 <= junk.length; at += 16) {
    junk.writeUInt32LE(limits.recordBytesMost, at + 4);
    junk.writeUInt32LE(11, at + 8);
  }
  writeFileSync(path, Buffer.concat([bytes.subarray(0, ends[10]), junk, Buffer.alloc(2 * limits.recordBytesMost)]));
  expect(await readWhole(path)).toMatchObject({ texts: { length: 10 }, ending: "damaged" });
  junk.fill(0xff);
  writeFileSync(path, Buffer.concat([bytes.subarray(0, ends[10]), junk]));
  expect(await readWhole(path)).toMatchObject({ texts: { length: 10 }, ending: "torn" });
});

test("a file of a later release is refused by name, and says what to do", async () => {
  using root = temporaryFolder();
  const { path, bytes } = await smallFile(root.path);
  bytes.writeUInt32LE(2, 8);
  writeFileSync(path, bytes);
  await expect(SpoolReader.open(path)).rejects.toMatchObject({ code: "spool_version", hint: /Start the release/ });
  const { unreadable, files } = await readFolder(join(path, ".."));
  expect(unreadable).toMatchObject([{ path, error: { code: "spool_version" } }]);
  expect(files).toEqual([]);
});

test("the format is what it was: version 1, byte for byte", () => {
  const { bytes, seed } = encodeHeader({
    spool: "spl_1",
    epoch: "1",
    index: 0,
    owner: { machine: "m", boot: "b", lock: "1:2" },
    createdMs: 0,
  });
  expect(crc32(bytes)).toBe(1072802105);
  expect(seed).toBe(bytes.readUInt32LE(16));
  expect(recordBytes(1)).toBe(24);
});

test("syncs happen in groups, and `synced` waits for its own", async () => {
  using root = temporaryFolder();
  const disk = failingDisk();
  const writer = writerIn(root.path, { disk });
  for (let number = 0; number < 50; number++) writer.append([bytesOf("x")]);
  const first = writer.position();
  await expect.poll(() => disk.syncs).toBe(1);
  writer.append([bytesOf("later")]);
  const later = vi.fn();
  const waiting = writer.synced(writer.position()).then(later);
  disk.finishSyncs();
  await writer.synced(first);
  expect(later).not.toHaveBeenCalled();
  expect(writer.trail[0]!.upTo).toBe(50);
  await expect.poll(() => disk.syncs).toBe(2);
  disk.finishSyncs();
  await waiting;
  writer.close();
});

test("a full disk refuses new records and reservations by name, and what was reserved still fits", async () => {
  using root = temporaryFolder();
  const disk = failingDisk(limits.stepBytes + 1000);
  const writer = writerIn(root.path, { disk });
  const reserved = Array.from({ length: 20 }, () => Buffer.alloc(200, "r"));
  const each = recordBytes(200);
  writer.reserve(20 * each);
  let written = 0;
  const fill = Buffer.alloc(5000, "f");
  expect(() => {
    for (;;) {
      writer.append([fill]);
      written++;
    }
  }).toThrow(expect.objectContaining({ code: "storage_full", status: 507 }));
  expect(written).toBeGreaterThan(190);
  expect(() => writer.reserve(100_000)).toThrow(expect.objectContaining({ code: "storage_full" }));
  for (const payload of reserved) writer.append([payload], each);
  // Room that comes back is used.
  disk.room = 10 * limits.stepBytes;
  writer.append([fill]);
  writer.close();
  const { texts, ending } = await readWhole(writer.trail[0]!.path);
  expect(texts).toHaveLength(written + 21);
  expect(ending).toBe("whole");
});

test("a record that is larger than its reserved room is written into the file's room, or kept until a file opens; nothing is lost or moved", async () => {
  using root = temporaryFolder();
  const disk = failingDisk(limits.stepBytes);
  const onFailure = vi.fn();
  const now = { ms: 0 };
  const writer = writerIn(root.path, { disk, onFailure, now: () => now.ms });
  writer.reserve(3 * 1_000);
  const fill = Buffer.alloc(500, "f");
  expect(() => {
    for (;;) writer.append([fill]);
  }).toThrow(expect.objectContaining({ code: "storage_full" }));
  writer.append([Buffer.alloc(2_000, "1")], 1_000);
  expect(onFailure).not.toHaveBeenCalled();
  // What is left of the reserved room is too small.
  const place = writer.append([Buffer.alloc(4_000, "2")], 1_000);
  expect(onFailure).toHaveBeenCalledTimes(1);
  expect(() => writer.append([fill])).toThrow(expect.objectContaining({ code: "storage_full" }));
  writer.append([Buffer.alloc(100, "3")], 1_000);
  disk.room = 10 * limits.stepBytes;
  now.ms += limits.openAgainMs;
  writer.append([Buffer.alloc(100, "4")]);
  expect(place.spool).toBe(writer.trail[1]!.spool);
  const settled = writer.synced(place);
  writer.close();
  await settled;
  expect((await textsOf(writer.folder)).filter((text) => !text.startsWith("f")).map((text) => text[0])).toEqual([
    "1",
    "2",
    "3",
    "4",
  ]);
});

test("room that is released is room for others", () => {
  using root = temporaryFolder();
  const disk = failingDisk(limits.stepBytes);
  const writer = writerIn(root.path, { disk });
  writer.reserve(900_000);
  expect(() => writer.append([Buffer.alloc(300_000)])).toThrow(expect.objectContaining({ code: "storage_full" }));
  writer.release(900_000);
  writer.append([Buffer.alloc(300_000)]);
  writer.close();
});

test("a failed sync closes the file for ever; what it did not sync is in the next one, once, and old places are understood", async () => {
  using root = temporaryFolder();
  const disk = failingDisk();
  const onFailure = vi.fn();
  const writer = writerIn(root.path, { disk, onFailure });
  writer.append([bytesOf("1"), bytesOf("2")]);
  await expect.poll(() => disk.syncs).toBe(1);
  disk.finishSyncs();
  await writer.synced(writer.position());
  const second = writer.append([bytesOf("3")]);
  const third = writer.append([bytesOf("4"), bytesOf("5")]);
  await expect.poll(() => disk.syncs).toBe(2);
  disk.failSyncs = new Error("EIO");
  disk.finishSyncs();
  disk.failSyncs = undefined;
  expect(onFailure).toHaveBeenCalledTimes(1);
  expect(writer.trail).toMatchObject([
    { spool: second.spool, upTo: 2, ended: true },
    { upTo: 0, ended: false },
  ]);
  expect(writer.position()).toEqual({ spool: writer.trail[1]!.spool, number: 3 });
  expect(writer.append([bytesOf("6")]).number).toBe(4);
  let synced = 0;
  const waiting = [second, third].map((place) => writer.synced(place).then(() => synced++));
  await expect.poll(() => disk.syncs).toBe(3);
  expect(synced).toBe(0);
  disk.finishSyncs();
  await Promise.all(waiting);
  writer.close();
  expect(await textsOf(writer.folder)).toEqual(["1", "2", "3", "4", "5", "6"]);
});

test("a failed write is tried once in a new file, in which it stands once", async () => {
  using root = temporaryFolder();
  const disk = failingDisk();
  const writer = writerIn(root.path, {
    disk,
    onFailure: () => (disk.failWrites = undefined),
  });
  writer.append([bytesOf("1")]);
  disk.failWrites = Object.assign(new Error("EIO"), { code: "EIO" });
  const place = writer.append([bytesOf("2"), bytesOf("3")]);
  expect(place).toEqual({ spool: writer.trail[1]!.spool, number: 3 });
  disk.failSyncs = undefined;
  writer.close();
  expect(await textsOf(writer.folder)).toEqual(["1", "2", "3"]);
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("what is queued is numbered at once and written with the next record, or at the end of the turn", async () => {
  using root = temporaryFolder();
  const disk = failingDisk();
  const writer = writerIn(root.path, { disk });
  const written = vi.spyOn(disk, "write");
  expect(writer.queue([bytesOf("1")]).number).toBe(1);
  expect(writer.queue([bytesOf("2"), bytesOf("3")]).number).toBe(3);
  expect(written).not.toHaveBeenCalled();
  expect(writer.append([bytesOf("4")]).number).toBe(4);
  expect(written).toHaveBeenCalledTimes(1);
  expect((await readWhole(writer.trail[0]!.path)).texts).toEqual(["1", "2", "3", "4"]);
  writer.queue([bytesOf("5")]);
  await turn();
  await turn();
  expect(written).toHaveBeenCalledTimes(2);
  expect((await readWhole(writer.trail[0]!.path)).texts).toEqual(["1", "2", "3", "4", "5"]);
  writer.queue([bytesOf("6")]);
  writer.close();
  expect(await textsOf(writer.folder)).toEqual(["1", "2", "3", "4", "5", "6"]);
});

test("what is queued in one turn is one write, and `written` resolves after it", async () => {
  using root = temporaryFolder();
  const disk = failingDisk();
  let now = 0;
  const writer = writerIn(root.path, { disk, now: () => now });
  const written = vi.spyOn(disk, "write");
  await writer.written();
  const waits = ["1", "2", "3"].map((text) => {
    writer.queue([bytesOf(text)]);
    return writer.written();
  });
  expect(written).not.toHaveBeenCalled();
  await waits[0];
  expect(written).toHaveBeenCalledTimes(1);
  await Promise.all(waits);
  expect((await readWhole(writer.trail[0]!.path)).texts).toEqual(["1", "2", "3"]);
  writer.queue([bytesOf("4")]);
  writer.append([bytesOf("5")]);
  await writer.written();
  expect(written).toHaveBeenCalledTimes(2);
  // A write that fails goes on in the next file; `confirm` says where none can be opened.
  disk.failWrites = Object.assign(new Error("EIO"), { code: "EIO" });
  writer.reserve(recordBytes(1));
  writer.queue([bytesOf("6")], recordBytes(1));
  await expect(writer.written()).rejects.toThrow(expect.objectContaining({ code: "storage_full" }));
  disk.failWrites = undefined;
  now += limits.openAgainMs;
  writer.close();
  expect(await textsOf(writer.folder)).toEqual(["1", "2", "3", "4", "5", "6"]);
});

test("what is queued does not count as synced before it was written", async () => {
  using root = temporaryFolder();
  const disk = failingDisk();
  const writer = writerIn(root.path, { disk });
  writer.append([bytesOf("1")]);
  await expect
    .poll(() => {
      writer.queue([bytesOf("queued")]);
      return disk.syncs;
    })
    .toBe(1);
  const before = writer.position().number;
  disk.finishSyncs();
  expect(writer.trail[0]!.upTo).toBeLessThan(before);
  await expect
    .poll(() => {
      disk.finishSyncs();
      return writer.trail[0]!.upTo;
    })
    .toBe(before);
  writer.close();
});

test("what is queued in a file whose write fails stands in the next one, once and in order", async () => {
  using root = temporaryFolder();
  const disk = failingDisk();
  const writer = writerIn(root.path, { disk, onFailure: () => (disk.failWrites = undefined) });
  writer.append([bytesOf("1")]);
  writer.queue([bytesOf("2")]);
  disk.failWrites = Object.assign(new Error("EIO"), { code: "EIO" });
  expect(writer.append([bytesOf("3")]).spool).toBe(writer.trail[1]!.spool);
  writer.queue([bytesOf("4")]);
  disk.failWrites = Object.assign(new Error("EIO"), { code: "EIO" });
  await turn();
  await turn();
  expect(writer.trail).toHaveLength(3);
  writer.append([bytesOf("5")]);
  writer.close();
  expect(await textsOf(writer.folder)).toEqual(["1", "2", "3", "4", "5"]);
});

test("while no file opens, new work is refused and reserved records wait in memory; they are written when one opens", async () => {
  using root = temporaryFolder();
  const disk = failingDisk();
  let now = 0;
  const writer = writerIn(root.path, { disk, now: () => now });
  const size = recordBytes(10);
  writer.append([bytesOf("1")]);
  writer.reserve(2 * size);
  disk.failWrites = Object.assign(new Error("EIO"), { code: "EIO" });
  const place = writer.append([bytesOf("settle one")], size);
  expect(place).toMatchObject({ number: 2 });
  expect(place.spool).not.toBe(writer.trail[0]!.spool);
  expect(() => writer.append([bytesOf("new")])).toThrow(expect.objectContaining({ code: "storage_full" }));
  expect(() => writer.reserve(10)).toThrow(expect.objectContaining({ code: "storage_full" }));
  expect(writer.append([bytesOf("settle two")], size)).toEqual({ spool: place.spool, number: 3 });
  disk.failWrites = undefined;
  now += limits.openAgainMs;
  expect(writer.append([bytesOf("new")])).toEqual({ spool: place.spool, number: 4 });
  writer.close();
  expect(await textsOf(writer.folder)).toEqual(["1", "settle one", "settle two", "new"]);
});

test("a file that has grown is followed by a new one, which has the reserved room", async () => {
  using root = temporaryFolder();
  const writer = writerIn(root.path, { fileBytes: 50_000 });
  writer.reserve(3_000_000);
  const places = [];
  for (let number = 0; number < 200; number++) {
    places.push(writer.append([Buffer.alloc(1000, `${number}`)]));
    if (number % 20 === 0) await writer.synced(places.at(-1)!);
  }
  await Promise.all(places.map((place) => writer.synced(place)));
  expect(writer.trail.length).toBeGreaterThan(2);
  expect(statSync(writer.trail.at(-1)!.path).size).toBeGreaterThanOrEqual(3_000_000);
  expect(writer.trail.map(({ ended }) => ended)).toEqual([...writer.trail.slice(1).map(() => true), false]);
  writer.close();
  expect(await textsOf(writer.folder)).toHaveLength(200);
});

test("a file that is missing between two others is said to be", async () => {
  using root = temporaryFolder();
  const writer = writerIn(root.path, { fileBytes: 1 });
  for (let number = 0; number < 3; number++) {
    writer.append([bytesOf(`${number}`)]);
    await writer.synced(writer.position());
  }
  await expect.poll(() => writer.trail.length).toBe(4);
  writer.close();
  rmSync(writer.trail[0]!.path);
  expect((await readFolder(writer.folder)).unreadable).toEqual([]);
  rmSync(writer.trail[2]!.path);
  expect((await readFolder(writer.folder)).unreadable).toMatchObject([{ path: writer.trail[2]!.path }]);
});

test("a file whose making was broken off says nothing", async () => {
  using root = temporaryFolder();
  const writer = writerIn(root.path);
  writer.append([bytesOf("1")]);
  writer.close();
  writeFileSync(join(writer.folder, "spl_x.spool"), Buffer.alloc(8192));
  expect(await readFolder(writer.folder)).toMatchObject({ files: [{ spool: writer.trail[0]!.spool }], unreadable: [] });
});

test("a folder's owner is alive while its lock is held, and dead after; its claim is held by one", () => {
  using root = temporaryFolder();
  const writer = writerIn(root.path);
  expect(spoolFolders(root.path)).toEqual([writer.folder]);
  const mark = markOf(writer);
  expect(claimFolder(writer.folder, mark).state).toBe("alive");
  writer.close();
  const claim = claimFolder(writer.folder, mark);
  expect(claim.state).toBe("dead");
  expect(claimFolder(writer.folder, mark).state).toBe("alive");
  if (claim.state === "dead") claim.owned.lock[Symbol.dispose]();
});

test("a copied folder, another machine's, and one without its lock are unknown; another start of the same machine says dead", () => {
  using root = temporaryFolder();
  const writer = writerIn(root.path);
  const mark = { ...markOf(writer), machine: "m", boot: "b" };
  writer.close();
  const stateOf = (folder: string, here: { machine: string; boot: string }, of = mark) => {
    const claim = claimFolder(folder, of, here);
    if (claim.state === "dead") claim.owned.lock[Symbol.dispose]();
    return claim.state;
  };
  const same = { machine: "m", boot: "b" };
  expect(stateOf(writer.folder, same)).toBe("dead");
  expect(stateOf(writer.folder, { machine: "another", boot: "b2" })).toBe("unknown");
  expect(stateOf(writer.folder, { machine: "", boot: "b2" })).toBe("unknown");
  expect(stateOf(writer.folder, { machine: "", boot: "" }, { ...mark, machine: "", boot: "" })).toBe("unknown");
  // Devices are numbered anew at a start, so that only the inode counts then.
  const renumbered = { ...mark, lock: `999:${mark.lock.split(":")[1]}` };
  expect(stateOf(writer.folder, { machine: "m", boot: "b2" }, renumbered)).toBe("dead");
  expect(stateOf(writer.folder, same, renumbered)).toBe("unknown");
  using copy = temporaryFolder();
  expect(stateOf(copy.path, same)).toBe("unknown");
  for (const name of readdirSync(writer.folder)) copyFileSync(join(writer.folder, name), join(copy.path, name));
  expect(existsSync(join(copy.path, "lock"))).toBe(true);
  expect(stateOf(copy.path, same)).toBe("unknown");
  expect(stateOf(copy.path, { machine: "m", boot: "b2" })).toBe("unknown");
});

const markOf = (writer: SpoolWriter) => {
  const bytes = readFileSync(writer.trail[0]!.path);
  const header = JSON.parse(bytes.toString("utf8", 24, 24 + bytes.readUInt32LE(12))) as {
    owner: Parameters<typeof claimFolder>[1];
  };
  return header.owner;
};

test("the spool of a dead process is continued in a further file, behind its last good record", async () => {
  using root = temporaryFolder();
  const writer = writerIn(root.path);
  for (const text of ["1", "2", "torn"]) writer.append([bytesOf(text)]);
  const { path, spool } = writer.trail[0]!;
  writer.close();
  const bytes = readFileSync(path);
  bytes[bytes.indexOf("torn")] = 0;
  writeFileSync(path, bytes);
  const left = await readFolder(writer.folder);
  const claim = claimFolder(writer.folder, left.files.at(-1)!.header.owner);
  if (claim.state !== "dead") throw new Error(claim.state);
  const heir = SpoolWriter.adopt({ left, owned: claim.owned, last: 2, id: newSpoolId(), epoch: "7" });
  heir.append([bytesOf("3")]);
  await heir.synced({ spool, number: 2 });
  await heir.synced(heir.position());
  expect(heir.trail.map(({ upTo }) => upTo)).toEqual([2, 1]);
  expect(claimFolder(writer.folder, markOf(writer)).state).toBe("alive");
  heir.close();
  expect(await textsOf(writer.folder)).toEqual(["1", "2", "3"]);
});
