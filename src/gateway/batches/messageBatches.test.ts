// Anthropic's Message Batches against the whole server, in the requests that its SDKs send (test/clients has the SDK itself): how a batch
// goes and ends, its results, its pages, and what another project sees.
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { json } from "node:stream/consumers";
import { expect, test, vi } from "vitest";
import { rows, testGateway, testPrices, type TestGateway } from "../../api/testing.ts";
import { limits } from "../limits.ts";

type Json = Record<string, any>;

const params = { model: "scripted", max_tokens: 16, messages: [{ role: "user", content: "hi" }] };
const request = (id: string, more: object = {}) => ({ custom_id: id, params: { ...params, ...more } });
const path = "/v1/messages/batches";

async function ask(at: TestGateway, of: string, method = "GET", body?: unknown, more: Record<string, string> = {}) {
  const headers = {
    "x-api-key": at.key,
    "anthropic-version": "2023-06-01",
    "content-type": "application/json",
    ...more,
  };
  const response = await fetch(at.address + of, {
    method,
    headers,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    text,
    json: (text.startsWith("{") ? JSON.parse(text.split("\n")[0]!) : {}) as Json,
  };
}

async function created(at: TestGateway, requests: readonly object[], more?: Record<string, string>): Promise<Json> {
  const { status, json, text } = await ask(at, path, "POST", { requests }, more);
  expect(status, text).toBe(200);
  return json;
}

async function ended(at: TestGateway, id: string): Promise<Json> {
  const now = async () => (await ask(at, `${path}/${id}`)).json;
  await expect.poll(async () => (await now())["processing_status"]).toBe("ended");
  return now();
}

async function resultsOf(at: TestGateway, { results_url: url }: Json): Promise<Json[]> {
  const { status, text } = await ask(at, url);
  expect(status, text).toBe(200);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Json);
}

test("messages are served at batch prices, and each request has its result", async () => {
  await using at = await testGateway();
  const { organisation } = at.principal;
  const batch = { inputNanoPerMillion: 1_000_000n, cachedNanoPerMillion: 1_000_000n, outputNanoPerMillion: 2_000_000n };
  await at.ledger.setRateCard({ organisation, model: "scripted", currency: "USD", ...testPrices, batch });
  at.engine.usual = { chunks: ["fine\nfine"], usage: { prompt: 10, cached: 0, output: 4 } };
  const made = await created(at, [
    request("a"),
    request("b"),
    request("stream", { stream: true }),
    request("model", { model: "none" }),
  ]);
  expect(made).toMatchObject({
    id: expect.stringMatching(/^msgbatch_/),
    type: "message_batch",
    processing_status: "in_progress",
    request_counts: { processing: 4, succeeded: 0, errored: 0, canceled: 0, expired: 0 },
    ended_at: null,
    cancel_initiated_at: null,
    archived_at: null,
    results_url: null,
  });
  expect(Date.parse(made["expires_at"]) - Date.parse(made["created_at"])).toBe(limits.batchWindowMs);
  const done = await ended(at, made["id"]);
  expect(done["request_counts"]).toEqual({ processing: 0, succeeded: 2, errored: 2, canceled: 0, expired: 0 });
  // A client that subtracts one from the other gets no negative time.
  expect(Date.parse(done["ended_at"])).toBeGreaterThanOrEqual(Date.parse(made["created_at"]));
  const results = await resultsOf(at, done);
  expect(results.map(({ custom_id }) => custom_id)).toEqual(["a", "b", "stream", "model"]);
  expect(results[0]!["result"]).toMatchObject({
    type: "succeeded",
    message: { type: "message", content: [{ type: "text", text: "fine\nfine" }], usage: { output_tokens: 4 } },
  });
  expect(results.slice(2).map(({ result }) => result)).toMatchObject([
    { type: "errored", error: { type: "error", error: { type: "invalid_request_error" } } },
    { type: "errored", error: { type: "error", error: { type: "not_found_error" } } },
  ]);
  const { calls, settlements } = await rows(at);
  expect(calls.map(({ endpoint, status }) => [endpoint, status])).toEqual([
    ["messages", "completed"],
    ["messages", "completed"],
    ["messages", "refused"],
  ]);
  expect(settlements.map(({ amount_nano }) => amount_nano)).toEqual([18n, 18n]);
});

test("moments have their milliseconds, so a batch does not end before it was made", async () => {
  await using at = await testGateway();
  const { id, created_at: madeAt } = await created(at, [request("a")]);
  // A batch of messages begins in the transaction that makes it.
  const { rows: found } = await at.db.query<{ times: Record<string, number> }>(
    "select times from batches where id = $1",
    [id],
  );
  expect(Math.round(1_000 * found[0]!.times["in_progress_at"]!)).toBe(Date.parse(madeAt));
  const { ended_at: done } = await ended(at, id);
  expect(Date.parse(done)).toBeGreaterThanOrEqual(Date.parse(madeAt));
});

test("the address of results is a path, so no header of a request can point a client with its key at another host", async () => {
  await using at = await testGateway();
  const { id } = await created(at, [request("a")]);
  await ended(at, id);
  const headers = {
    host: "elsewhere.example",
    "x-forwarded-host": "elsewhere.example",
    "x-forwarded-proto": "https",
    "x-api-key": at.key,
  };
  const [answer] = (await once(get(`${at.address}${path}/${id}`, { headers }), "response")) as [IncomingMessage];
  expect(await json(answer)).toMatchObject({ processing_status: "ended", results_url: `${path}/${id}/results` });
});

test("a batch that is cancelled, or whose window is over, says which requests were not served", async () => {
  await using at = await testGateway();
  const held = Promise.withResolvers<void>();
  at.engine.usual = { chunks: ["fine"], wait: held.promise };
  const many = Array.from({ length: limits.linesAtOnce + 3 }, (_, place) => request(`r${place}`));
  const first = await created(at, many);
  // The process serves as many lines as it may, so that it takes none of the second batch.
  await expect
    .poll(async () => (await at.db.query("select from batch_lines where state = 'claimed'")).rowCount)
    .toBe(limits.linesAtOnce);
  const second = await created(at, [request("late")]);
  expect((await ask(at, `${path}/${first["id"]}/results`)).json).toMatchObject({
    type: "error",
    error: { type: "invalid_request_error", code: "batch_not_ended" },
  });
  expect((await ask(at, `${path}/${first["id"]}`, "DELETE")).json["error"].code).toBe("batch_not_ended");
  await at.db.query("update batches set expires_at = now() where id = $1", [second["id"]]);
  const late = await ended(at, second["id"]);
  const cancelling = (await ask(at, `${path}/${first["id"]}/cancel`, "POST")).json;
  expect(cancelling).toMatchObject({ processing_status: "canceling", cancel_initiated_at: expect.any(String) });
  expect((await ask(at, `${path}/${first["id"]}/cancel`, "POST")).status).toBe(200);
  held.resolve();
  const done = await ended(at, first["id"]);
  const counts = done["request_counts"] as Record<string, number>;
  expect(counts["canceled"]).toBeGreaterThan(0);
  expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(many.length);
  const types = (await resultsOf(at, done)).map(({ result }) => result.type);
  expect(types.filter((type) => type === "canceled")).toHaveLength(counts["canceled"]!);
  expect(late["request_counts"]).toMatchObject({ expired: 1, errored: 0 });
  expect(await resultsOf(at, late)).toEqual([{ custom_id: "late", result: { type: "expired" } }]);
  expect((await ask(at, `${path}/${first["id"]}/cancel`, "POST")).json["error"].code).toBe("batch_ended");
});

test("pages go both ways, batches of the other API stand in its own list, and another project has none of them", async () => {
  await using at = await testGateway();
  const ids: string[] = [];
  for (const id of ["a", "b", "c"]) ids.unshift((await created(at, [request(id)]))["id"]);
  for (const id of ids) await ended(at, id);
  const page = async (query: string) => {
    const { json } = await ask(at, `${path}?${query}`);
    return [json["data"].map(({ id }: Json) => id), json["has_more"], json["first_id"], json["last_id"]];
  };
  expect(await page("")).toEqual([ids, false, ids[0], ids[2]]);
  expect(await page("limit=2")).toEqual([ids.slice(0, 2), true, ids[0], ids[1]]);
  expect(await page(`limit=2&after_id=${ids[1]}`)).toEqual([[ids[2]], false, ids[2], ids[2]]);
  expect(await page(`limit=1&before_id=${ids[2]}`)).toEqual([[ids[1]], true, ids[1], ids[1]]);
  expect(await page(`before_id=${ids[0]}`)).toEqual([[], false, null, null]);
  expect((await ask(at, `${path}?limit=0`)).status).toBe(400);
  expect((await ask(at, `${path}?before_id=a&after_id=b`)).status).toBe(400);
  expect((await at.client().batches.list()).data).toEqual([]);
  await expect(at.client().batches.retrieve(ids[0]!)).rejects.toMatchObject({ status: 404 });
  const { organisation } = at.principal;
  const { project } = await at.identity.ensureTenant({ organisation: "acme", project: "other", currency: "USD" });
  const { secret } = await at.identity.createKey({ organisation, project: project.id, name: "other", role: "owner" });
  const other = { "x-api-key": secret };
  expect((await ask(at, path, "GET", undefined, other)).json["data"]).toEqual([]);
  for (const [method, of] of [
    ["GET", ids[0]],
    ["GET", `${ids[0]}/results`],
    ["POST", `${ids[0]}/cancel`],
    ["DELETE", ids[0]],
  ] as const)
    expect((await ask(at, `${path}/${of}`, method, undefined, other)).status).toBe(404);
});

test("a batch that is deleted is gone with its results", async () => {
  await using at = await testGateway();
  const { id } = await created(at, [request("a"), request("wrong", { model: "none" })]);
  await ended(at, id);
  expect((await at.db.query("select from files")).rows).toHaveLength(2);
  expect((await ask(at, `${path}/${id}`, "DELETE")).json).toEqual({ id, type: "message_batch_deleted" });
  for (const table of ["files", "file_chunks", "batches", "batch_lines"])
    expect((await at.db.query(`select from ${table}`)).rows, table).toEqual([]);
  expect((await ask(at, `${path}/${id}`)).json).toMatchObject({ type: "error", error: { type: "not_found_error" } });
});

test("a body that is wrong is refused in Anthropic's shape, and makes nothing", async () => {
  await using at = await testGateway();
  const refused = await ask(at, path, "POST", { requests: [request("a"), request("a")] });
  expect([refused.status, refused.json]).toMatchObject([
    400,
    {
      type: "error",
      error: { type: "invalid_request_error", message: expect.stringContaining("requests[1].custom_id") },
    },
  ]);
  // Another process serves a line of each, so that none of them ends meanwhile.
  await at.db.query(
    `with open as (
       insert into batches (project, id, organisation, endpoint, input_file, status, ends, expires_at)
         select $1, 'batch_' || n, $2, '', '', 'in_progress', 'batch_expired', now() from generate_series(1, $3::int) n
         returning project, id)
     insert into batch_lines (project, batch, number, custom_id, state, request, owner, claimed_at)
       select project, id, 1, 'a', 'claimed', '', 'another', now() + interval '1 day' from open`,
    [at.principal.project, at.principal.organisation, limits.openBatchesMost],
  );
  expect((await ask(at, path, "POST", { requests: [request("a")] })).json["error"]).toMatchObject({
    type: "rate_limit_error",
    code: "too_many_batches",
  });
  expect((await at.db.query("select from batch_lines where owner is distinct from 'another'")).rows).toEqual([]);
});

test("requests of a batch come with the headers of the API that the batch was made with", async () => {
  const seen: unknown[] = [];
  await using at = await testGateway();
  const call = at.gateway.call.bind(at.gateway);
  vi.spyOn(at.gateway, "call").mockImplementation((wish) => {
    seen.push(wish.asked.headers);
    return call(wish);
  });
  const { id } = await created(at, [request("a")], { "anthropic-beta": "some-beta-2026" });
  await ended(at, id);
  expect(seen).toEqual([expect.arrayContaining([["anthropic-beta", "some-beta-2026"]])]);
});
