// Every reader of strangers' bytes under random inputs, seeded: a find prints the seed and the input that it shrank to. `npm run fuzz`
// looks further, guided by coverage; what it found is in `corpus/` and is tried here first.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { SseScanner } from "../../src/engines/wire/sse.ts";
import { mutated } from "./mutate.ts";
import { targets } from "./targets.ts";
import { runs } from "../setup/runs.ts";

/** Inputs that were finds once, by target. */
function corpusOf(name: string): [string, Buffer][] {
  const folder = join(import.meta.dirname, "corpus", name.replaceAll(/[^a-z0-9]+/gi, "-"));
  if (!existsSync(folder)) return [];
  return readdirSync(folder).map((file) => [file, readFileSync(join(folder, file))]);
}

describe.each(targets())("$name", (target) => {
  test("takes its seeds", () => {
    for (const seed of target.seeds) target.run(seed);
  });

  test.each(corpusOf(target.name))("what was found once: %s", (_file, input) => {
    target.run(input);
  });

  test("random changes of them end in an answer or a refusal", () => {
    const place = fc.nat({ max: target.seeds.length - 1 });
    fc.assert(
      fc.property(
        place,
        place,
        fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
        (one, two, stream) => {
          const random = () => stream.next().value as number;
          target.run(mutated(target.seeds[one]!, target.seeds[two]!, random));
        },
      ),
      { numRuns: runs(100), seed: 7 },
    );
  });

  test("any bytes do", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => target.run(Buffer.from(bytes))),
      { numRuns: runs(100), seed: 8 },
    );
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => target.run(Buffer.from(text))),
      { numRuns: runs(100), seed: 9 },
    );
  });
});

describe("the work of the scanner of events is linear, and its memory bounded", () => {
  /** Bytes that it copies for an input: those of its own pieces, and those of what it puts together. */
  function copied(pieces: Buffer[]): { copied: number; kept: number } {
    let bytes = 0;
    const concat = vi.spyOn(Buffer, "concat").mockImplementation((list) => {
      const total = list.reduce((sum, piece) => sum + piece.length, 0);
      bytes += total;
      const joined = Buffer.alloc(total);
      let at = 0;
      for (const piece of list) {
        joined.set(piece, at);
        at += piece.length;
      }
      return joined;
    });
    let kept = 0;
    try {
      const scanner = new SseScanner(() => {}, 64 * 1024);
      for (const piece of pieces) {
        kept += piece.length;
        scanner.push(piece);
      }
    } catch {
      return { copied: bytes, kept };
    } finally {
      concat.mockRestore();
    }
    return { copied: bytes, kept };
  }

  test("a line in a thousand pieces is put together once", () => {
    const line = Buffer.from(`data: ${"x".repeat(32_000)}\n\n`);
    const pieces = Array.from({ length: 1_000 }, (_, index) => line.subarray(index * 33, (index + 1) * 33));
    expect(copied(pieces).copied).toBeLessThanOrEqual(2 * line.length);
  });

  test("a line without an end is refused as soon as it passes the bound", () => {
    const piece = Buffer.alloc(1_000, "x");
    const endless = Array.from({ length: 10_000 }, () => piece);
    expect(copied(endless).kept).toBeLessThanOrEqual(64 * 1024 + piece.length);
  });

  test("data lines without an empty line between are refused as soon as they pass the bound", () => {
    const piece = Buffer.from(`data: ${"x".repeat(1_000)}\n`);
    const endless = Array.from({ length: 10_000 }, () => piece);
    expect(copied(endless).kept).toBeLessThanOrEqual(66 * 1024);
  });
});
