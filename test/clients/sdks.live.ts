// Client libraries, unmodified, each in the small program that a user would write (programs/): a whole answer, its stream, a loop with a
// tool, an object by a schema, and the error of a model that does not exist.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { npmClients, pythonClients } from "./install.ts";
import { openWorld, runProgram, type World } from "./world.ts";

/** Program and API of each row; python where the program's name ends so. */
const table: [program: string, api: string][] = [
  ["openai.mjs", "chat"],
  ["ai.mjs", "chat"],
  ["agents.mjs", "chat"],
  ["langgraph.mjs", "chat"],
  ["langgraph.py", "chat"],
  ["pydanticAi.py", "chat"],
  ["litellmClient.py", "chat"],
  ["openaiAgents.py", "chat"],
  ["openai.mjs", "responses"],
  ["ai.mjs", "responses"],
  ["agents.mjs", "responses"],
  ["langgraph.mjs", "responses"],
  ["langgraph.py", "responses"],
  ["pydanticAi.py", "responses"],
  ["litellmClient.py", "responses"],
  ["openaiAgents.py", "responses"],
  ["anthropic.mjs", "messages"],
  ["ai.mjs", "messages"],
  ["pydanticAi.py", "messages"],
  ["litellmClient.py", "messages"],
  ["genai.mjs", "gemini"],
  ["ai.mjs", "gemini"],
  ["litellmClient.py", "gemini"],
];

let world: World;
let packages: string;
let python: string;
const model = "rules";
/** The models of embeddings and of rankings. */
const vectors = { MODEL: "vectors", RANKER: "ranks" };

beforeAll(async () => {
  packages = await npmClients();
  python = await pythonClients();
  world = await openWorld();
  await world.serve(model);
  for (const name of Object.values(vectors)) await world.serveVectors(name);
});
afterAll(() => world?.[Symbol.asyncDispose]());

/** Runs a program in the folder of the packages, so that its imports find them; its last line is what it understood. */
async function understood(program: string, more: Record<string, string>): Promise<Record<string, any>> {
  const { home } = world.folder();
  const env = { ADDRESS: world.address, KEY: world.key, MODEL: model, ...more };
  const text = readFileSync(join(import.meta.dirname, "programs", program), "utf8");
  const [command, words] = program.endsWith(".py") ? [python, ["-"]] : [process.execPath, ["--input-type=module"]];
  const ran = await runProgram(command as string, words as string[], { home, work: packages, env, stdin: text });
  if (ran.code !== 0) throw new Error(`${program} ended with ${ran.code}:\n${ran.stdout}\n${ran.stderr}`);
  return JSON.parse(ran.stdout.trim().split("\n").at(-1)!) as Record<string, any>;
}

describe.each(table)("%s over %s", (program, api) => {
  test("understands answers, streams, tools, objects and errors", async () => {
    const before = (await world.callsOf(model)).length;
    const said = await understood(program, { API: api });
    expect(said["text"]).toBe("I read: Name a fruit.");
    expect(said["streamed"]).toBe(said["text"]);
    expect(said["final"]).toContain("Sunny in Paris.");
    if (said["object"] !== undefined) expect(said["object"]).toEqual({ city: "Paris", days: 1 });
    expect(said["error"]).toMatchObject({ status: 404, message: expect.stringContaining("no-such-model") });
    if (said["remembered"] !== undefined) expect(said["remembered"]).toBe("Alice");
    if (said["models"] !== undefined) expect(said["models"]).toContain(model);
    if (said["counted"] !== undefined) expect(said["counted"]).toBeGreaterThan(0);
    const calls = (await world.callsOf(model)).slice(before);
    expect(calls.length).toBeGreaterThanOrEqual(4);
    for (const call of calls) expect(call["status"]).toBe("completed");
    const [first] = calls;
    expect(said["usage"]).toEqual({ prompt: first!["prompt_tokens"], output: first!["output_tokens"] });
  });
});

test("Anthropic's client makes batches, reads their results, and lists, cancels and deletes them", async () => {
  const said = await understood("messageBatches.mjs", {});
  const none = { canceled: 0, expired: 0 };
  expect(said).toMatchObject({
    made: { status: "in_progress", counts: { processing: 3, succeeded: 0, errored: 0, ...none } },
    counts: { processing: 0, succeeded: 2, errored: 1, ...none },
    results: { fruit: "I read: Name a fruit.", metal: "I read: Name a metal.", nothing: "not_found_error" },
    cancelled: 409,
    deleted: "message_batch_deleted",
    gone: 404,
    refused: { status: 400, message: expect.stringContaining("requests[1].custom_id") },
  });
  expect(said["listed"]).toEqual(said["expected"]);
});

test("openai and ai understand embeddings, as floats and as base64", async () => {
  const before = (await world.callsOf(vectors.MODEL)).length;
  const said = await understood("vectors.mjs", vectors);
  expect(said).toMatchObject({ equal: true, same: true, one: true, nearer: true });
  expect(said["error"]).toMatchObject({ status: 404, message: expect.stringContaining("no-such-model") });
  const calls = (await world.callsOf(vectors.MODEL)).slice(before);
  expect(calls).toHaveLength(4);
  for (const call of calls)
    expect(call).toMatchObject({ status: "completed", endpoint: "embeddings", output_tokens: 0 });
  expect(said["usage"]).toEqual({ prompt: calls[0]!["prompt_tokens"] });
});

test("LangChain and LiteLLM understand embeddings, and rankings in the shapes of Cohere and Jina", async () => {
  const said = await understood("vectors.py", vectors);
  expect(said).toMatchObject({ same: true, cohere: [0, 1], jina: [0, 1] });
  expect(said["usage"].prompt).toBeGreaterThan(0);
  const calls = await world.callsOf(vectors.RANKER);
  expect(calls.map(({ status, endpoint }) => [status, endpoint])).toEqual([
    ["completed", "rerank"],
    ["completed", "rerank"],
  ]);
});
