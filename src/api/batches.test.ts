// Batches as /api shows them: their price is that of their calls, retries and failed lines included, and live events tell their states.
import OpenAI, { toFile } from "openai";
import { expect, test } from "vitest";
import { batch as batchSchema, batchObject, fileObject, type BatchResource } from "../contract/index.ts";
import { liveResource } from "./resources/live.ts";
import { testGateway, type TestGateway } from "./testing.ts";

const url = "/v1/chat/completions";
const lineOf = (id: string, body: object = {}) =>
  JSON.stringify({
    custom_id: id,
    method: "POST",
    url,
    body: { model: "scripted", messages: [{ role: "user", content: "hi" }], max_tokens: 16, ...body },
  });

async function made(client: OpenAI, lines: string[]) {
  const file = await client.files.create({ file: await toFile(Buffer.from(lines.join("\n")), "in"), purpose: "batch" });
  fileObject.strict().parse(file);
  return client.batches.create({
    input_file_id: file.id,
    endpoint: url,
    completion_window: "24h",
    metadata: { a: "b" },
  });
}

const read = async <T>(at: TestGateway, path: string): Promise<T> => (await at.request(path)).body as T;

async function ended(at: TestGateway, id: string): Promise<BatchResource> {
  const now = () => read<BatchResource>(at, `/api/batches/${id}`);
  await expect.poll(async () => (await now()).ended_at).not.toBeNull();
  return now();
}

test("a batch has the price of its calls, which are listed by it; other calls count in none", async () => {
  await using at = await testGateway({ script: { chunks: ["a"], usage: { prompt: 10, cached: 0, output: 1 } } });
  const client = at.client();
  await client.chat.completions.create({ model: "scripted", messages: [{ role: "user", content: "hi" }] });
  const first = await made(client, ["1", "2", "3"].map((id) => lineOf(id)).concat(lineOf("4", { stream: true })));
  batchObject.strict().parse(first);
  const batch = await ended(at, first.id);
  expect(batchSchema.strict().parse(batch)).toMatchObject({
    status: "completed",
    price_nano: String(3n * 37n),
    endpoint: url,
    total: 4,
    completed: 3,
    failed: 1,
    currency: "USD",
    problems: [],
    error_file: expect.any(String),
  });
  batchObject.strict().parse(await client.batches.retrieve(first.id));
  const calls = await read<{ data: { batch: string | null }[] }>(at, `/api/calls?batch=${first.id}`);
  expect(calls.data.map((call) => call.batch)).toEqual([first.id, first.id, first.id]);
  expect((await read<{ data: unknown[] }>(at, "/api/calls")).data.length).toBe(4);

  const second = await made(client, ["not a line"]);
  expect(await ended(at, second.id)).toMatchObject({
    status: "failed",
    price_nano: "0",
    problems: [{ code: "invalid_json_line", line: 1 }],
  });
  const list = await read<{ data: BatchResource[]; next_cursor: string }>(at, "/api/batches?limit=1");
  expect(list.data.map(({ id }) => id)).toEqual([second.id]);
  const rest = await read<{ data: BatchResource[]; next_cursor: null }>(at, `/api/batches?cursor=${list.next_cursor}`);
  expect(rest).toMatchObject({ data: [{ id: first.id }], next_cursor: null });
  const failed = await read<{ data: BatchResource[] }>(at, "/api/batches?status=failed");
  expect(failed.data.map(({ id }) => id)).toEqual([second.id]);
  expect((await at.request("/api/batches/batch_none")).status).toBe(404);
});

test("live events tell each state of a batch", async () => {
  await using at = await testGateway();
  const stop = new AbortController();
  const told: string[] = [];
  const reading = (async () => {
    for await (const { event } of at.events.subscribe(at.principal, undefined, stop.signal)) {
      const shown = liveResource(event);
      if (shown.type === "batch") told.push(shown.batch.status);
    }
  })();
  const { id } = await made(at.client(), [lineOf("1")]);
  await ended(at, id);
  await expect.poll(() => told).toEqual(["validating", "in_progress", "completed"]);
  stop.abort();
  await reading;
});
