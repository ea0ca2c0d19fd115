// The file of a backup: whatever goes in comes out, and a file that is not exactly what was written is refused.
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { constants, createZstdCompress, zstdCompressSync } from "node:zlib";
import { Encrypter } from "age-encryption";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { limits } from "../limits.ts";
import { writeContainer } from "./container.ts";
import { entriesOf, readBackup, type Facts, type Stream } from "./manifest.ts";
import { packTar, type Entry } from "./tar.ts";
import { runs } from "../../../test/setup/runs.ts";
import "../../../test/setup/costly.ts";

const label = { lineshaft: "0.1.0", created_at: "2026-11-27T12:00:00.000Z" };
const timeS = 1_700_000_000;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-container-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const newFile = () => join(folder, `${files++}.backup`);

async function* streamsOf(content: [string, Buffer[]][]): AsyncGenerator<Stream> {
  for (const [name, pieces] of content) yield { name, bytes: Readable.from(pieces) };
}

async function made(content: [string, Buffer[]][]): Promise<string> {
  const file = newFile();
  const facts = (): Facts => ({ migrations: [], tables: [], sequences: [], left_out: ["models"] });
  await writeContainer(file, entriesOf(label, streamsOf(content), facts), { timeS });
  return file;
}

async function contentOf(file: string, passphrase?: string): Promise<[string, Buffer][]> {
  const parts: [string, Buffer[]][] = [];
  await readBackup(file, {
    passphrase,
    onPart: async ({ stream, bytes }) => {
      if (parts.at(-1)?.[0] !== stream) parts.push([stream, []]);
      parts.at(-1)![1].push(bytes);
    },
  });
  return parts.map(([name, pieces]) => [name, Buffer.concat(pieces)]);
}

/** The code and the reason of a refusal. */
async function refusal(file: string, passphrase?: string): Promise<string> {
  return contentOf(file, passphrase).then(
    () => "was read",
    ({ code, why }: { code: string; why: string }) => `${code}: ${why}`,
  );
}

const small: [string, Buffer[]][] = [
  ["tables/calls", [Buffer.from("a\tb\n"), Buffer.from("c\td\n")]],
  ["spools/x/y.spool", [randomBytes(300)]],
];

test("streams of any bytes in pieces of any length come back as they went in", async () => {
  // One piece in four is longer than a part of the file.
  const long = fc
    .record({
      length: fc.integer({ min: limits.backupPartBytes, max: limits.backupPartBytes + 100_000 }),
      byte: fc.constantFrom(0, 10, 65),
    })
    .map(({ length, byte }) => Buffer.alloc(length, byte));
  const piece = fc.oneof({ weight: 3, arbitrary: fc.uint8Array({ maxLength: 600 }) }, { weight: 1, arbitrary: long });
  const name = fc.stringMatching(/^[a-z]{1,8}\/[a-z0-9_-]{1,20}(\.[a-z]{1,5})?$/);
  const content = fc.uniqueArray(
    fc.tuple(
      name,
      fc.array(
        piece.map((bytes) => Buffer.from(bytes)),
        { maxLength: 4 },
      ),
    ),
    {
      selector: ([of]) => of,
      maxLength: 5,
    },
  );
  await fc.assert(
    fc.asyncProperty(content, async (streams) => {
      const file = await made(streams);
      const whole = streams.map(([of, pieces]) => [of, Buffer.concat(pieces)] as [string, Buffer]);
      const read = await contentOf(file);
      // Jest's comparison of large buffers takes seconds.
      const sums = (list: [string, Buffer][]) =>
        list.map(([of, bytes]) => `${of} ${createHash("sha256").update(bytes).digest("hex")}`);
      expect(sums(read)).toEqual(sums(whole.filter(([, bytes]) => bytes.length > 0)));
      rmSync(file);
    }),
    { numRuns: runs(10), seed: 7 },
  );
});

test("no flipped bit and no cut passes", async () => {
  const file = await made(small);
  const bytes = readFileSync(file);
  const changed = newFile();
  // Every byte of the file's first header and of its last frames and seal, and some of what lies between, which is all of one kind.
  const places = [...bytes.keys()].filter((at) => at < 32 || at >= bytes.length - 64 || at % 13 === 0);
  for (const at of places) {
    const one = Buffer.from(bytes);
    one[at]! ^= 1 << (at % 8);
    writeFileSync(changed, one);
    expect(await refusal(changed), `byte ${at}`).toMatch(/^backup_(damaged|unknown)/);
    if (at % 2 === 0) continue;
    writeFileSync(changed, bytes.subarray(0, at));
    expect(await refusal(changed), `cut at ${at}`).toMatch(/^backup_(damaged|unknown)/);
  }
  writeFileSync(changed, Buffer.concat([bytes, Buffer.from("x")]));
  expect(await refusal(changed)).toMatch(/^backup_damaged/);
  writeFileSync(changed, Buffer.concat([bytes, bytes]));
  expect(await refusal(changed)).toMatch(/^backup_damaged/);
});

test("no other passphrase and no change opens an encrypted file", async () => {
  // Deriving the key takes a second in a file that was written here. In this one it takes a millisecond, so that many places are tried.
  const encrypter = new Encrypter();
  encrypter.setPassphrase("correct horse");
  encrypter.setScryptWorkFactor(2);
  const bytes = Buffer.from(await encrypter.encrypt(readFileSync(await made(small))));
  const changed = newFile();
  const read = async (one: Buffer, passphrase = "correct horse") => {
    writeFileSync(changed, one);
    return refusal(changed, passphrase);
  };
  expect(await read(bytes)).toBe("was read");
  expect(await read(bytes, "wrong horse")).toMatch(/^backup_locked/);
  for (let at = 0; at < bytes.length; at += 11) {
    const one = Buffer.from(bytes);
    one[at]! ^= 1;
    expect(await read(one), `byte ${at}`).toMatch(/^backup_(damaged|locked|unknown)/);
    if (at % 2 === 0) expect(await read(bytes.subarray(0, at)), `cut at ${at}`).toMatch(/^backup_/);
  }
  expect(await read(bytes.subarray(0, -1))).toMatch(/^backup_damaged/);
});

/** A file as `writeContainer` writes it, with entries that it would not write. */
const forged = (tar: Buffer): string =>
  sealed(zstdCompressSync(tar, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }));

/** A file of compressed bytes with the seal that fits them. */
function sealed(packed: Buffer): string {
  const file = newFile();
  const seal = Buffer.concat([
    Buffer.from([0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0]),
    createHash("sha256").update(packed).digest(),
  ]);
  writeFileSync(file, Buffer.concat([packed, seal]));
  return file;
}

async function tarOf(entries: Entry[]): Promise<Buffer> {
  return buffer(Readable.from(packTar(Readable.from(entries), timeS)));
}

const entry = (name: string, body: unknown): Entry => ({
  name,
  body: Buffer.isBuffer(body) ? body : Buffer.from(`${JSON.stringify(body)}\n`),
});
const labelled = entry("backup.json", { format: 1, ...label });

/** The manifest of these streams with the file that seals it. */
function manifest(streams: { name: string; bytes: Buffer }[], facts: object = {}): Entry[] {
  const body = Buffer.from(
    `${JSON.stringify({
      format: 1,
      ...label,
      migrations: [],
      tables: [],
      sequences: [],
      left_out: [],
      streams: streams.map(({ name, bytes }) => ({
        name,
        bytes: bytes.length,
        parts: bytes.length > 0 ? 1 : 0,
        sha256: createHash("sha256").update(bytes).digest("hex"),
      })),
      ...facts,
    })}\n`,
  );
  return [
    entry("manifest.json", body),
    entry("manifest.sha256", Buffer.from(createHash("sha256").update(body).digest("hex"))),
  ];
}

const rows = Buffer.from("a\n");
const stream = { name: "tables/calls", bytes: rows };

test.each<[string, Entry[], string]>([
  ["another format", [entry("backup.json", { format: 2, ...label })], "backup_unknown: Its format is 2"],
  ["no label", [entry("tables/calls/000001", rows)], "backup_unknown: It begins with tables/calls/000001"],
  ["no manifest", [labelled, entry("tables/calls/000001", rows)], "backup_damaged: It has no manifest"],
  [
    "a part twice",
    [labelled, entry("tables/calls/000001", rows), entry("tables/calls/000001", rows), ...manifest([stream])],
    "backup_damaged: tables/calls/000001 is not in its place",
  ],
  [
    "other rows",
    [labelled, entry("tables/calls/000001", Buffer.from("b\n")), ...manifest([stream])],
    "backup_damaged: tables/calls is not what its manifest says",
  ],
  [
    "a stream more",
    [labelled, entry("tables/calls/000001", rows), entry("tables/keys/000001", rows), ...manifest([stream])],
    "backup_damaged: It holds more than its manifest says",
  ],
  ["a stream less", [labelled, ...manifest([stream])], "backup_damaged: tables/calls is not what its manifest says"],
  [
    "a table without rows",
    [labelled, ...manifest([], { tables: [{ name: "calls", columns: [], rows: 0 }] })],
    "backup_damaged: The table calls is missing",
  ],
  [
    "a manifest that is none",
    [
      labelled,
      entry("manifest.json", { streams: 1 }),
      entry("manifest.sha256", Buffer.from(createHash("sha256").update('{"streams":1}\n').digest("hex"))),
    ],
    "backup_damaged: manifest.json is not what Lineshaft writes",
  ],
  [
    "something behind its end",
    [labelled, ...manifest([]), entry("tables/calls/000001", rows)],
    "backup_damaged: Something follows its manifest",
  ],
])("a file with %s is refused", async (_what, entries, why) => {
  expect(await refusal(forged(await tarOf(entries)))).toContain(why);
});

test.each([
  "../evil/000001",
  "/etc/passwd",
  "tables/../../evil",
  "a//b",
  ".hidden/x",
  "tables/x\0y/000001",
  "é/000001",
])("a path like %j cannot be in a file", async (name) => {
  // Written by hand, because the writer refuses it.
  const [before, after] = ["spools/aaaa/000001", name];
  const tar = await tarOf([labelled, entry(before, rows)]);
  const at = tar.indexOf(before);
  tar.fill(0, at, at + 100);
  tar.write(after, at, "latin1");
  tar.fill(" ", at + 148, at + 156);
  const sum = tar.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, "latin1");
  expect(await refusal(forged(tar))).toBe("backup_damaged: The header of a part was changed.");
});

test("a part that says it is larger than parts are is refused before it is held in memory", async () => {
  const tar = await tarOf([labelled, entry("spools/aaaa/000001", rows)]);
  const at = tar.indexOf("spools/aaaa");
  tar.write((limits.backupPartBytes + 1).toString(8).padStart(11, "0"), at + 124, "latin1");
  expect(await refusal(forged(tar))).toBe("backup_damaged: The header of a part was changed.");
});

test("a file that expands without end is given up", async () => {
  async function* bomb(): AsyncGenerator<Entry> {
    yield labelled;
    // 240 MiB of zeros pack to less than 50 kB.
    const body = Buffer.alloc(limits.backupPartBytes);
    for (let part = 1; part <= 60; part++) yield entry(`tables/calls/${String(part).padStart(6, "0")}`, body);
  }
  const packed = await buffer(Readable.from(packTar(bomb(), timeS)).pipe(createZstdCompress()));
  expect(await refusal(sealed(packed))).toBe(
    `backup_damaged: It expands to more than ${limits.backupExpandMost} times its size.`,
  );
});

test("a file that is something else is no backup", async () => {
  const file = newFile();
  writeFileSync(file, "hello");
  expect(await refusal(file)).toMatch(/^backup_unknown/);
  expect(await refusal(join(folder, "none"))).toMatch(/^backup_unknown: ENOENT/);
});

test("it is private, never written over another, and absent when its content fails", async () => {
  const file = await made(small);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  await expect(writeContainer(file, Readable.from([]), { timeS })).rejects.toThrow(/No backup was made/);
  const failing = newFile();
  async function* breaking(): AsyncGenerator<Entry> {
    yield labelled;
    throw new Error("the database has gone");
  }
  await expect(writeContainer(failing, breaking(), { timeS })).rejects.toThrow("the database has gone");
  expect([existsSync(failing), existsSync(`${failing}.part`)]).toEqual([false, false]);
});
