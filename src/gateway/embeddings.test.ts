// Embeddings from OpenAI's own client to a worker with the real model, over a real ledger.
import { expect, test } from "vitest";
import { testGateway, testPrices } from "../api/testing.ts";
import { startTestWorker } from "../engines/embedded/testing.ts";
import { workerEngine } from "../engines/embedded/workerEngine.ts";
import { embeddingModel } from "../../test/setup/model.ts";

test("the official client gets vectors, and they are billed by the model's own tokens", async () => {
  const worker = await startTestWorker({ modelPath: await embeddingModel(), embeds: true });
  try {
    await using at = await testGateway();
    const token = worker.headers["authorization"]!.slice("Bearer ".length);
    const engine = workerEngine({ url: worker.url, token, embeds: true });
    const { organisation } = at.principal;
    await at.ledger.setRateCard({ organisation, model: "minilm", currency: "USD", ...testPrices });
    at.engines.add("minilm", engine, { kind: "embedded", model: "small", facts: await engine.probe() });
    const client = at.client();
    // Without a word on the encoding the client asks for base64 and decodes it.
    const { data, response } = await client.embeddings
      .create({ model: "minilm", input: ["The pump vibrates.", "The machine shakes.", "He plays the piano."] })
      .withResponse();
    const [pump, machine, piano] = data.data.map(({ embedding }) => embedding);
    expect(pump).toHaveLength(384);
    const dot = (a: number[], b: number[]) => a.reduce((sum, value, index) => sum + value * b[index]!, 0);
    expect(dot(pump!, machine!)).toBeGreaterThan(dot(pump!, piano!) + 0.2);
    expect(response.headers.get("x-lineshaft-price-nano")).toBe(String(3 * data.usage.prompt_tokens));
    const plain = await client.embeddings.create({
      model: "minilm",
      input: "The pump vibrates.",
      encoding_format: "float",
    });
    expect(dot(plain.data[0]!.embedding, pump!)).toBeGreaterThan(0.99999);
    await expect(
      client.chat.completions.create({ model: "minilm", messages: [{ role: "user", content: "hi" }] }),
    ).rejects.toMatchObject({ status: 400, code: "api_not_spoken" });
    await expect(client.embeddings.create({ model: "scripted", input: "x" })).rejects.toMatchObject({
      status: 400,
      code: "api_not_spoken",
    });
  } finally {
    await worker.stop();
  }
}, 300_000);
