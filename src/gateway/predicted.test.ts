// The header of predicted cached tokens: 0 or more wherever a prediction was made for the chosen endpoint, absent where none was made.
// docs/api.md names the three cases in which none is made.
import { expect, test } from "vitest";
import { hello, testGateway, type TestGateway } from "../api/testing.ts";
import { createOpenAiEngine } from "../engines/index.ts";
import { fieldsOfSoftware } from "../engines/wire/chat/fields.ts";
import { scriptedEngine } from "../engines/testing.ts";

const long = "The inspector reads the gauge, writes down what it says, and compares it with the limit. ".repeat(60);
const longCall = { ...hello, messages: [{ role: "user", content: long }] };

/** Predicted and reported cached tokens of one call, as its headers say them. */
async function told(at: TestGateway, path: string, body: object): Promise<(string | null)[]> {
  const answer = await fetch(`${at.address}/v1/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${at.key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(answer.status).toBe(200);
  await answer.arrayBuffer();
  return ["predicted-cached", "cached"].map((name) => answer.headers.get(`x-lineshaft-${name}-tokens`));
}

/** Puts a second endpoint beside the first; `tokenize`: it says that it counts prompts, which it does not. */
async function addEndpoint(at: TestGateway, { tokenize = false }: { tokenize?: boolean } = {}) {
  const engine = await scriptedEngine();
  at.engines.add("scripted", createOpenAiEngine({ url: engine.url, model: "scripted" }), {
    kind: "openai",
    model: "scripted",
    endpoint: "second",
    facts: {
      models: ["scripted"],
      slots: 4,
      capabilities: { tokenize, kvEvents: false, fields: fieldsOfSoftware("vllm") },
    },
  });
  return engine;
}

test("a prompt that is shorter than a block is predicted to have no cached token, and a repeated one its blocks", async () => {
  await using at = await testGateway();
  await using _second = await addEndpoint(at);
  expect(await told(at, "chat/completions", hello)).toEqual(["0", "0"]);
  expect(await told(at, "chat/completions", hello)).toEqual(["0", "0"]);
  expect(await told(at, "chat/completions", longCall)).toEqual(["0", "0"]);
  const [predicted, reported] = await told(at, "chat/completions", longCall);
  expect(Number(predicted)).toBeGreaterThan(500);
  expect(reported).toBe("0");
});

test("nothing is predicted where a model has one endpoint, or a call several prompts", async () => {
  await using at = await testGateway();
  expect(await told(at, "chat/completions", hello)).toEqual([null, "0"]);
  await using _second = await addEndpoint(at);
  const several = { model: "scripted", prompt: ["one", "two"], max_tokens: 8 };
  expect(await told(at, "completions", several)).toEqual([null, "0"]);
});

test("nothing is predicted of an endpoint whose blocks are of tokens that could not be counted", async () => {
  await using at = await testGateway();
  await using _second = await addEndpoint(at, { tokenize: true });
  at.engines.configure("scripted", { placement: "round-robin" });
  const headers = [await told(at, "chat/completions", hello), await told(at, "chat/completions", hello)];
  expect(headers.map(([predicted]) => predicted).toSorted()).toEqual(["0", null]);
});
