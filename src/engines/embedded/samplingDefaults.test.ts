import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readGgufFileInfo } from "node-llama-cpp";
import { describe, expect, it } from "vitest";
import { parseChat } from "./request.ts";
import { samplingFor, usualSampling } from "./samplingDefaults.ts";

const smol = samplingFor({ temperature: 0.2, topP: 0.9 }, undefined).values;

/** The head of a GGUF file (version 3) with these keys: texts, and numbers as 32-bit floats. */
function ggufWith(keys: Record<string, string | number>): Buffer {
  const text = (value: string) => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(Buffer.byteLength(value)));
    return Buffer.concat([length, Buffer.from(value)]);
  };
  const entries = Object.entries(keys).map(([key, value]) => {
    const type = Buffer.alloc(4);
    type.writeUInt32LE(typeof value === "string" ? 8 : 6);
    if (typeof value === "string") return Buffer.concat([text(key), type, text(value)]);
    const number = Buffer.alloc(4);
    number.writeFloatLE(value);
    return Buffer.concat([text(key), type, number]);
  });
  const head = Buffer.alloc(24);
  head.write("GGUF");
  head.writeUInt32LE(3, 4);
  head.writeBigUInt64LE(BigInt(entries.length), 16);
  return Buffer.concat([head, ...entries]);
}

describe("sampling where nothing is asked for", () => {
  it("is read from a file as the library reads it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "lineshaft-gguf-"));
    try {
      const path = join(folder, "model.gguf");
      const keys = { "general.architecture": "llama", "general.sampling.temp": 0.6, "general.sampling.top_p": 0.95 };
      writeFileSync(path, ggufWith(keys));
      const { metadata } = await readGgufFileInfo(path, { readTensorInfo: false, logWarnings: false });
      const { sampling } = metadata.general as { sampling?: unknown };
      expect(samplingFor(undefined, sampling)).toMatchObject({
        values: { temperature: 0.6, topP: 0.95, topK: 0 },
        source: "file",
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("is the catalogue's, else the file's, else the usual", () => {
    const file = { temp: Math.fround(0.6), top_p: Math.fround(0.95), top_k: 20 };
    expect(samplingFor({ temperature: 0.2, topP: 0.9 }, file)).toEqual({
      values: { temperature: 0.2, topP: 0.9, topK: 0, minP: 0, repetitionPenalty: 1 },
      source: "catalogue",
    });
    expect(samplingFor(undefined, file)).toEqual({
      values: { temperature: 0.6, topP: 0.95, topK: 20, minP: 0, repetitionPenalty: 1 },
      source: "file",
    });
    expect(samplingFor(undefined, undefined)).toEqual({ values: usualSampling, source: "usual" });
  });

  it.each([{ temp: -1 }, { temp: "hot" }, { top_k: 2.5 }, { penalty_repeat: 0 }, "no object", null])(
    "takes nothing from a file that says %j",
    (file) => {
      expect(samplingFor(undefined, file).source).toBe("usual");
    },
  );

  const sampled = (fields: Record<string, unknown>, defaults = smol) =>
    parseChat({ messages: [{ role: "user", content: "x" }], ...fields }, defaults).sampling;

  it("is taken field by field: what a request says wins", () => {
    expect(sampled({})).toMatchObject({ temperature: 0.2, topP: 0.9, topK: 0, minP: 0, repetitionPenalty: 1 });
    expect(sampled({ temperature: 1.5 })).toMatchObject({ temperature: 1.5, topP: 0.9 });
    expect(sampled({ top_p: 1, top_k: 5, min_p: 0.1, repetition_penalty: 1.2 })).toMatchObject({
      temperature: 0.2,
      topP: 1,
      topK: 5,
      minP: 0.1,
      repetitionPenalty: 1.2,
    });
    expect(sampled({ temperature: null })).toMatchObject({ temperature: 0.2 });
  });

  it("leaves temperature 0 greedy: no penalty of the model's changes the likeliest token", () => {
    const penalised = { ...smol, repetitionPenalty: 1.3 };
    expect(sampled({}, penalised).repetitionPenalty).toBe(1.3);
    expect(sampled({ temperature: 0 }, penalised)).toMatchObject({ temperature: 0, repetitionPenalty: 1 });
    expect(sampled({ temperature: 0, repetition_penalty: 1.1 }, penalised).repetitionPenalty).toBe(1.1);
  });
});
