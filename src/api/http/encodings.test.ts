// Compressed bodies: what is read, what is refused, and that a body that decompresses to more than it may costs no more than the bound.
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { limits } from "../limits.ts";
import { decompressorOf } from "./encodings.ts";

const pack: Record<string, (bytes: Buffer) => Buffer> = {
  gzip: gzipSync,
  "x-gzip": gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
};
const text = JSON.stringify({ input: "Seven green apples. ".repeat(20_000) });

test.each(Object.keys(pack))("%s is undone, in small pieces", async (name) => {
  const pieces: Buffer[] = [];
  await decompressorOf(name.toUpperCase())!(pack[name]!(Buffer.from(text)), (piece) => void pieces.push(piece));
  expect(Buffer.concat(pieces).toString()).toBe(text);
  expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(limits.decompressedPieceBytes);
});

test.each(Object.keys(pack))("%s that is cut or damaged is refused as such", async (name) => {
  const packed = pack[name]!(Buffer.from(text));
  const failure = { status: 400, code: "invalid_value", message: expect.stringContaining(name) };
  for (const bytes of [packed.subarray(0, packed.length - 3), Buffer.from("{}"), Buffer.alloc(0)])
    await expect(decompressorOf(name)!(bytes, () => {})).rejects.toMatchObject(failure);
});

test.each(Object.keys(pack))(
  "bytes after the end of %s are refused, because a client may have meant them",
  async (name) => {
    const packed = pack[name]!(Buffer.from(text));
    const follow = name.endsWith("gzip") ? [] : [packed];
    for (const more of [Buffer.from("{}"), Buffer.alloc(8), ...follow])
      await expect(decompressorOf(name)!(Buffer.concat([packed, more]), () => {})).rejects.toMatchObject({
        status: 400,
        code: "invalid_value",
      });
  },
);

test("members of gzip are one body (RFC 1952), within the reader's bound", async () => {
  const pieces: Buffer[] = [];
  const members = Buffer.concat([gzipSync('{"a":'), gzipSync("1}")]);
  await decompressorOf("gzip")!(members, (piece) => void pieces.push(piece));
  expect(Buffer.concat(pieces).toString()).toBe('{"a":1}');
});

test("plain bodies are not touched, and what is not known is refused by name", () => {
  for (const plain of [undefined, "", "identity", " Identity "]) expect(decompressorOf(plain)).toBeUndefined();
  for (const unknown of ["compress", "gzip, zstd", "constructor"])
    expect(() => decompressorOf(unknown)).toThrow(
      expect.objectContaining({ status: 415, code: "body_encoded", message: expect.stringContaining(unknown) }),
    );
});

test.each(Object.keys(pack))("a reader of %s that has had enough is given no more", async (name) => {
  const bomb = pack[name]!(Buffer.alloc(8 * 1024 * 1024));
  expect(bomb.length).toBeLessThan(100_000);
  let bytes = 0;
  const taken = decompressorOf(name)!(bomb, (piece) => {
    bytes += piece.length;
    if (bytes > 1_000_000) throw new Error("enough");
  });
  await expect(taken).rejects.toThrow("enough");
  expect(bytes).toBeLessThan(1_000_000 + limits.decompressedPieceBytes);
});

test("a window that is larger than the coding allows is refused", async () => {
  // A frame header of RFC 8878: magic number, no single segment, and a window of 2 to the power of 10 + 17.
  const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0x01, 0x00, 0x00]);
  await expect(decompressorOf("zstd")!(frame, () => {})).rejects.toMatchObject({ code: "invalid_value" });
});

test("few are decompressed at once, and all have their turn", async () => {
  const packed = gzipSync(Buffer.alloc(1024 * 1024));
  const open = new Set<number>();
  let most = 0;
  const one = async (number: number) => {
    await decompressorOf("gzip")!(packed, () => {
      open.add(number);
      most = Math.max(most, open.size);
    });
    open.delete(number);
  };
  await Promise.all(Array.from({ length: 20 }, (_, number) => one(number)));
  expect(open.size).toBe(0);
  expect(most).toBeLessThanOrEqual(limits.decompressedAtOnce);
});
