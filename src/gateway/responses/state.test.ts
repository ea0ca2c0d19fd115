// Stored responses against the whole server with OpenAI's official client: what goes on from what, who may read it, and what happens
// where it is deleted, expired, too long, or the database is away.
import OpenAI from "openai";
import { expect, test, vi } from "vitest";
import { testGateway, type TestGateway } from "../../api/testing.ts";
import { Seal } from "../../governance/index.ts";
import { limits } from "../limits.ts";
import { Conversations } from "./conversations.ts";
import { ResponseStore } from "./store.ts";

const firstPage = { limit: 20, newestFirst: true, after: undefined };
const hello = { model: "scripted", input: "hi" };
const messagesOf = (at: TestGateway) => at.engine.seen.at(-1)!.body["messages"];

async function projectOf(at: TestGateway, name: string): Promise<OpenAI> {
  const organisation = at.principal.organisation;
  const { project } = await at.identity.ensureTenant({ organisation: "acme", project: name, currency: "USD" });
  const { secret } = await at.identity.createKey({ organisation, project: project.id, name: "other", role: "owner" });
  return at.client({ key: secret });
}

test.each([true, false])(
  "a response is kept before its end is told, and the next one goes on from it (stream: %s)",
  async (stream) => {
    await using at = await testGateway();
    const client = at.client();
    at.engine.next({ toolCalls: [{ name: "f", arguments: "{}" }] });
    const tools = [{ type: "function" as const, name: "f", parameters: null, strict: false }];
    const asked = { ...hello, instructions: "Be brief.", tools };
    const first = stream ? await client.responses.stream(asked).finalResponse() : await client.responses.create(asked);
    expect(first).toMatchObject({ store: true, previous_response_id: null });
    const { call_id } = first.output[0] as OpenAI.Responses.ResponseFunctionToolCall;
    const second = await client.responses.create({
      ...hello,
      tools,
      previous_response_id: first.id,
      input: [{ type: "function_call_output", call_id, output: "done" }],
    });
    expect(second).toMatchObject({ previous_response_id: first.id, output_text: "Hello, world." });
    // Instructions are those of each call alone.
    expect(messagesOf(at)).toMatchObject([
      { role: "user", content: "hi" },
      { role: "assistant", tool_calls: [{ id: call_id }] },
      { role: "tool", content: "done" },
    ]);
    await client.responses.create({ ...hello, previous_response_id: second.id, input: "and?" });
    expect(messagesOf(at)).toMatchObject([
      {},
      {},
      {},
      { role: "assistant", content: "Hello, world." },
      { content: "and?" },
    ]);
  },
);

test("it is read, listed and deleted; then nothing goes on from it", async () => {
  await using at = await testGateway();
  const client = at.client();
  const made = await client.responses.create({ ...hello, metadata: { a: "b" } });
  const { output_text: _text, ...rest } = made;
  expect(await client.responses.retrieve(made.id)).toMatchObject({ ...rest, output_text: "Hello, world." });
  const { data } = await client.responses.inputItems.list(made.id);
  expect(data).toMatchObject([{ type: "message", role: "user", content: [{ type: "input_text", text: "hi" }] }]);
  await client.responses.delete(made.id);
  await expect(client.responses.retrieve(made.id)).rejects.toMatchObject({ status: 404, code: "response_not_found" });
  await expect(client.responses.create({ ...hello, previous_response_id: made.id })).rejects.toMatchObject({
    status: 400,
    code: "previous_response_not_found",
  });
  await expect(client.responses.cancel("resp_none")).rejects.toMatchObject({ status: 404 });
});

test("an input is counted with what it goes on from, and nothing is called", async () => {
  await using at = await testGateway();
  const client = at.client();
  const made = await client.responses.create({ ...hello, input: "hi ".repeat(100) });
  const alone = await client.responses.inputTokens.count(hello);
  const both = await client.responses.inputTokens.count({ ...hello, previous_response_id: made.id });
  expect(alone.object).toBe("response.input_tokens");
  expect(both.input_tokens).toBeGreaterThan(alone.input_tokens + 50);
  expect(at.engine.seen).toHaveLength(1);
});

test("what asked for nothing to be kept is not kept", async () => {
  await using at = await testGateway();
  const made = await at.client().responses.create({ ...hello, store: false });
  expect(made).toMatchObject({ store: false });
  await expect(at.client().responses.retrieve(made.id)).rejects.toMatchObject({ status: 404 });
  expect((await at.db.query("select from responses")).rowCount).toBe(0);
});

test("another project's response, conversation and items are not there", async () => {
  await using at = await testGateway();
  const [ours, theirs] = [at.client(), await projectOf(at, "other")];
  const made = await ours.responses.create(hello);
  const conversation = await ours.conversations.create({});
  await expect(theirs.responses.retrieve(made.id)).rejects.toMatchObject({ status: 404 });
  await expect(theirs.responses.delete(made.id)).rejects.toMatchObject({ status: 404 });
  await expect(theirs.responses.inputItems.list(made.id)).rejects.toMatchObject({ status: 404 });
  await expect(theirs.conversations.retrieve(conversation.id)).rejects.toMatchObject({ status: 404 });
  await expect(theirs.responses.create({ ...hello, conversation: conversation.id })).rejects.toMatchObject({
    code: "conversation_not_found",
  });
  await expect(theirs.responses.create({ ...hello, previous_response_id: made.id })).rejects.toMatchObject({
    code: "previous_response_not_found",
  });
  const reference = { type: "item_reference" as const, id: made.output[0]!.id! };
  await expect(theirs.responses.create({ ...hello, input: [reference] })).rejects.toMatchObject({
    param: "input[0].id",
  });
  expect(
    await ours.responses.create({ ...hello, input: [reference, { role: "user", content: "and?" }] }),
  ).toBeDefined();
  expect(messagesOf(at)).toMatchObject([{ role: "assistant", content: "Hello, world." }, { content: "and?" }]);
});

test("prompts and answers lie sealed in the database, each for its own place", async () => {
  await using at = await testGateway();
  const made = await at.client().responses.create({ ...hello, input: "a very secret question" });
  const { rows } = await at.db.query<{ item: Buffer }>("select item from response_items");
  for (const { item } of rows) expect(item.includes("secret")).toBe(false);
  await at.db.query("update response_items set ordinal = ordinal + 5");
  await expect(at.client().responses.retrieve(made.id)).rejects.toMatchObject({ status: 500 });
});

test("a second process of the same database goes on where the first one stopped", async () => {
  await using at = await testGateway();
  const made = await at.client().responses.create(hello);
  const store = new ResponseStore({ db: at.db, seal: new Seal(Buffer.alloc(32, 7)) });
  expect(await store.chain(at.principal.project, made.id, () => {})).toMatchObject([
    { role: "user" },
    { role: "assistant", content: [{ text: "Hello, world." }] },
  ]);
});

test("a response that is over is not there, and is removed", async () => {
  await using at = await testGateway();
  const made = await at.client().responses.create(hello);
  await at.db.query("update responses set expires_at = now() - interval '1 second'");
  await expect(at.client().responses.retrieve(made.id)).rejects.toMatchObject({ status: 404 });
  await expect(at.client().responses.create({ ...hello, previous_response_id: made.id })).rejects.toMatchObject({
    code: "previous_response_not_found",
  });
  await new ResponseStore({ db: at.db, seal: new Seal(Buffer.alloc(32, 7)) }).sweep();
  expect((await at.db.query("select from responses")).rowCount).toBe(0);
  expect((await at.db.query("select from response_items")).rowCount).toBe(0);
});

test("a chain that lost a response, one that is too long, and a circle are refused", async () => {
  await using at = await testGateway();
  const client = at.client();
  const first = await client.responses.create(hello);
  const second = await client.responses.create({ ...hello, previous_response_id: first.id });
  const third = await client.responses.create({ ...hello, previous_response_id: second.id });
  const goesOn = (id: string) => client.responses.create({ ...hello, previous_response_id: id });
  const { project } = at.principal;
  await at.db.query(
    `insert into responses (project, id, organisation, previous, model, status, head, expires_at)
     select project, 'resp_long' || n, organisation, case when n > 0 then 'resp_long' || (n - 1) end, model, status, head, expires_at
       from responses, generate_series(0, $2::int) n where project = $1 and id = $3`,
    [project, limits.chainResponses, first.id],
  );
  await expect(goesOn(`resp_long${limits.chainResponses}`)).rejects.toMatchObject({
    status: 400,
    param: "previous_response_id",
    code: "invalid_value",
  });
  await at.db.query("update responses set bytes = $2 where project = $1 and id = $3", [
    project,
    limits.chainBytes + 1,
    second.id,
  ]);
  await expect(goesOn(third.id)).rejects.toMatchObject({ code: "invalid_value" });
  await at.db.query("update responses set bytes = 0, previous = $2 where project = $1 and id = $3", [
    project,
    third.id,
    second.id,
  ]);
  await expect(goesOn(third.id)).rejects.toMatchObject({ code: "invalid_value" });
  await client.responses.delete(second.id);
  await expect(goesOn(third.id)).rejects.toMatchObject({ code: "previous_response_not_found" });
});

test("an answer that cannot be kept is answered all the same, and says that it is not kept", async () => {
  await using at = await testGateway();
  await at.client().responses.create(hello);
  using _away = vi.spyOn(ResponseStore.prototype, "keep").mockRejectedValue(new Error("The database does not answer."));
  for (const stream of [false, true]) {
    const response = await fetch(`${at.address}/v1/responses`, {
      method: "POST",
      headers: { authorization: `Bearer ${at.key}` },
      body: JSON.stringify({ ...hello, stream }),
    });
    const text = await response.text();
    expect(response.status).toBe(200);
    if (stream) expect(text).toContain(": x-lineshaft-stored: no");
    else expect(response.headers.get("x-lineshaft-stored")).toBe("no");
    const told = stream ? JSON.parse(text.trimEnd().split("data: ").at(-1)!).response : JSON.parse(text);
    expect(told).toMatchObject({ status: "completed", store: false });
  }
});

test("a conversation grows with its responses, one at a time", async () => {
  await using at = await testGateway();
  const client = at.client();
  const { id } = await client.conversations.create({
    metadata: { a: "b" },
    items: [{ type: "message", role: "developer", content: "Be brief." }],
  });
  const first = await client.responses.create({ ...hello, conversation: id });
  expect(first.conversation).toEqual({ id });
  await client.responses.create({ ...hello, conversation: { id }, input: "and?" });
  expect(messagesOf(at)).toMatchObject([
    { role: "system", content: "Be brief." },
    { role: "user", content: "hi" },
    { role: "assistant", content: "Hello, world." },
    { role: "user", content: "and?" },
  ]);
  const { data } = await client.conversations.items.list(id, { order: "asc", limit: 3 });
  expect(data).toMatchObject([{ role: "developer" }, { role: "user" }, { role: "assistant" }]);
  await client.conversations.items.delete(data[1]!.id!, { conversation_id: id });
  expect((await client.conversations.items.list(id)).data).toHaveLength(4);
  expect(await client.conversations.update(id, { metadata: { c: "d" } })).toMatchObject({ metadata: { c: "d" } });

  await expect(client.responses.create({ ...hello, conversation: id, store: false })).rejects.toMatchObject({
    param: "store",
  });
  // Each turn follows as soon as the one before it was read.
  for (let turn = 0; turn < 5; turn++) {
    await client.responses.create({ ...hello, conversation: id });
    await client.responses.stream({ ...hello, conversation: id }).finalResponse();
  }

  const held = Promise.withResolvers<void>();
  at.engine.next({ wait: held.promise });
  const slow = client.responses.create({ ...hello, conversation: id });
  await expect.poll(() => at.engine.seen.length).toBe(13);
  await expect(client.responses.create({ ...hello, conversation: id })).rejects.toMatchObject({
    status: 409,
    code: "conversation_locked",
  });
  held.resolve();
  await slow;
  await client.responses.create({ ...hello, conversation: id });
  await client.conversations.delete(id);
  await expect(client.conversations.retrieve(id)).rejects.toMatchObject({ status: 404 });
});

test("hidden thought is kept for the next turn and shown only where it is asked for", async () => {
  await using at = await testGateway();
  at.engine.next({
    raw: {
      body: JSON.stringify({
        id: "x",
        choices: [
          { index: 0, message: { role: "assistant", content: "Hi", reasoning_content: "Hm." }, finish_reason: "stop" },
        ],
        usage: { prompt_tokens: 10, completion_tokens: 4 },
      }),
    },
  });
  const made = await at.client().responses.create({ ...hello, reasoning: { summary: "auto" } });
  expect(made.output[0]).toMatchObject({ type: "reasoning", summary: [{ text: "Hm." }] });
  expect(made.output[0]).not.toHaveProperty("encrypted_content");
  expect((await at.client().responses.retrieve(made.id)).output[0]).not.toHaveProperty("encrypted_content");
  const asked = await at.client().responses.retrieve(made.id, { include: ["reasoning.encrypted_content"] });
  expect(asked.output[0]).toHaveProperty("encrypted_content");
  await at.client().responses.create({ ...hello, previous_response_id: made.id });
  expect(messagesOf(at)).toMatchObject([{}, { role: "assistant", content: "Hi", reasoning_content: "Hm." }, {}]);
});

test("stored items that a short body names are bounded before they are read", async () => {
  await using at = await testGateway();
  const client = at.client();
  const made = await client.responses.create(hello);
  const reference = { type: "item_reference" as const, id: made.output[0]!.id! };
  const ask = (input: OpenAI.Responses.ResponseInputItem[]) => client.responses.create({ ...hello, input });
  await expect(ask([reference, reference])).rejects.toMatchObject({ status: 400, param: "input[1].id" });
  const many = Array.from({ length: limits.itemReferences + 1 }, () => reference);
  await expect(ask(many)).rejects.toMatchObject({ status: 400, param: "input" });
  await at.db.query("update responses set bytes = $1", [limits.chainBytes + 1]);
  await expect(ask([reference])).rejects.toMatchObject({ status: 400, param: "input" });
  // What is about to be read is counted first, and is not read where that is refused.
  const store = new ResponseStore({ db: at.db, seal: new Seal(Buffer.alloc(32, 7)) });
  const counted: number[] = [];
  const count = (bytes: number) => {
    counted.push(bytes);
    throw new Error("no memory");
  };
  const { project } = at.principal;
  await at.db.query("update responses set bytes = 5");
  await at.db.query("update response_items set item = 'nothing that opens'");
  await expect(store.chain(project, made.id, count)).rejects.toThrow("no memory");
  await expect(store.get(project, made.id, count)).rejects.toThrow("no memory");
  await expect(store.input(project, made.id, firstPage, count)).rejects.toThrow("no memory");
  await expect(store.named(project, [{ response: made.id, id: reference.id }], count)).rejects.toThrow("no memory");
  expect(counted).toEqual([5, 5, 5, 5]);
});

test("a conversation that is full, by its items or their bytes, takes no more", async () => {
  await using at = await testGateway();
  const client = at.client();
  const { id } = await client.conversations.create({});
  const items = [{ type: "message" as const, role: "user" as const, content: "hi" }];
  await client.conversations.items.create(id, { items });
  await at.db.query("update conversation_items set bytes = $1", [limits.chainBytes]);
  await expect(client.conversations.items.create(id, { items })).rejects.toMatchObject({ status: 400, param: "items" });
  await at.db.query(
    `insert into conversation_items (project, conversation, id, item, bytes)
     select project, conversation, id || n, item, 0 from conversation_items, generate_series(2, $1::int) n`,
    [limits.conversationItems],
  );
  await at.db.query("update conversation_items set bytes = 0");
  await expect(client.conversations.items.create(id, { items })).rejects.toMatchObject({ status: 400, param: "items" });
});

test("pages of a conversation are read page by page, in both directions, and hold no more than they show", async () => {
  await using at = await testGateway();
  const client = at.client();
  const { id } = await client.conversations.create({});
  for (let batch = 0; batch < 3; batch++)
    await client.conversations.items.create(id, {
      items: Array.from({ length: 10 }, (_, place) => ({
        type: "message" as const,
        role: "user" as const,
        content: `item ${batch * 10 + place}`,
      })),
    });
  const textsOf = (items: unknown[]) => items.map((item: any) => item.content[0].text as string);
  const forward: string[] = [];
  for await (const item of client.conversations.items.list(id, { order: "asc", limit: 7 }))
    forward.push(...textsOf([item]));
  expect(forward).toEqual(Array.from({ length: 30 }, (_, place) => `item ${place}`));
  const backward: string[] = [];
  for await (const item of client.conversations.items.list(id, { limit: 30 })) backward.push(...textsOf([item]));
  expect(backward).toEqual(forward.toReversed());
  const { data } = await client.conversations.items.list(id, { order: "asc", limit: 5 });
  expect(await client.conversations.items.retrieve(data[4]!.id!, { conversation_id: id })).toEqual(data[4]);
  await expect(client.conversations.items.list(id, { after: "item_none" })).rejects.toMatchObject({ param: "after" });
  await expect(client.conversations.items.list(id, { limit: 101 })).rejects.toMatchObject({ param: "limit" });
  // A page of two is counted as two, and the rest is not read.
  await at.db.query("update conversation_items set bytes = 1000");
  const counted: number[] = [];
  const conversations = new Conversations({ db: at.db, seal: new Seal(Buffer.alloc(32, 7)) });
  await conversations.page(at.principal.project, id, { ...firstPage, limit: 2 }, (bytes) => void counted.push(bytes));
  expect(counted).toEqual([2_000]);
});

test("input items of a response are read page by page", async () => {
  await using at = await testGateway();
  const input = Array.from({ length: 5 }, (_, place) => ({ role: "user" as const, content: `item ${place}` }));
  const made = await at.client().responses.create({ ...hello, input });
  const texts: string[] = [];
  for await (const item of at.client().responses.inputItems.list(made.id, { order: "asc", limit: 2 }))
    texts.push((item as any).content[0].text);
  expect(texts).toEqual(input.map(({ content }) => content));
  await expect(at.client().responses.inputItems.list(made.id, { after: "none" })).rejects.toMatchObject({
    param: "after",
  });
});

test("counting an input does not keep another response from its conversation", async () => {
  await using at = await testGateway();
  const client = at.client();
  const { id } = await client.conversations.create({});
  await client.responses.create({ ...hello, conversation: id, input: "hi ".repeat(100) });
  const held = Promise.withResolvers<void>();
  at.engine.next({ wait: held.promise });
  const slow = client.responses.create({ ...hello, conversation: id });
  await expect.poll(() => at.engine.seen.length).toBe(2);
  expect((await client.responses.inputTokens.count({ ...hello, conversation: id })).input_tokens).toBeGreaterThan(50);
  held.resolve();
  await slow;
});

const storage = (at: TestGateway, set?: object) =>
  at.request("/api/response-storage", set ? { method: "PUT", body: JSON.stringify(set) } : {}).then(({ body }) => body);

test("what a project keeps is added up, whatever adds to it or takes from it", async () => {
  await using at = await testGateway();
  const client = at.client();
  expect(await storage(at)).toMatchObject({ bytes: 0, limit_bytes: limits.storedBytesPerProject, retention_days: 30 });
  const made = await client.responses.create({ ...hello, input: "x".repeat(5_000) });
  const { bytes: one } = await storage(at);
  expect(one).toBeGreaterThan(5_000);
  const { id } = await client.conversations.create({
    items: [{ type: "message", role: "user", content: "y".repeat(7_000) }],
  });
  expect((await storage(at)).bytes).toBeGreaterThan(one + 7_000);
  await client.conversations.delete(id);
  expect((await storage(at)).bytes).toBe(one);
  await client.responses.delete(made.id);
  expect((await storage(at)).bytes).toBe(0);
  await Promise.all(Array.from({ length: 12 }, () => client.responses.create(hello)));
  await at.db.query("update responses set expires_at = now() - interval '1 second'");
  await new ResponseStore({ db: at.db, seal: new Seal(Buffer.alloc(32, 7)) }).sweep();
  expect((await storage(at)).bytes).toBe(0);
});

test("a full project refuses what asks for storage by name, and answers the rest without keeping it", async () => {
  await using at = await testGateway();
  const client = at.client();
  const made = await client.responses.create(hello);
  const conversation = await client.conversations.create({});
  await storage(at, { limit_bytes: 10 });
  const full = { status: 507, code: "responses_full" };
  await expect(client.responses.create({ ...hello, store: true })).rejects.toMatchObject(full);
  await expect(client.responses.create({ ...hello, previous_response_id: made.id })).rejects.toMatchObject(full);
  await expect(client.responses.create({ ...hello, conversation: conversation.id })).rejects.toMatchObject(full);
  await expect(client.conversations.create({})).rejects.toMatchObject(full);
  await expect(client.conversations.items.create(conversation.id, { items: [] })).rejects.toMatchObject(full);
  const { data, response } = await client.responses.create(hello).withResponse();
  expect(data).toMatchObject({ store: false, status: "completed" });
  expect(response.headers.get("x-lineshaft-stored")).toBe("no");
  expect(await client.responses.create({ ...hello, store: false })).toMatchObject({ store: false });
  await client.responses.delete(made.id);
  await storage(at, { limit_bytes: null });
  expect(await client.responses.create({ ...hello, store: true })).toMatchObject({ store: true });
});

test("an owner says for how long responses are kept; a shorter time holds for those that are there", async () => {
  await using at = await testGateway();
  const client = at.client();
  const made = await client.responses.create(hello);
  expect(await storage(at, { retention_days: 7 })).toMatchObject({ retention_days: 7 });
  const days = async () =>
    (
      await at.db.query<{ days: number }>(
        "select extract(days from expires_at - created_at)::int as days from responses",
      )
    ).rows;
  expect(await days()).toEqual([{ days: 7 }]);
  await client.responses.create(hello);
  expect(await days()).toEqual([{ days: 7 }, { days: 7 }]);
  await storage(at, { retention_days: 0 });
  await expect(client.responses.retrieve(made.id)).rejects.toMatchObject({ status: 404 });
  expect(await client.responses.create({ ...hello, store: true })).toMatchObject({ store: false });
  const conversation = await client.conversations.create({});
  await expect(client.responses.create({ ...hello, conversation: conversation.id })).rejects.toMatchObject({
    status: 400,
    param: "conversation",
  });
  const { secret } = await at.identity.createKey({ ...at.principal, name: "member", role: "member" });
  const asMember = { authorization: `Bearer ${secret}` };
  const set = { method: "PUT", body: "{}", headers: asMember };
  expect((await at.request("/api/response-storage", set)).status).toBe(403);
  expect((await at.request("/api/response-storage", { headers: asMember })).status).toBe(200);
});

test("erasing what is kept of a project's prompts deletes its responses and conversations, and no others", async () => {
  await using at = await testGateway();
  const [ours, theirs] = [at.client(), await projectOf(at, "other")];
  await ours.responses.create(hello);
  await ours.conversations.create({ items: [{ type: "message", role: "user", content: "hi" }] });
  const kept = await theirs.responses.create(hello);
  expect((await at.request("/api/kv-cache", { method: "DELETE" })).body).toMatchObject({
    responses: 1,
    conversations: 1,
  });
  expect(await storage(at)).toMatchObject({ bytes: 0 });
  expect(await theirs.responses.retrieve(kept.id)).toMatchObject({ id: kept.id });
});

test("an answer that breaks its schema names the field as Responses have it", async () => {
  await using at = await testGateway({ script: { chunks: ["no JSON"] } });
  const text = { format: { type: "json_schema" as const, name: "x", schema: { type: "object" }, strict: true } };
  const asked = at.client().responses.create({ ...hello, text });
  await expect(asked).rejects.toThrow(/does not fit `text\.format`/);
  const wrong = { format: { ...text.format, schema: { type: "nonsense" } } };
  await expect(at.client().responses.create({ ...hello, text: wrong })).rejects.toMatchObject({ param: "text.format" });
});
