// Files and batches against the whole server with OpenAI's official client: uploads within bounds, lines served at batch prices, and how a
// batch ends: complete, with failed lines, cancelled, expired, with a revoked key, with a budget that is used up.
import OpenAI, { toFile } from "openai";
import { expect, test } from "vitest";
import { rows, testGateway, testPrices, type TestGateway } from "../../api/testing.ts";
import { scriptedEngine } from "../../engines/testing.ts";
import { Seal } from "../../governance/index.ts";
import { limits } from "../limits.ts";
import { writeOutput } from "./output.ts";
import { Batches } from "./runner.ts";
import { BatchStore } from "./store.ts";

type Line = Record<string, any>;

const url = "/v1/chat/completions";
const asked = { model: "scripted", messages: [{ role: "user", content: "hi" }], max_tokens: 16 };
const lineOf = (id: string, body: object = {}, of = url) =>
  JSON.stringify({ custom_id: id, method: "POST", url: of, body: { ...asked, ...body } });

async function upload(client: OpenAI, lines: readonly string[]) {
  return client.files.create({ file: await toFile(Buffer.from(lines.join("\n")), "in.jsonl"), purpose: "batch" });
}

async function batchOf(
  client: OpenAI,
  lines: readonly string[],
  endpoint: "/v1/chat/completions" | "/v1/responses" | "/v1/embeddings" | "/v1/completions" = url,
) {
  const { id } = await upload(client, lines);
  return client.batches.create({ input_file_id: id, endpoint, completion_window: "24h" });
}

async function ended(client: OpenAI, id: string) {
  const status = async () => (await client.batches.retrieve(id)).status;
  await expect.poll(status).toMatch(/^(completed|failed|expired|cancelled)$/);
  return client.batches.retrieve(id);
}

async function linesOf(client: OpenAI, file: string | null | undefined): Promise<Line[]> {
  if (file === null || file === undefined) return [];
  const text = await (await client.files.content(file)).text();
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

/** The batches of the installation as another process has them, which serves none. */
const anotherProcess = (at: TestGateway): Batches =>
  new Batches({
    ...at,
    seal: new Seal(Buffer.alloc(32, 7)),
    log: { warn: () => {} },
    stored: undefined as never,
  });

async function otherProject(at: TestGateway): Promise<OpenAI> {
  const { organisation } = at.principal;
  const { project } = await at.identity.ensureTenant({ organisation: "acme", project: "other", currency: "USD" });
  const { secret } = await at.identity.createKey({ organisation, project: project.id, name: "other", role: "owner" });
  return at.client({ key: secret });
}

const testUrl = (at: TestGateway) => `${at.address}/v1/files`;
const form = (parts: Record<string, string | Blob>) => {
  const made = new FormData();
  for (const [name, part] of Object.entries(parts)) made.append(name, part);
  return made;
};

test("a file is uploaded, read, listed and deleted by its project alone, and lies sealed", async () => {
  await using at = await testGateway();
  const client = at.client();
  const bytes = Buffer.alloc(2.5 * limits.fileChunkBytes, "a line of a secret prompt\n");
  const made = await client.files.create({
    file: await toFile(bytes, "naïve name.jsonl"),
    purpose: "batch",
    expires_after: { anchor: "created_at", seconds: 3_600 },
  });
  expect(made).toMatchObject({ object: "file", bytes: bytes.length, filename: "naïve name.jsonl", purpose: "batch" });
  expect(made.expires_at! - made.created_at).toBe(3_600);
  expect(await client.files.retrieve(made.id)).toEqual(made);
  const content = await client.files.content(made.id);
  expect(Buffer.compare(Buffer.from(await content.arrayBuffer()), bytes)).toBe(0);
  const second = await upload(client, ["{}"]);
  const listed = async (query: OpenAI.FileListParams) => (await client.files.list(query)).data.map(({ id }) => id);
  expect(await listed({})).toEqual([second.id, made.id]);
  expect(await listed({ order: "asc", limit: 1 })).toEqual([made.id]);
  expect(await listed({ order: "asc", after: made.id })).toEqual([second.id]);
  expect(await listed({ purpose: "batch_output" })).toEqual([]);

  const stranger = await otherProject(at);
  expect((await stranger.files.list()).data).toEqual([]);
  for (const verb of ["retrieve", "content", "delete"] as const)
    await expect(stranger.files[verb](made.id)).rejects.toMatchObject({ status: 404 });
  const stored = await at.db.query<{ data: Buffer }>("select data from file_chunks");
  expect(stored.rows.length).toBe(4);
  expect(stored.rows.some(({ data }) => data.includes("secret"))).toBe(false);

  expect(await client.files.delete(made.id)).toMatchObject({ id: made.id, deleted: true });
  await expect(client.files.retrieve(made.id)).rejects.toMatchObject({ status: 404 });
  await expect(client.files.delete(made.id)).rejects.toMatchObject({ status: 404 });
});

test("a file is kept from the moment of its creation, however long its upload takes", async () => {
  await using at = await testGateway();
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const write = (text: string) => writer.write(Buffer.from(text));
  const field = (name: string, value: string) =>
    `--b\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const answer = fetch(testUrl(at), {
    method: "POST",
    headers: { authorization: `Bearer ${at.key}`, "content-type": "multipart/form-data; boundary=b" },
    body: readable,
    duplex: "half",
  } as RequestInit);
  await write(field("purpose", "batch") + field("expires_after[anchor]", "created_at"));
  await write(field("expires_after[seconds]", "3600"));
  await write('--b\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}');
  let begun: unknown;
  await expect
    .poll(async () => {
      const { rows } = await at.db.query("update files set created_at = created_at - interval '1 minute' returning id");
      begun = rows[0]?.["id"];
      return rows.length;
    })
    .toBe(1);
  await write("\r\n--b--\r\n");
  await writer.close();
  const made = (await (await answer).json()) as { id: string; created_at: number; expires_at: number };
  expect(made).toMatchObject({ id: begun, expires_at: made.created_at + 3_600 });
});

test.each<[string, () => RequestInit, number, string]>([
  ["no form", () => ({ body: "{}", headers: { "content-type": "application/json" } }), 400, "form_invalid"],
  [
    "a form without a boundary",
    () => ({ body: "x", headers: { "content-type": "multipart/form-data" } }),
    400,
    "form_invalid",
  ],
  [
    "a form that breaks off",
    () => ({
      body: '--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nx',
      headers: { "content-type": "multipart/form-data; boundary=b" },
    }),
    400,
    "form_invalid",
  ],
  [
    "a compressed form",
    () => ({ body: form({ purpose: "batch" }), headers: { "content-encoding": "gzip" } }),
    415,
    "body_encoded",
  ],
  ["no file", () => ({ body: form({ purpose: "batch" }) }), 400, "invalid_value"],
  ["no purpose", () => ({ body: form({ file: new Blob(["{}"]) }) }), 400, "invalid_value"],
  ["another purpose", () => ({ body: form({ purpose: "assistants", file: new Blob(["{}"]) }) }), 400, "invalid_value"],
  [
    "an unknown part",
    () => ({ body: form({ purpose: "batch", wish: "x", file: new Blob(["{}"]) }) }),
    400,
    "invalid_value",
  ],
  [
    "a file by another name",
    () => ({ body: form({ purpose: "batch", document: new Blob(["{}"]) }) }),
    400,
    "form_invalid",
  ],
  [
    "too many parts",
    () => ({ body: form(Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`p${n}`, "x"]))) }),
    400,
    "form_invalid",
  ],
  ["a part that is too long", () => ({ body: form({ purpose: "x".repeat(5_000) }) }), 400, "form_invalid"],
  [
    "an unknown anchor",
    () => ({
      body: form({
        purpose: "batch",
        "expires_after[anchor]": "x",
        "expires_after[seconds]": "3600",
        file: new Blob(["{}"]),
      }),
    }),
    400,
    "invalid_value",
  ],
  [
    "a time that is too long",
    () => ({
      body: form({
        purpose: "batch",
        "expires_after[anchor]": "created_at",
        "expires_after[seconds]": "9999999999",
        file: new Blob(["{}"]),
      }),
    }),
    400,
    "invalid_value",
  ],
])("an upload is refused by name, and nothing of it is kept: %s", async (_, init, status, code) => {
  await using at = await testGateway();
  const { headers, ...rest } = init();
  const refused = await fetch(testUrl(at), {
    method: "POST",
    ...rest,
    headers: { authorization: `Bearer ${at.key}`, ...headers },
  });
  expect([refused.status, (await refused.json()) as object]).toMatchObject([status, { error: { code } }]);
  expect((await at.db.query("select from files")).rows).toEqual([]);
});

test("files of a project are bounded in number and bytes, and each in its bytes", async () => {
  await using at = await testGateway();
  const client = at.client();
  const { id } = await upload(client, ["{}"]);
  const send = (bytes: number) =>
    fetch(testUrl(at), {
      method: "POST",
      headers: {
        authorization: `Bearer ${at.key}`,
        "content-type": "multipart/form-data; boundary=b",
        "content-length": String(bytes),
      },
      body: "x",
    }).then(
      ({ status }) => status,
      // Fetch itself refuses a length that is not that of its body.
      () => "refused",
    );
  await at.db.query("update files set bytes = $1 where id = $2", [limits.projectFileBytes, id]);
  await expect(upload(client, ["{}"])).rejects.toMatchObject({ status: 409, code: "files_full" });
  await at.db.query("update files set bytes = 0");
  await at.db.query(
    `insert into files (project, id, organisation, purpose, name, bytes, chunks)
     select project, id || n, organisation, '', '', 0, 0 from files, generate_series(2, $1::int) n`,
    [limits.filesMost],
  );
  await expect(upload(client, ["{}"])).rejects.toMatchObject({ status: 409, code: "too_many_files" });
  expect(await send(limits.fileBytes * 2)).not.toBe(200);
});

test("lines are served and paid for at batch prices, and each has its line of the output", async () => {
  await using at = await testGateway();
  const { organisation } = at.principal;
  const batch = { inputNanoPerMillion: 1_000_000n, cachedNanoPerMillion: 1_000_000n, outputNanoPerMillion: 2_000_000n };
  await at.ledger.setRateCard({ organisation, model: "scripted", currency: "USD", ...testPrices, batch });
  at.engine.usual = { chunks: ["fine\nfine"], usage: { prompt: 10, cached: 0, output: 4 } };
  const client = at.client();
  const ids = Array.from({ length: 70 }, (_, place) => `line ${place}`);
  const made = await batchOf(client, [...ids.map((id) => lineOf(id)), ""]);
  expect(made).toMatchObject({ object: "batch", status: "validating", endpoint: url, completion_window: "24h" });
  const done = await ended(client, made.id);
  expect(done).toMatchObject({
    status: "completed",
    request_counts: { total: 70, completed: 70, failed: 0 },
    error_file_id: null,
    errors: null,
  });
  for (const moment of ["in_progress_at", "finalizing_at", "completed_at"] as const)
    expect(done[moment]).toBeGreaterThanOrEqual(done.created_at);
  const output = await linesOf(client, done.output_file_id);
  expect(output.map(({ custom_id }) => custom_id)).toEqual(ids);
  expect(output[0]).toMatchObject({
    id: expect.stringMatching(/^batch_req_/),
    response: {
      status_code: 200,
      body: { choices: [{ message: { content: "fine\nfine" } }], usage: { prompt_tokens: 10 } },
    },
    error: null,
  });
  const { calls, settlements } = await rows(at);
  expect(calls.length).toBe(70);
  expect(settlements.map(({ amount_nano }) => amount_nano)).toEqual(ids.map(() => 18n));
  expect((await at.db.query("select from batch_lines")).rows).toEqual([]);
  expect((await client.batches.list()).data.map(({ id }) => id)).toEqual([made.id]);
  const stranger = await otherProject(at);
  await expect(stranger.batches.retrieve(made.id)).rejects.toMatchObject({ status: 404 });
  await expect(stranger.batches.cancel(made.id)).rejects.toMatchObject({ status: 404 });
  await expect(client.batches.cancel(made.id)).rejects.toMatchObject({ status: 409, code: "batch_ended" });
});

test("a batch ends only when the calls of its lines can be read, so that its price and the proof agree", async () => {
  await using at = await testGateway();
  const client = at.client();
  const [isLocked, mayPost] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const locked = at.db.transaction(async (holder) => {
    await holder.query("lock table batch_prices in exclusive mode");
    isLocked.resolve();
    await mayPost.promise;
  });
  await Promise.race([isLocked.promise, locked]);
  const { id } = await batchOf(client, [lineOf("a"), lineOf("b")]);
  try {
    await expect.poll(async () => (await client.batches.retrieve(id)).request_counts).toMatchObject({ completed: 2 });
    const another = anotherProcess(at);
    const batch = (await another.batches.get(at.principal.project, id))!;
    expect(await writeOutput(batch, another)).toBe(false);
  } finally {
    mayPost.resolve();
    await locked;
  }
  expect((await ended(client, id)).status).toBe("completed");
  // Read without waiting for anything that is still to be posted.
  expect((await at.db.query("select from calls where batch = $1", [id])).rowCount).toBe(2);
  expect((await at.db.query("select from batch_prices where batch = $1", [id])).rowCount).toBe(1);
  expect((await at.ledger.prove("whole")).discrepancies).toEqual([]);
});

test("a batch does not wait for the records of a process that is dead", async () => {
  await using at = await testGateway();
  const client = at.client();
  const { id, answer } = await held(at, client, ["a"]);
  // As that process leaves it when it is killed between the result and the record.
  await at.db.query("update batch_lines set state = 'done', result = request, fence = fence + 1, owner = 'dead'");
  answer();
  const another = anotherProcess(at);
  const batch = (await another.batches.get(at.principal.project, id))!;
  expect(await writeOutput(batch, another)).toBe(false);
  await at.db.query("update batch_lines set claimed_at = now() - make_interval(secs => $1)", [
    limits.lineDeadMs / 1000 + 1,
  ]);
  expect((await ended(client, id)).status).toBe("completed");
});

test("a card without batch prices prices lines as other calls", async () => {
  await using at = await testGateway({ script: { chunks: ["a"], usage: { prompt: 10, cached: 0, output: 1 } } });
  const made = await batchOf(at.client(), [lineOf("a")]);
  await ended(at.client(), made.id);
  expect((await rows(at)).settlements).toMatchObject([{ amount_nano: 37n }]);
});

test("lines of every endpoint are served in its shape", async () => {
  await using at = await testGateway();
  const client = at.client();
  const responses = await batchOf(
    client,
    [
      JSON.stringify({
        custom_id: "r",
        method: "POST",
        url: "/v1/responses",
        body: { model: "scripted", input: "hi" },
      }),
    ],
    "/v1/responses",
  );
  const completions = await batchOf(
    client,
    [
      JSON.stringify({
        custom_id: "c",
        method: "POST",
        url: "/v1/completions",
        body: { model: "scripted", prompt: "hi" },
      }),
    ],
    "/v1/completions",
  );
  const [response] = await linesOf(client, (await ended(client, responses.id)).output_file_id);
  expect(response!["response"].body).toMatchObject({ object: "response", status: "completed" });
  // It was stored like any other, so that a call may go on from it.
  const next = await client.responses.create({
    model: "scripted",
    input: "and?",
    previous_response_id: response!["response"].body.id,
  });
  expect(next.previous_response_id).toBe(response!["response"].body.id);
  const [completion] = await linesOf(client, (await ended(client, completions.id)).output_file_id);
  expect(completion!["response"].body).toMatchObject({ object: "text_completion" });
});

test("lines of embeddings are served in their shape, and cost their prompts alone", async () => {
  await using at = await testGateway();
  const vectors = () => ({
    object: "list",
    model: "vectors",
    data: [{ object: "embedding", index: 0, embedding: [0.5, -0.25] }],
    usage: { prompt_tokens: 6, total_tokens: 6 },
  });
  const card = { owned_by: "vllm", max_model_len: 512 };
  await using engine = await scriptedEngine({}, ["vectors"], 0, { routes: { "POST /v1/embeddings": vectors }, card });
  const price = { input_nano_per_million: "3000000", output_nano_per_million: "0", currency: "USD" };
  const added = JSON.stringify({ name: "vectors", urls: [engine.url], model: "vectors", price });
  expect((await at.request("/api/engines", { method: "POST", body: added })).status).toBeLessThan(300);
  const client = at.client();
  const line = (id: string, body: object) =>
    JSON.stringify({ custom_id: id, method: "POST", url: "/v1/embeddings", body: { model: "vectors", ...body } });
  const made = await batchOf(client, [line("a", { input: "hi" }), line("b", { input: 5 })], "/v1/embeddings");
  const done = await ended(client, made.id);
  expect(done.request_counts).toEqual({ total: 2, completed: 1, failed: 1 });
  const [vector] = await linesOf(client, done.output_file_id);
  expect(vector!["response"].body).toMatchObject({
    object: "list",
    data: [{ object: "embedding", embedding: [0.5, -0.25] }],
    usage: { prompt_tokens: 6 },
  });
  expect((await linesOf(client, done.error_file_id))[0]).toMatchObject({
    custom_id: "b",
    response: { status_code: 400 },
  });
  const { settlements } = await rows(at);
  expect(settlements.map(({ amount_nano }) => amount_nano)).toEqual([18n]);
});

test("erasing what is kept of a project's prompts deletes its batches and files, and no others; what was under way costs nothing", async () => {
  await using at = await testGateway();
  const [client, other] = [at.client(), await otherProject(at)];
  const theirs = await upload(other, ["{}"]);
  await ended(client, (await batchOf(client, [lineOf("a")])).id);
  const before = await rows(at);
  const held = Promise.withResolvers<void>();
  at.engine.usual = { chunks: ["late"], wait: held.promise };
  const running = await batchOf(client, [lineOf("b"), lineOf("c")]);
  await expect.poll(() => at.engine.seen.length).toBe(3);
  const { body } = await at.request("/api/kv-cache", { method: "DELETE" });
  expect(body).toMatchObject({ batches: 2, files: 3 });
  held.resolve();
  await expect(client.batches.retrieve(running.id)).rejects.toMatchObject({ status: 404 });
  for (const table of ["batches", "batch_lines", "file_chunks", "files"]) {
    const { rows: left } = await at.db.query(`select from ${table} where project = $1`, [at.principal.project]);
    expect(left, table).toEqual([]);
  }
  expect(await other.files.retrieve(theirs.id)).toMatchObject({ id: theirs.id });
  await expect.poll(async () => (await rows(at)).calls.length).toBe(3);
  const sum = ({ settlements }: Awaited<ReturnType<typeof rows>>) =>
    settlements.reduce((all, { amount_nano: nano }) => all + nano, 0n);
  expect(sum(await rows(at))).toBe(sum(before));
  // What a removed batch has cost goes with it, also where its calls are posted later.
  expect((await at.db.query("select from batch_prices")).rows).toEqual([]);
});

test("a project that keeps what it stores for some days keeps files and batches for no longer", async () => {
  await using at = await testGateway();
  const client = at.client();
  const days = async (id: string) => {
    const { created_at: from, expires_at: to } = await client.files.retrieve(id);
    return Math.round((to! - from) / 86_400);
  };
  const keep = (retention_days: number) =>
    at.request("/api/response-storage", { method: "PUT", body: JSON.stringify({ retention_days }) });
  const first = await upload(client, [lineOf("a")]);
  expect(await days(first.id)).toBe(30);
  await keep(7);
  expect([await days(first.id), await days((await upload(client, ["{}"])).id)]).toEqual([7, 7]);
  // A batch has a day to be served.
  await keep(0);
  expect(await days(first.id)).toBe(1);
  const { id } = await client.batches.create({ input_file_id: first.id, endpoint: url, completion_window: "24h" });
  const done = await ended(client, id);
  expect(await days(done.output_file_id!)).toBe(1);
  await keep(7);
  const batches = new BatchStore(at);
  const isThereAfter = async (passed: string) => {
    await at.db.query("update batches set expires_at = now() - $1::interval where id = $2", [passed, id]);
    await batches.sweep();
    return (await batches.get(at.principal.project, id)) !== undefined;
  };
  expect([await isThereAfter("6 days"), await isThereAfter("8 days")]).toEqual([true, false]);
});

test("what is wrong with a line is said in the error file, and others are served", async () => {
  await using at = await testGateway();
  const client = at.client();
  const made = await batchOf(client, [
    lineOf("good"),
    lineOf("stream", { stream: true }),
    lineOf("model", { model: "none" }),
    lineOf("field", { temperature: "hot" }),
  ]);
  const done = await ended(client, made.id);
  expect(done).toMatchObject({ status: "completed", request_counts: { total: 4, completed: 1, failed: 3 } });
  expect((await linesOf(client, done.output_file_id)).map(({ custom_id }) => custom_id)).toEqual(["good"]);
  expect(await linesOf(client, done.error_file_id)).toMatchObject([
    { custom_id: "stream", response: { status_code: 400, body: { error: { param: "stream" } } } },
    { custom_id: "model", response: { status_code: 404, body: { error: { code: "model_not_found" } } } },
    { custom_id: "field", response: { status_code: 400, body: { error: { param: "temperature" } } } },
  ]);
});

test("an input file with a wrong line starts nothing, and its problems are named", async () => {
  await using at = await testGateway();
  const client = at.client();
  const made = await batchOf(client, [lineOf("a"), lineOf("a"), "{"]);
  expect(await ended(client, made.id)).toMatchObject({
    status: "failed",
    errors: {
      object: "list",
      data: [
        { code: "duplicate_custom_id", line: 2 },
        { code: "invalid_json_line", line: 3 },
      ],
    },
  });
  expect(at.engine.seen.filter(({ path }) => path.endsWith("completions"))).toEqual([]);
  expect(await ended(client, (await batchOf(client, [" "])).id)).toMatchObject({
    errors: { data: [{ code: "empty_file" }] },
  });
});

test.each<[object, string]>([
  [{ endpoint: "/v1/none" }, "endpoint"],
  [{ completion_window: "1h" }, "completion_window"],
  [{ metadata: "x" }, "metadata"],
  [{ wish: 1 }, "wish"],
  [{ output_expires_after: { anchor: "created_at", seconds: 1 } }, "output_expires_after.seconds"],
])("a batch that cannot be made is refused by the field at fault: %o", async (more, param) => {
  await using at = await testGateway();
  const client = at.client();
  const file = await upload(client, [lineOf("a")]);
  const body = { input_file_id: file.id, endpoint: url, completion_window: "24h", ...more };
  await expect(client.batches.create(body as never)).rejects.toMatchObject({ status: 400, param });
});

test("an engine that fails or is busy is asked again; a line that it always fails ends with its error", async () => {
  await using at = await testGateway();
  const [waitMs, most] = [limits.lineWaitMs, limits.lineWaitMostMs];
  Object.assign(limits, { lineWaitMs: 1, lineWaitMostMs: 5 });
  try {
    let asks = 0;
    at.engine.decide = ({ body }) => {
      const text = JSON.stringify(body);
      if (text.includes("busy") && asks++ < 6) return { fail: { status: 429, headers: { "retry-after": "0.01" } } };
      if (text.includes("broken")) return { fail: { status: 500 } };
      return {};
    };
    const messages = (content: string) => ({ messages: [{ role: "user", content }] });
    const client = at.client();
    const made = await batchOf(client, [lineOf("busy", messages("busy")), lineOf("broken", messages("broken"))]);
    const done = await ended(client, made.id);
    expect(done.request_counts).toEqual({ total: 2, completed: 1, failed: 1 });
    expect(await linesOf(client, done.error_file_id)).toMatchObject([
      { custom_id: "broken", response: { status_code: 502 } },
    ]);
  } finally {
    Object.assign(limits, { lineWaitMs: waitMs, lineWaitMostMs: most });
  }
});

/** A batch whose lines are at the engine and get no answer until `answer` is called. */
async function held(at: TestGateway, client: OpenAI, ids: readonly string[]) {
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  at.engine.usual = { chunks: ["late"], wait: promise };
  const made = await batchOf(
    client,
    ids.map((id) => lineOf(id)),
  );
  await expect.poll(() => at.engine.seen.length).toBeGreaterThanOrEqual(1);
  return { id: made.id, answer };
}

test("a cancelled batch begins no further line, keeps what was served, and names the rest", async () => {
  await using at = await testGateway();
  const client = at.client();
  const ids = Array.from({ length: limits.linesAtOnce + 8 }, (_, place) => String(place));
  const { id, answer } = await held(at, client, ids);
  expect(await client.batches.cancel(id)).toMatchObject({ status: "cancelling" });
  expect(await client.batches.cancel(id)).toMatchObject({ status: "cancelling" });
  answer();
  const done = await ended(client, id);
  expect(done).toMatchObject({ status: "cancelled", cancelled_at: expect.any(Number) });
  const served = await linesOf(client, done.output_file_id);
  const others = await linesOf(client, done.error_file_id);
  expect(served.length).toBeGreaterThan(0);
  expect(done.request_counts).toEqual({ total: ids.length, completed: served.length, failed: others.length });
  expect([...served, ...others].map(({ custom_id }) => custom_id).toSorted()).toEqual(ids.toSorted());
  expect(new Set(others.map(({ error }) => error.code))).toEqual(new Set(["batch_cancelled"]));
  expect((await rows(at)).calls.length).toBe(served.length);
});

test("a batch whose window is over ends with what was served", async () => {
  await using at = await testGateway();
  const client = at.client();
  const ids = Array.from({ length: limits.linesAtOnce + 8 }, (_, place) => String(place));
  const { id, answer } = await held(at, client, ids);
  await at.db.query("update batches set expires_at = now()");
  await expect
    .poll(async () => (await at.db.query<{ ends: string }>("select ends from batches")).rows)
    .toEqual([{ ends: "batch_expired" }]);
  answer();
  const done = await ended(client, id);
  expect(done).toMatchObject({ status: "expired", expired_at: expect.any(Number) });
  const others = await linesOf(client, done.error_file_id);
  expect(others.length).toBeGreaterThan(0);
  expect(others[0]).toMatchObject({ response: null, error: { code: "batch_expired" } });
});

test("lines of a key that was revoked end by that name, those under way included", async () => {
  await using at = await testGateway();
  const { organisation, project } = at.principal;
  const { key, secret } = await at.identity.createKey({ organisation, project, name: "batches", role: "member" });
  const ids = Array.from({ length: limits.linesAtOnce + 8 }, (_, place) => String(place));
  const { id, answer } = await held(at, at.client({ key: secret }), ids);
  await at.identity.revokeKey(organisation, key.id);
  const done = await ended(at.client(), id);
  answer();
  expect(done.request_counts).toEqual({ total: ids.length, completed: 0, failed: ids.length });
  const lines = await linesOf(at.client(), done.error_file_id);
  expect(new Set(lines.map(({ error }) => error.code))).toEqual(new Set(["key_revoked"]));
});

test("lines that a used-up budget does not allow end with its error, and no more is spent than it has", async () => {
  await using at = await testGateway({ script: { chunks: ["a"], usage: { prompt: 10, cached: 0, output: 1 } } });
  const { organisation } = at.principal;
  const limitNano = 2_000n;
  await at.ledger.setBudget({
    organisation,
    scope: { kind: "organisation", id: organisation },
    limitNano,
    currency: "USD",
    period: "month",
  });
  const client = at.client();
  const made = await batchOf(
    client,
    Array.from({ length: 80 }, (_, place) => lineOf(String(place))),
  );
  const done = await ended(client, made.id);
  const { total, completed, failed } = done.request_counts!;
  expect([total, completed > 0, failed > 0, completed + failed]).toEqual([80, true, true, 80]);
  expect((await linesOf(client, done.error_file_id))[0]).toMatchObject({
    response: { status_code: 429, body: { error: { code: "budget_exceeded" } } },
  });
  const { settlements } = await rows(at);
  expect(settlements.reduce((sum, { amount_nano }) => sum + (amount_nano as bigint), 0n) <= limitNano).toBe(true);
});

test("a line that another process has taken is neither written nor paid for by the first", async () => {
  await using at = await testGateway();
  const client = at.client();
  const { id, answer } = await held(at, client, ["a"]);
  // As a process does that thinks the first one dead.
  await at.db.query("update batch_lines set fence = fence + 1, owner = 'another'");
  answer();
  await expect.poll(async () => (await rows(at)).calls).toMatchObject([{ status: "failed" }]);
  expect((await rows(at)).settlements).toMatchObject([{ amount_nano: 0n }]);
  expect((await client.batches.retrieve(id)).request_counts).toEqual({ total: 1, completed: 0, failed: 0 });
  // The other process said nothing for a while, so the line is taken again.
  await at.db.query("update batch_lines set claimed_at = now() - make_interval(secs => $1)", [
    limits.lineDeadMs / 1000 + 1,
  ]);
  const done = await ended(client, id);
  expect(done.request_counts).toEqual({ total: 1, completed: 1, failed: 0 });
  expect((await linesOf(client, done.output_file_id)).length).toBe(1);
});

test("a line whose processes end again and again is given up by name", async () => {
  await using at = await testGateway();
  const client = at.client();
  const { id, answer } = await held(at, client, ["a"]);
  await at.db.query(
    "update batch_lines set fence = fence + 1, owner = 'another', tries = $1, claimed_at = now() - interval '1 day'",
    [limits.lineTriesMost],
  );
  const done = await ended(client, id);
  answer();
  expect(await linesOf(client, done.error_file_id)).toMatchObject([
    { custom_id: "a", error: { code: "process_ended" } },
  ]);
});

test("a project has so many batches under way, and files and batches are removed when their time is over", async () => {
  await using at = await testGateway();
  const client = at.client();
  const file = await upload(client, [lineOf("a")]);
  await at.db.query(
    `insert into batches (project, id, organisation, key, endpoint, input_file, status, ends, expires_at)
     select project, 'batch_' || n, organisation, 'key_none', 'x', 'x', 'failed', 'x', now() from files, generate_series(1, $1::int) n`,
    [limits.openBatchesMost],
  );
  // A process serves a line of each, so that none of them ends meanwhile.
  await at.db.query(
    `insert into batch_lines (project, batch, number, custom_id, state, request, owner, claimed_at)
     select project, id, 1, 'a', 'claimed', '', 'another', now() + interval '1 day' from batches`,
  );
  const { files, batches } = anotherProcess(at);
  await at.db.query("update batches set status = 'cancelling'");
  await expect(
    client.batches.create({ input_file_id: file.id, endpoint: url, completion_window: "24h" }),
  ).rejects.toMatchObject({ status: 429, code: "too_many_batches" });
  await at.db.query("update batches set status = 'failed', expires_at = now() - interval '31 days'");
  await at.db.query("update files set expires_at = now() - interval '1 second'");
  await expect(client.files.retrieve(file.id)).rejects.toMatchObject({ status: 404 });
  await at.db.query("insert into batch_prices select id, 1 from batches");
  await files.sweep();
  await batches.sweep();
  expect((await at.db.query("select from files")).rows).toEqual([]);
  expect((await at.db.query("select from batches")).rows).toEqual([]);
  expect((await at.db.query("select from batch_prices")).rows).toEqual([]);
});
