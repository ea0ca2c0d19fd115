// Compaction against the whole server with OpenAI's official client: a conversation becomes a summary, and goes on from it at any engine.
import type OpenAI from "openai";
import { expect, test } from "vitest";
import { rows, testGateway, type TestGateway } from "../../api/testing.ts";
import { createResponsesEngine } from "../../engines/responses/adapter.ts";
import { scriptedEngine } from "../../engines/testing.ts";
import { readEnvelope } from "../protocols/proof.ts";

const model = "scripted";
const conversation: OpenAI.Responses.ResponseInputItem[] = [
  { role: "user", content: "Read hello.txt" },
  { type: "function_call", call_id: "c1", name: "read", arguments: "{}" },
  { type: "function_call_output", call_id: "c1", output: "hello" },
  { role: "assistant", content: "It says hello." },
];
const tools = [{ type: "function" as const, name: "read", parameters: {}, strict: false }];
const messagesOf = (at: TestGateway) => at.engine.seen.at(-1)!.body["messages"] as { role: string; content: string }[];
const summaryIn = (item: unknown) => readEnvelope((item as { encrypted_content: string }).encrypted_content)?.summary;

test("a conversation is compacted by a priced call, and goes on from its summary", async () => {
  await using at = await testGateway();
  at.engine.next({ chunks: ["They read ", "hello.txt."] });
  const compacted = await at.client().responses.compact({ model, input: conversation, instructions: "Be brief." });
  expect(compacted).toMatchObject({
    object: "response.compaction",
    output: [
      { type: "message", role: "user", content: [{ type: "input_text", text: "Read hello.txt" }] },
      { type: "compaction", id: expect.stringMatching(/^cmp_/) as string },
    ],
    usage: { output_tokens: expect.any(Number) as number },
  });
  expect(summaryIn(compacted.output[1])).toBe("They read hello.txt.");
  expect(messagesOf(at).map(({ role }) => role)).toEqual(["system", "user", "assistant", "tool", "assistant", "user"]);
  expect(messagesOf(at).at(-1)!.content).toMatch(/^Summarise/);
  const { calls, settlements } = await rows(at);
  expect(calls).toMatchObject([{ endpoint: "responses", status: "completed" }]);
  expect(BigInt(settlements[0]!["amount_nano"])).toBeGreaterThan(0n);
  await at.client().responses.create({
    model,
    input: [...(compacted.output as typeof conversation), { role: "user", content: "and?" }],
  });
  // A chat engine is told an instruction in the middle at the head of the next message.
  const summary = "Summary of the conversation so far:\n\nThey read hello.txt.";
  expect(messagesOf(at)).toMatchObject([
    { role: "user", content: "Read hello.txt" },
    { role: "user", content: [{ text: summary }, { text: "and?" }] },
  ]);
});

test.each([true, false])("a trigger at the end of the input has one item answered (stream: %s)", async (stream) => {
  await using at = await testGateway();
  at.engine.next({ chunks: ["A ", "summary."], reasoning: ["Hm."] });
  const asked = {
    model,
    tools,
    text: { format: { type: "json_object" as const } },
    input: [...conversation, { type: "compaction_trigger" as const }],
  };
  const client = at.client();
  const response = stream ? await client.responses.stream(asked).finalResponse() : await client.responses.create(asked);
  const items = response.output.filter(({ type }) => type !== "reasoning");
  expect(items).toMatchObject([{ type: "compaction" }]);
  expect(summaryIn(items[0])).toBe("A summary.");
  // The tools stay, because they stand in the prompt's cached beginning.
  expect(at.engine.seen.at(-1)!.body).toMatchObject({ tool_choice: "none", tools: [{ function: { name: "read" } }] });
  expect(at.engine.seen.at(-1)!.body).not.toHaveProperty("response_format");
  // What was said before the compaction is not said again.
  await client.responses.create({ model, previous_response_id: response.id, input: "and?" });
  expect(
    messagesOf(at)
      .map(({ content }) => content)
      .join(),
  ).not.toContain("Read hello.txt");
  expect(messagesOf(at)[0]!.content).toContain("A summary.");
});

test("a stored conversation is compacted by the id of its last response", async () => {
  await using at = await testGateway();
  const made = await at.client().responses.create({ model, input: "Remember 42." });
  const compacted = await at.client().responses.compact({ model, previous_response_id: made.id });
  expect(compacted.output).toMatchObject([
    { role: "user", content: [{ text: "Remember 42." }] },
    { type: "compaction" },
  ]);
  expect(messagesOf(at)).toHaveLength(3);
});

test("an engine that speaks Responses is asked the same, and its answer becomes the same item", async () => {
  await using at = await testGateway();
  await using own = await scriptedEngine({ chunks: ["Own ", "summary."] }, ["own"], 0, {
    routes: {},
    shape: "responses",
  });
  at.engines.add("own", createResponsesEngine({ url: own.url, model: "own" }), { kind: "openai", model: "own" });
  const { organisation } = at.principal;
  await at.ledger.setRateCard({
    organisation,
    model: "own",
    currency: "USD",
    inputNanoPerMillion: 1n,
    cachedNanoPerMillion: 1n,
    outputNanoPerMillion: 1n,
  });
  const compacted = await at.client().responses.compact({ model: "own", input: conversation });
  expect(summaryIn(compacted.output.at(-1))).toBe("Own summary.");
  expect(compacted.usage.output_tokens).toBeGreaterThan(0);
  const made = await at.client().responses.create({ model: "own", background: true, input: "hi" });
  await expect.poll(async () => (await at.client().responses.retrieve(made.id)).status).toBe("completed");
  const ended = await at.client().responses.retrieve(made.id);
  expect(ended).toMatchObject({ id: made.id, output_text: "Own summary." });
  expect(ended.usage!.output_tokens).toBeGreaterThan(0);
});

test("a summary that was not written, and a trigger in the wrong place, are refused by name", async () => {
  await using at = await testGateway();
  at.engine.next({ chunks: [], usage: { prompt: 10, output: 0 } });
  await expect(at.client().responses.compact({ model, input: "hi" })).rejects.toMatchObject({ code: "output_invalid" });
  const misplaced = [{ type: "compaction_trigger" as const }, ...conversation];
  await expect(at.client().responses.create({ model, input: misplaced })).rejects.toMatchObject({ param: "input[0]" });
  for (const wrong of [{ background: true }, { stream: true }, { truncation: "auto" }])
    await expect(at.client().responses.compact({ model, input: "hi", ...wrong } as never)).rejects.toMatchObject({
      status: 400,
      param: Object.keys(wrong)[0],
    });
});

test("compaction that the server would do by itself is left out, and named", async () => {
  await using at = await testGateway();
  const context_management = [{ type: "compaction", compact_threshold: 1_000 }];
  const { response } = await at.client().responses.create({ model, input: "hi", context_management }).withResponse();
  expect(response.headers.get("x-lineshaft-left-out")).toBe("context_management");
});
