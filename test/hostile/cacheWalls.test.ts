// Caches as a side channel: the second caller of a prompt is served from a cache, and `cached_tokens` and the response time reveal it.
// Therefore prefixes are shared within one project only, or within one key where a call asks for that. Real workers, real model.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestWorker, type TestWorker } from "../../src/engines/embedded/testing.ts";
import { createEmbeddedEngine } from "../../src/engines/embedded/adapter.ts";
import { testGateway, testPrices, type TestGateway } from "../../src/api/testing.ts";

const kvDir = mkdtempSync(path.join(tmpdir(), "lineshaft-kv-"));
const workers: TestWorker[] = [];
let at: TestGateway;
/** Secrets: two keys of one project, one of another project of the same organisation. */
const keys = { first: "", colleague: "", other: "" };

beforeAll(async () => {
  at = await testGateway();
  const { organisation, project } = at.principal;
  const other = await at.identity.ensureTenant({ organisation: "acme", project: "other", currency: "USD" });
  expect(other.organisation.id).toBe(organisation);
  expect(other.project.id).not.toBe(project);
  const make = async (of: string, name: string) =>
    (await at.identity.createKey({ organisation, project: of, name, role: "member" })).secret;
  keys.first = await make(project, "first");
  keys.colleague = await make(project, "colleague");
  keys.other = await make(other.project.id, "other");
  workers.push(...(await Promise.all([1, 2].map(() => startTestWorker({ kvDir, slots: 2, contextTokens: 1024 })))));
  // One worker, two equal workers, and two workers in roles: all paths by which a prefix could reach another project.
  for (const [model, roles] of [
    ["alone", ["both"]],
    ["pair", ["both", "both"]],
    ["split", ["prefill", "decode"]],
  ] as const) {
    await at.ledger.setRateCard({ organisation, model, currency: "USD", ...testPrices });
    for (const [index, role] of roles.entries()) {
      const token = workers[index]!.headers["authorization"]!.slice("Bearer ".length);
      const engine = createEmbeddedEngine({ url: workers[index]!.url, token });
      const facts = await engine.probe();
      at.engines.add(model, engine, {
        kind: "embedded",
        model: "small",
        endpoint: `${model}-${index}`,
        role,
        node: "here",
        facts,
      });
    }
  }
  at.engines.configure("pair", { placement: "round-robin" });
});

afterAll(async () => {
  await at?.[Symbol.asyncDispose]();
  await Promise.all(workers.map((worker) => worker.stop()));
  rmSync(kvDir, { recursive: true, force: true });
});

async function cached(secret: string, model: string, about: string, headers: Record<string, string> = {}) {
  const content = `${`The ${about} turns and turns. `.repeat(20)} What turns?`;
  const answer = await at
    .client({ key: secret })
    .chat.completions.create(
      { model, messages: [{ role: "user", content }], max_tokens: 2, temperature: 0 },
      { headers },
    );
  return answer.usage!.prompt_tokens_details!.cached_tokens!;
}

/** Tokens that are shared all the same: fewer than a block. */
const nothing = 32;
/** Most of the prompt. */
const most = 100;

test.each(["alone", "pair", "split"])(
  "another project's call of the same prompt finds nothing cached (%s)",
  async (model) => {
    const about = `shaft of ${model}`;
    await cached(keys.first, model, about);
    // Twice: round robin has asked both workers then, and each of them keeps its state on the shared disk, too.
    await cached(keys.first, model, about);
    expect(await cached(keys.colleague, model, about)).toBeGreaterThan(most);
    expect(await cached(keys.other, model, about)).toBeLessThan(nothing);
    // Nor does the same session name share a prefix.
    const session = { "x-lineshaft-program": "s1" };
    const named = `wheel of ${model}`;
    await cached(keys.first, model, named, session);
    expect(await cached(keys.other, model, named, session)).toBeLessThan(nothing);
    // Once the other project has asked, it shares with itself.
    expect(await cached(keys.other, model, named)).toBeGreaterThan(model === "pair" ? -1 : most);
  },
);

test("a key that asks for it shares with itself alone, in both directions", async () => {
  const scope = { "x-lineshaft-cache-scope": "key" };
  await cached(keys.first, "alone", "gear", scope);
  expect(await cached(keys.colleague, "alone", "gear")).toBeLessThan(nothing);
  expect(await cached(keys.colleague, "alone", "gear", scope)).toBeLessThan(nothing);
  expect(await cached(keys.first, "alone", "gear", scope)).toBeGreaterThan(most);
  await cached(keys.colleague, "alone", "loom");
  expect(await cached(keys.first, "alone", "loom", scope)).toBeLessThan(nothing);
});

test("a wider scope cannot be asked for", async () => {
  for (const scope of ["organisation", "", "KEY", "prj_other"]) {
    const { status, body } = await at.request("/v1/chat/completions", {
      method: "POST",
      headers: { "x-lineshaft-cache-scope": scope },
      body: JSON.stringify({ model: "alone", messages: [{ role: "user", content: "hi" }] }),
    });
    expect([status, body.error.code, body.error.param]).toEqual([400, "invalid_header", "x-lineshaft-cache-scope"]);
  }
});
