// Background responses against the whole server with OpenAI's official client: they go on without their client, any process tells them, and
// none is left running by a process that died.
import { expect, test, vi } from "vitest";
import { closeServer } from "../../api/http/server.ts";
import { rows, testGateway, type TestGateway } from "../../api/testing.ts";
import { Seal } from "../../governance/index.ts";
import { limits } from "../limits.ts";
import { BackgroundRows } from "./backgroundRows.ts";

type Json = Record<string, any>;

const hello = { model: "scripted", input: "hi" };
const background = { ...hello, background: true };

const statusOf = async (at: TestGateway, id: string) => (await at.client().responses.retrieve(id)).status;
const ended = (at: TestGateway, id: string, status: string) => expect.poll(() => statusOf(at, id)).toBe(status);

/** Events of a response from a number on, to their end. */
async function eventsOf(at: TestGateway, id: string, starting_after?: number): Promise<Json[]> {
  const events: Json[] = [];
  const stream = await at
    .client()
    .responses.retrieve(id, { stream: true, ...(starting_after !== undefined && { starting_after }) });
  for await (const event of stream) events.push(event);
  return events;
}

test("its request is answered at once; it is read while it runs and when it has ended, and the next turn goes on from it", async () => {
  await using at = await testGateway();
  const held = Promise.withResolvers<void>();
  at.engine.next({ wait: held.promise });
  const made = await at.client().responses.create(background);
  expect(made).toMatchObject({ status: "in_progress", background: true, output: [], store: true });
  expect(await statusOf(at, made.id)).toBe("in_progress");
  await expect(at.client().responses.create({ ...hello, previous_response_id: made.id })).rejects.toMatchObject({
    code: "previous_response_not_found",
  });
  held.resolve();
  await ended(at, made.id, "completed");
  expect(await at.client().responses.retrieve(made.id)).toMatchObject({
    output_text: "Hello, world.",
    usage: { output_tokens: expect.any(Number) as number },
  });
  const next = await at.client().responses.create({ ...hello, previous_response_id: made.id, input: "and?" });
  expect(next.status).toBe("completed");
  expect(at.engine.seen.at(-1)!.body["messages"]).toHaveLength(3);
  expect((await rows(at)).calls).toMatchObject([{ status: "completed" }, { status: "completed" }]);
});

test("its stream may break off, and goes on from any event, also after the end", async () => {
  await using at = await testGateway();
  const held = Promise.withResolvers<void>();
  at.engine.next({ chunks: ["a", "b", "c"], wait: held.promise, waitAfter: 1 });
  const first: Json[] = [];
  for await (const event of await at.client().responses.create({ ...background, stream: true })) {
    first.push(event);
    if (event.type === "response.output_text.delta") break;
  }
  const { id } = first[0]!["response"];
  const after = first.at(-1)!["sequence_number"] as number;
  expect(await statusOf(at, id)).toBe("in_progress");
  const rest = eventsOf(at, id, after);
  held.resolve();
  const all = [...first, ...(await rest)];
  expect(all.map(({ sequence_number: number }) => number)).toEqual(all.map((_, place) => place));
  expect(all.at(-1)).toMatchObject({ type: "response.completed", response: { id, status: "completed" } });
  expect(all.filter(({ type }) => type === "response.output_text.delta").map(({ delta }) => delta)).toEqual([
    "a",
    "b",
    "c",
  ]);
  expect(await eventsOf(at, id)).toEqual(all);
  expect(await eventsOf(at, id, all.length - 2)).toEqual(all.slice(-1));
  expect(await eventsOf(at, id, all.length)).toEqual([]);
});

test("it is cancelled where it runs: its engine is told, and what was made is paid for", async () => {
  await using at = await testGateway();
  at.engine.next({ chunks: ["Hello", ", world."], wait: new Promise(() => {}), waitAfter: 1 });
  const { id } = await at.client().responses.create(background);
  const first = await at.client().responses.retrieve(id, { stream: true });
  for await (const event of first) if (event.type === "response.output_text.delta") break;
  expect(await at.client().responses.cancel(id)).toMatchObject({ id, status: "cancelled" });
  await at.engine.seen[0]!.gone;
  expect(await at.client().responses.cancel(id)).toMatchObject({ status: "cancelled" });
  await expect.poll(async () => (await rows(at)).calls.length).toBe(1);
  expect((await rows(at)).calls[0]).toMatchObject({ status: "cancelled" });
  expect((await rows(at)).settlements[0]!["output_tokens"]).toBeGreaterThan(0);
  expect(await statusOf(at, id)).toBe("cancelled");
  const whole = await at.client().responses.create(hello);
  await expect(at.client().responses.cancel(whole.id)).rejects.toMatchObject({ status: 400, param: "response_id" });
  await expect(at.client().responses.cancel("resp_none")).rejects.toMatchObject({ status: 404 });
});

test("what another process cancels or deletes is stopped where it runs", async () => {
  await using at = await testGateway();
  const other = new BackgroundRows({ db: at.db, seal: new Seal(Buffer.alloc(32, 7)), process: "other" });
  for (const stop of [
    (id: string) => other.cancel(at.principal.project, id),
    (id: string) => at.db.query("delete from responses where id = $1", [id]),
  ]) {
    at.engine.next({ wait: new Promise(() => {}) });
    const before = at.engine.seen.length;
    const { id } = await at.client().responses.create(background);
    await expect.poll(() => at.engine.seen.length).toBe(before + 1);
    await stop(id);
    await at.engine.seen[before]!.gone;
  }
});

test("a response whose process is silent is failed by any other, and its late words change nothing", async () => {
  await using at = await testGateway();
  const seal = new Seal(Buffer.alloc(32, 7));
  const dead = new BackgroundRows({ db: at.db, seal, process: "dead" });
  const other = new BackgroundRows({ db: at.db, seal, process: "other" });
  const { organisation, project, key } = at.principal;
  const head = { id: "resp_x", object: "response", status: "in_progress", error: null };
  const kept = {
    id: "resp_x",
    call: "call_x",
    model: "scripted",
    status: "in_progress",
    head,
    input: [],
    keptDays: 30,
  };
  await dead.begin({ organisation, project, key }, { ...kept, previous: undefined, conversation: undefined });
  expect(
    await dead.add(project, "resp_x", [{ number: 0, text: '{"type":"response.created","sequence_number":0}' }]),
  ).toBe(true);
  await other.failLost();
  expect(await statusOf(at, "resp_x")).toBe("in_progress");
  await at.db.query("update responses set seen_at = now() - make_interval(secs => $1)", [
    limits.backgroundSilentMs / 1000 + 1,
  ]);
  await other.failLost();
  expect(await at.client().responses.retrieve("resp_x")).toMatchObject({
    status: "failed",
    error: { code: "server_error" },
  });
  expect(await eventsOf(at, "resp_x")).toHaveLength(1);
  expect(await dead.beat()).toEqual(new Set());
  expect(await dead.add(project, "resp_x", [{ number: 1, text: "{}" }])).toBe(false);
  expect(await dead.finish(project, { ...kept, status: "completed", conversation: undefined, output: [] })).toBe(false);
  expect(await statusOf(at, "resp_x")).toBe("failed");
});

test("a server that stops says of each how it ended", async () => {
  await using at = await testGateway();
  at.engine.next({ wait: new Promise(() => {}) });
  const { id } = await at.client().responses.create(background);
  await expect.poll(() => at.engine.seen.length).toBe(1);
  await closeServer(at.server, at.gateway, 0);
  const { rows: left } = await at.db.query<{ status: string }>("select status from responses where id = $1", [id]);
  expect(left).toEqual([{ status: "failed" }]);
});

test("an end that the database does not take is tried again", async () => {
  await using at = await testGateway();
  using finish = vi.spyOn(BackgroundRows.prototype, "finish");
  using add = vi.spyOn(BackgroundRows.prototype, "add");
  finish.mockRejectedValueOnce(new Error("The database does not answer."));
  add.mockRejectedValueOnce(new Error("The database does not answer."));
  const { id } = await at.client().responses.create(background);
  await ended(at, id, "completed");
  const events = await eventsOf(at, id);
  expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_, place) => place));
  expect(finish.mock.calls.length + add.mock.calls.length).toBeGreaterThan(2);
});

test("a failure is told by the response, and what cannot run in the background is refused", async () => {
  await using at = await testGateway();
  at.engine.next({ fail: { status: 400, body: { error: { message: "No." } } } });
  const { id } = await at.client().responses.create(background);
  await ended(at, id, "failed");
  expect((await at.client().responses.retrieve(id)).error).toMatchObject({
    message: expect.stringContaining("No.") as string,
  });
  await expect(at.client().responses.create({ ...background, store: false })).rejects.toMatchObject({
    status: 400,
    param: "background",
  });
  const stored = await at.client().responses.create(hello);
  await expect(at.client().responses.retrieve(stored.id, { stream: true })).rejects.toMatchObject({
    status: 400,
    param: "stream",
  });
  await at.request("/api/response-storage", { method: "PUT", body: '{"limit_bytes":1}' });
  await expect(at.client().responses.create(background)).rejects.toMatchObject({ code: "responses_full" });
  await expect(at.client().responses.retrieve("resp_none", { stream: true })).rejects.toMatchObject({ status: 404 });
  await expect(at.client().responses.retrieve(id, { stream: true, starting_after: 0.5 })).rejects.toMatchObject({
    param: "starting_after",
  });
});

test("a conversation is held by a background response until it has ended", async () => {
  await using at = await testGateway();
  const client = at.client();
  const { id: conversation } = await client.conversations.create({});
  const held = Promise.withResolvers<void>();
  at.engine.next({ wait: held.promise });
  const made = await client.responses.create({ ...background, conversation });
  await expect(client.responses.create({ ...hello, conversation })).rejects.toMatchObject({
    code: "conversation_locked",
  });
  held.resolve();
  await ended(at, made.id, "completed");
  await expect
    .poll(() =>
      client.responses.create({ ...hello, conversation, input: "and?" }).then(
        ({ status }) => status,
        () => "",
      ),
    )
    .toBe("completed");
  expect(at.engine.seen.at(-1)!.body["messages"]).toHaveLength(3);
});
