// The bounds on the size of a trace, at their full size: a line and an object of 32 MiB, and a gigabyte of text.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, expect, it } from "vitest";
import "../../../test/setup/costly.ts";
import { openWorkload } from "./open.ts";

const folder = mkdtempSync(join(tmpdir(), "sizes-"));
afterAll(() => rmSync(folder, { recursive: true }));
const written = (name: string, content: Buffer) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

it("a line and an object may have 32 MiB, and reading ends there", async () => {
  const long = Buffer.alloc(40 * 1024 * 1024, "1,");
  const line = Buffer.concat([Buffer.from('{"timestamp": 0, "hash_ids": ['), long]);
  await expect(openWorkload({ trace: written("line.jsonl", line) })).rejects.toMatchObject({
    code: "trace_unreadable",
    message: expect.stringMatching(/line 1 of .*: it is longer than 32 MiB/),
  });
  const object = Buffer.concat([Buffer.from('{"block_size": 64, "requests": ['), long]);
  await expect(openWorkload({ trace: written("object.json", object) })).rejects.toMatchObject({
    code: "trace_unreadable",
    message: expect.stringMatching(/begins on line 1 of .*: it is longer than 32 MiB/),
  });
});

it("what unpacks to more than a gigabyte is refused before it fills the memory", async () => {
  // A line of 4 MiB that packs to a few kilobytes, as often as makes 1.1 GiB: gzip members may stand one after the other. The length is in
  // a string, which takes less time to parse than anything else.
  const row = { timestamp: 0, input_length: 5, output_length: 1, hash_ids: [], note: " ".repeat(4 * 1024 * 1024) };
  const line = `${JSON.stringify(row)}\n`;
  const packed = gzipSync(line, { level: 1 });
  const trace = written("bomb.jsonl.gz", Buffer.concat(Array.from({ length: 280 }, () => packed)));
  await expect(openWorkload({ trace })).rejects.toMatchObject({
    code: "trace_too_large",
    message: expect.stringMatching(/more than 1024 MiB of text/),
    hint: expect.stringMatching(/--limit/),
  });
  expect((await openWorkload({ trace, limit: 3 })).calls).toHaveLength(3);
});
