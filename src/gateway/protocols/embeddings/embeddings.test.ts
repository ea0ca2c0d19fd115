// Embeddings pass the suite of calls without output, and give their numbers as they were asked for.
import { expect, test } from "vitest";
import type { Prompt, Usage, WireObject } from "../../../engines/index.ts";
import { inputSuite } from "../inputSuite.ts";
import { decodeAs } from "../testing.ts";
import { embeddings } from "./index.ts";

inputSuite({
  protocol: embeddings,
  minimal: { model: "m", input: "once" },
  maximal: { model: "m", input: ["once", "twice"], encoding_format: "base64", dimensions: 256, user: "u" },
  decoded: { shape: "embeddings", kind: "embed", model: "m", prompt: { kind: "list", prompts: ["once", "twice"] } },
  sent: { model: "theirs", input: ["once", "twice"], encoding_format: "base64", dimensions: 256, user: "u" },
  refused: [
    [{ input: "once" }, "model"],
    [{ model: "m" }, "input"],
    [{ model: "m", input: "" }, "input"],
    [{ model: "m", input: [] }, "input"],
    [{ model: "m", input: ["once", ""] }, "input"],
    [{ model: "m", input: ["once", 1] }, "input"],
    [{ model: "m", input: [[1], []] }, "input"],
    [{ model: "m", input: "once", encoding_format: "hex" }, "encoding_format"],
    [{ model: "m", input: "once", dimensions: 0 }, "dimensions"],
    [{ model: "m", input: Array.from({ length: 2_049 }, () => "x") }, "input"],
  ],
});

test.each<[unknown, Prompt]>([
  ["once", { kind: "list", prompts: ["once"] }],
  [[1, 2], { kind: "list", prompts: [[1, 2]] }],
  [["once"], { kind: "list", prompts: ["once"] }],
  [[[1, 2], [3]], { kind: "list", prompts: [[1, 2], [3]] }],
])("the input %j is read as %j", (input, read) => {
  expect(decodeAs(embeddings, { model: "m", input }).prompt).toEqual(read);
});

const vector = [0.5, -0.25, 1];
const base64 = Buffer.from(Float32Array.from(vector).buffer).toString("base64");

/** What a client reads of an engine's answer with this embedding. */
function answered(embedding: unknown, body: object, usage?: Usage) {
  const data = {
    object: "list",
    model: "theirs",
    data: [{ object: "embedding", index: 0, embedding }],
    usage: { prompt_tokens: 3 },
  };
  const wire: WireObject = { shape: "embeddings", data, text: undefined };
  const call = decodeAs(embeddings, { model: "m", input: "once", ...body });
  const text = embeddings.whole({ deltas: [], wire, ...(usage && { usage }) }, { call, id: "call_1", createdMs: 7 });
  return JSON.parse(text) as { data: { embedding: unknown }[]; usage: unknown };
}

test.each([
  ["numbers", vector, "float", vector],
  ["base64", base64, "base64", base64],
  ["numbers where base64 was asked for", vector, "base64", base64],
  ["base64 where numbers were asked for", base64, "float", vector],
])("an engine that answers %s", (_name, embedding, encoding_format, read) => {
  expect(answered(embedding, { encoding_format }).data[0]!.embedding).toEqual(read);
});

test("without a word on the encoding numbers are answered", () => {
  expect(answered(base64, {}).data[0]!.embedding).toEqual(vector);
});

test("usage is what is billed", () => {
  const usage: Usage = { promptTokens: 9, cachedTokens: 0, outputTokens: 0, reasoningTokens: 0, source: "engine" };
  expect(answered(vector, {}).usage).toEqual({ prompt_tokens: 3 });
  expect(answered(vector, {}, usage).usage).toEqual({ prompt_tokens: 9, total_tokens: 9 });
});
