import { describe, expect, it } from "vitest";
import { parseChat } from "./request.ts";
import { samplingFor, usualSampling } from "./samplingDefaults.ts";

const smol = samplingFor({ temperature: 0.2, topP: 0.9 }, undefined).values;

describe("sampling where nothing is asked for", () => {
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
