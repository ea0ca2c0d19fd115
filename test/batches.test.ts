// A batch over an instance whose processes are killed while it is served: every line has exactly one result, and none is billed twice.
// BATCH_LINES=1000 is the batch of the release; fewer here.
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI, { toFile } from "openai";
import { expect, test } from "vitest";
import { Client } from "../src/cli/client.ts";
import type { Bill, Proof } from "../src/contract/index.ts";
import { scriptedEngine } from "../src/engines/testing.ts";
import { startInstance } from "./setup/instance.ts";

const lineCount = Number(process.env["BATCH_LINES"] ?? 200);
/** Prompt of 10 tokens at 1 nano and output of 4 at 2: the batch prices, half of the others. */
const priceOfLine = 18n;

test(
  `${lineCount} lines, and two kills of the process that serves them`,
  { timeout: 180_000 + lineCount * 200 },
  async () => {
    await using engine = await scriptedEngine({ chunks: ["fine"], usage: { prompt: 10, cached: 0, output: 4 } });
    // So that lines are under way when the process is killed.
    engine.decide = () => ({ chunks: ["fine"], usage: { prompt: 10, cached: 0, output: 4 }, wait: sleep(20) });
    await using instance = await startInstance({ env: { LINESHAFT_LOG: "error", LINESHAFT_EMBEDDING_MODEL: "none" } });
    const { address, key } = instance;
    const api = new Client({ url: address, key });
    const price = { currency: "USD", input_nano_per_million: "2000000", output_nano_per_million: "4000000" };
    await api.post("/api/engines", { name: "scripted", urls: [engine.url], model: "scripted", price });
    await api.put("/api/prices", {
      model: "scripted",
      ...price,
      batch: { input_nano_per_million: "1000000", output_nano_per_million: "2000000" },
    });
    const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: key, maxRetries: 20 });
    const ids = Array.from({ length: lineCount }, (_, place) => `line-${place}`);
    const lines = ids.map((id) =>
      JSON.stringify({
        custom_id: id,
        method: "POST",
        url: "/v1/chat/completions",
        body: { model: "scripted", messages: [{ role: "user", content: id }], max_tokens: 8 },
      }),
    );
    const { id: file } = await client.files.create({
      file: await toFile(Buffer.from(lines.join("\n")), "in.jsonl"),
      purpose: "batch",
    });
    const { id } = await client.batches.create({
      input_file_id: file,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });

    const asksBefore = () => engine.seen.filter(({ path }) => path.endsWith("/chat/completions")).length;
    for (const share of [0.3, 0.6]) {
      while (asksBefore() < share * lineCount) await sleep(5);
      process.kill(instance.mainPid(), "SIGKILL");
      // It is started again by its keeper; requests to it fail until then.
      await sleep(1_000);
    }
    let batch = await persistently(() => client.batches.retrieve(id));
    while (batch.status !== "completed") {
      await sleep(500);
      batch = await persistently(() => client.batches.retrieve(id));
    }
    expect(batch.request_counts).toEqual({ total: lineCount, completed: lineCount, failed: 0 });
    const text = await (await client.files.content(batch.output_file_id!)).text();
    const results = text
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { custom_id: string }).custom_id);
    expect(results).toEqual(ids);

    const { total } = await persistently(() => api.get<Bill>("/api/bill"));
    const sum = BigInt(total.token_cost_nano);
    const most = priceOfLine * BigInt(lineCount);
    // A line whose process was killed between its result and its settlement costs nothing; 32 lines are under way at most.
    expect(sum <= most).toBe(true);
    expect(sum >= most - 2n * 32n * priceOfLine).toBe(true);
    const proof = await api.post<Proof>("/api/proofs", { kind: "whole" });
    expect(proof.discrepancies).toEqual([]);
  },
);

async function persistently<Result>(work: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await work();
    } catch {
      await sleep(250);
    }
  }
}
