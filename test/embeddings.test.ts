// Embeddings out of the box: a start publishes the small embedding model behind its ready line, for OpenAI's client as for the command
// line, and a person's change of it outlives the next start.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { expect, onTestFinished, test } from "vitest";
import { startInstance, type Instance } from "./setup/instance.ts";
import { embeddingModel } from "./setup/model.ts";

const launcher = fileURLToPath(new URL("../bin/lineshaft", import.meta.url));
const model = "all-minilm-l6-v2";

const lineshaft = (home: string, words: string[]) =>
  spawnSync(launcher, words, { env: { ...process.env, LINESHAFT_HOME: home }, encoding: "utf8" });
const clientOf = ({ address, key }: Instance) => new OpenAI({ baseURL: `${address}/v1`, apiKey: key, maxRetries: 0 });
const modelsOf = async (client: OpenAI) => (await client.models.list()).data.map(({ id }) => id);

test("the first start serves embeddings, calls still go to the model that writes, and a removed model stays removed", async () => {
  const home = mkdtempSync(join(tmpdir(), "lineshaft-embeddings-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }));
  // The weights come from the cache of the tests, as they would after an earlier fetch.
  const path = await embeddingModel();
  cpSync(dirname(path), join(home, "models"), { recursive: true, filter: (source) => !/SmolLM/.test(source) });
  const env = { LINESHAFT_EMBEDDING_MODEL: "" };
  {
    await using instance = await startInstance({ home, env });
    const client = clientOf(instance);
    await expect.poll(() => modelsOf(client), { timeout: 120_000 }).toContain(model);
    // OpenAI's client asks for base64 unless it is told otherwise, and decodes it.
    const [asked, plain] = await Promise.all([
      client.embeddings.create({ model, input: ["A pump in a mill.", "A piano."] }),
      client.embeddings.create({ model, input: "A pump in a mill.", encoding_format: "float" }),
    ]);
    expect(asked.data.map(({ embedding }) => embedding.length)).toEqual([384, 384]);
    for (const [place, value] of plain.data[0]!.embedding.entries())
      expect(asked.data[0]!.embedding[place]).toBeCloseTo(value, 4);
    expect(lineshaft(home, ["call", "Say hello.", "--max-tokens", "4"]).status).toBe(0);
    expect(lineshaft(home, ["deployments", "remove", model]).status).toBe(0);
  }
  await using again = await startInstance({ home, env });
  expect(await modelsOf(clientOf(again))).not.toContain(model);
});
