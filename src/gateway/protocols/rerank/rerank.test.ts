// Rerank passes the suite of calls without output, and answers in the shape of its route.
import { expect, test } from "vitest";
import type { WireObject } from "../../../engines/index.ts";
import { inputSuite } from "../inputSuite.ts";
import { rerank } from "./index.ts";

const documents = ["a pump", { text: "a bearing" }, "a violin"];

inputSuite({
  protocol: rerank,
  minimal: { model: "m", query: "q", documents: ["d"] },
  maximal: { model: "m", query: "vibration", documents, top_n: 2, return_documents: true },
  decoded: {
    shape: "rerank",
    kind: "rerank",
    prompt: { kind: "rerank", query: "vibration", documents: ["a pump", "a bearing", "a violin"], top: 2 },
  },
  sent: { model: "theirs", query: "vibration", documents: ["a pump", "a bearing", "a violin"], top_n: 2 },
  refused: [
    [{ query: "q", documents: ["d"] }, "model"],
    [{ model: "m", documents: ["d"] }, "query"],
    [{ model: "m", query: "", documents: ["d"] }, "query"],
    [{ model: "m", query: "q" }, "documents"],
    [{ model: "m", query: "q", documents: [] }, "documents"],
    [{ model: "m", query: "q", documents: ["d", 1] }, "documents[1]"],
    [{ model: "m", query: "q", documents: ["d"], top_n: 0 }, "top_n"],
  ],
});

const jina = {
  results: [
    { index: 2, relevance_score: 0.1 },
    { index: 1, relevance_score: 0.9 },
  ],
  usage: { prompt_tokens: 21, total_tokens: 21 },
};

function answered(data: Record<string, unknown>, body: object = {}, path = "/v1/rerank"): unknown {
  const json = { model: "m", query: "vibration", documents, ...body };
  const text = JSON.stringify(json);
  const call = rerank.decode({
    route: rerank.calls[0]!,
    model: undefined,
    path,
    query: new URLSearchParams(),
    headers: {},
    bytes: Buffer.from(text),
    json,
  });
  const wire: WireObject = { shape: "rerank", data, text: undefined };
  return JSON.parse(rerank.whole({ deltas: [], wire }, { call, id: "call_1", createdMs: 7 }));
}

test("the best document comes first, without its text", () => {
  expect(answered(jina)).toEqual({
    id: "call_1",
    model: "m",
    results: [
      { index: 1, relevance_score: 0.9 },
      { index: 2, relevance_score: 0.1 },
    ],
    usage: { prompt_tokens: 21, total_tokens: 21 },
  });
});

test("documents are repeated, and cut to the first ones, where that is asked for", () => {
  expect(answered(jina, { return_documents: true, top_n: 1 })).toMatchObject({
    results: [{ index: 1, relevance_score: 0.9, document: { text: "a bearing" } }],
  });
});

test("Cohere's clients read searches and tokens", () => {
  const many = Array.from({ length: 101 }, (_, index) => `d${index}`);
  expect(answered(jina, { documents: many }, "/v2/rerank")).toEqual({
    id: "call_1",
    results: [
      { index: 1, relevance_score: 0.9 },
      { index: 2, relevance_score: 0.1 },
    ],
    meta: { billed_units: { search_units: 2 }, tokens: { input_tokens: 21 } },
  });
});

test("a document that was not sent is no answer", () => {
  expect(() => answered({ results: [{ index: 3, relevance_score: 1 }] })).toThrow("ranks document 3");
});
