// When the embedding model is published by a start, and when it is left alone.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { LineshaftError } from "../errors/index.ts";
import { publishEmbeddings } from "./embeddings.ts";

/** One home over several starts, and what each of them did. */
function homeWith({ names = ["smollm2"] }: { names?: string[] } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "lineshaft-embeddings-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const published: unknown[] = [];
  const notes: string[] = [];
  const start = (
    settings: { LINESHAFT_EMBEDDING_MODEL?: string; LINESHAFT_REPLICAS?: number } = {},
    { failing, embeds = true }: { failing?: Error; embeds?: boolean } = {},
  ) =>
    publishEmbeddings({
      settings,
      home: { file: (...parts) => join(folder, ...parts) },
      deployments: {
        list: () => names.map((name) => ({ name })) as never,
        publish: async (organisation, spec) => {
          published.push([organisation, spec.name, spec.model, spec.threads]);
          names.push(spec.name);
          return { changed: true };
        },
      },
      models: {
        get: async (name) => {
          if (failing) throw failing;
          return { model: { name: name!, path: "/m", licence: "x", bytes: 1, embeds }, shape: undefined };
        },
      },
      organisation: "org_1",
      signal: new AbortController().signal,
      note: (line) => void notes.push(line),
    });
  return { start, published, notes, names, mark: join(folder, "embeddings-published") };
}

const usual = ["org_1", "all-minilm-l6-v2", "all-minilm-l6-v2", 1];

test("the first start publishes it once, and one that was removed stays removed", async () => {
  const home = homeWith();
  await home.start();
  expect(home.published).toEqual([usual]);
  home.names.splice(0);
  await home.start();
  expect(home.published).toEqual([usual]);
  expect(home.notes).toEqual([]);
});

test("a deployment of that name is left as a person made it", async () => {
  const home = homeWith({ names: ["all-minilm-l6-v2"] });
  await home.start();
  expect(home.published).toEqual([]);
  expect(existsSync(home.mark)).toBe(true);
});

test.each([{ LINESHAFT_EMBEDDING_MODEL: "none" }, { LINESHAFT_REPLICAS: 0 }])(
  "%j: nothing is fetched, and a later start without it publishes the model",
  async (settings) => {
    const home = homeWith();
    await home.start(settings, { failing: new Error("must not be fetched") });
    expect([home.published, home.notes]).toEqual([[], []]);
    await home.start();
    expect(home.published).toEqual([usual]);
  },
);

test("a model that cannot be had is a note, and the next start tries again", async () => {
  const home = homeWith();
  const failing = new LineshaftError({
    code: "model_not_available",
    message: "It could not be fetched.",
    why: "no pip",
  });
  await home.start({}, { failing });
  expect(home.notes).toEqual([
    expect.stringMatching(/^Embeddings are not served yet: It could not be fetched. no pip/),
  ]);
  expect(existsSync(home.mark)).toBe(false);
  await home.start();
  expect(home.published).toEqual([usual]);
});

test("a model that writes text is refused by name", async () => {
  const home = homeWith();
  await home.start({ LINESHAFT_EMBEDDING_MODEL: "qwen3-0.6b" }, { embeds: false });
  expect(home.published).toEqual([]);
  expect(home.notes[0]).toContain("qwen3-0.6b, which makes no embeddings");
});
