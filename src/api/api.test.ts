// /api over HTTP with real Postgres: who may do what, what is stored, what is shown.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { EngineRegistry } from "../engines/index.ts";
import { scriptedEngine } from "../engines/testing.ts";
import { restoreEngines } from "../gateway/storedEngines.ts";
import { testGateway } from "./testing.ts";
import type { TestGateway } from "./testing.ts";
import * as schemas from "../contract/index.ts";

const hello = { model: "scripted", messages: [{ role: "user" as const, content: "hi" }] };
const json = (value: unknown, method = "POST") => ({ method, body: JSON.stringify(value) });

async function memberOf(at: TestGateway) {
  const made = await at.request("/api/keys", json({ name: "member" }));
  return { ...made.body, headers: { authorization: `Bearer ${made.body.secret}` } } as {
    id: string;
    secret: string;
    headers: Record<string, string>;
  };
}

describe("who may do what", () => {
  test("every route of the document asks for a key, in its own shape of errors", async () => {
    await using at = await testGateway();
    const { body: document } = await at.request("/api/openapi.json");
    const open = new Set(["/healthz", "/metrics"]);
    let asked = 0;
    for (const [path, operations] of Object.entries(document.paths as Record<string, object>)) {
      if (open.has(path)) continue;
      for (const method of Object.keys(operations)) {
        const url = path.replace(/\{\w+\}/g, "x");
        const answer = await fetch(at.address + url, {
          method: method.toUpperCase(),
          headers: { authorization: "Bearer nonsense" },
        });
        expect([path, method, answer.status]).toEqual([path, method, 401]);
        const { error } = (await answer.json()) as { error: Record<string, unknown> };
        // Google's errors have a status as their code, and name ours as the reason.
        const [detail] = (error["details"] ?? []) as { reason?: string }[];
        expect(detail?.reason ?? error["code"]).toBe("invalid_api_key");
        expect(error["message"]).toEqual(expect.any(String));
        expect(answer.headers.get("x-request-id") ?? answer.headers.get("request-id")).toMatch(/^req_/);
        asked++;
      }
    }
    expect(asked).toBeGreaterThan(15);
  });

  test("the document covers /v1 and everything that is served", async () => {
    await using at = await testGateway();
    const { body } = await at.request("/api/openapi.json");
    expect(Object.keys(body.paths)).toEqual(
      expect.arrayContaining([
        ...[
          "/v1/chat/completions",
          "/v1/completions",
          "/v1/models",
          "/healthz",
          "/metrics",
          "/api/status",
          "/api/engines",
        ],
        ...[
          "/api/keys",
          "/api/budgets",
          "/api/calls",
          "/api/calls/{id}",
          "/api/overview",
          "/api/bill",
          "/api/events",
          "/api/search",
        ],
      ]),
    );
    expect(body.paths["/v1/chat/completions"].post.requestBody.content["application/json"].schema.$ref).toContain(
      "ChatCompletionRequest",
    );
  });

  test("members read and call; owners change", async () => {
    await using at = await testGateway();
    const member = await memberOf(at);
    const as = { headers: member.headers };
    await at.client({ key: member.secret }).chat.completions.create(hello);
    for (const path of ["/api/status", "/api/engines", "/api/budgets", "/api/calls", "/api/overview", "/api/bill"])
      expect([path, (await at.request(path, as)).status]).toEqual([path, 200]);
    const denied: [string, RequestInit][] = [
      ["/api/keys", {}],
      ["/api/keys", json({ name: "more" })],
      [`/api/keys/${member.id}`, { method: "DELETE" }],
      ["/api/budgets", json({ scope: { kind: "project", id: "default" }, limit_nano: "1" }, "PUT")],
      ["/api/budgets/bud_x", { method: "DELETE" }],
      ["/api/engines", json({ name: "x", urls: [at.engine.url], model: "scripted" })],
      ["/api/engines/scripted", { method: "DELETE" }],
    ];
    for (const [path, init] of denied) {
      const answer = await at.request(path, { ...init, ...as });
      expect([path, answer.status, answer.body.error?.code]).toEqual([path, 403, "owner_only"]);
    }
  });

  test("a revoked key is dead at once", async () => {
    await using at = await testGateway();
    const member = await memberOf(at);
    await at.client({ key: member.secret }).models.list();
    expect((await at.request(`/api/keys/${member.id}`, { method: "DELETE" })).body.revoked_at).not.toBeNull();
    await expect(at.client({ key: member.secret }).models.list()).rejects.toMatchObject({
      status: 401,
      code: "invalid_api_key",
    });
  });

  test("another organisation sees nothing of this one", async () => {
    await using at = await testGateway();
    await at.client().chat.completions.create(hello);
    const { body: calls } = await at.request("/api/calls");
    const other = await at.identity.ensureTenant({ organisation: "other", project: "default", currency: "USD" });
    const { secret } = await at.identity.createKey({
      organisation: other.organisation.id,
      project: other.project.id,
      name: "o",
      role: "owner",
    });
    const as = { headers: { authorization: `Bearer ${secret}` } };
    expect((await at.request("/api/calls", as)).body.data).toEqual([]);
    expect((await at.request(`/api/calls/${calls.data[0].id}`, as)).status).toBe(404);
    expect((await at.request(`/api/search?q=${calls.data[0].id}`, as)).body.data).toEqual([]);
    expect((await at.request("/api/overview", as)).body.calls.total).toBe(0);
    const theirs = { kind: "project", id: at.principal.project };
    expect(
      (await at.request("/api/budgets", { ...json({ scope: theirs, limit_nano: "0" }, "PUT"), ...as })).status,
    ).toBe(404);
  });
});

test("creating with the same Idempotency-Key makes one key", async () => {
  await using at = await testGateway();
  const init = { ...json({ name: "once" }), headers: { "idempotency-key": "k1" } };
  const [first, second] = await Promise.all([at.request("/api/keys", init), at.request("/api/keys", init)]);
  expect(second.body).toEqual(first.body);
  const other = { ...json({ name: "twice" }), headers: { "idempotency-key": "k1" } };
  expect((await at.request("/api/keys", other)).body.error.code).toBe("idempotency_mismatch");
  expect((await at.request("/api/keys")).body.data).toHaveLength(2);
});

describe("engines", () => {
  const price = { currency: "USD", input_nano_per_million: "1000000", output_nano_per_million: "2000000" };

  test("added, served, listed, restored, removed", async () => {
    await using at = await testGateway();
    await using mine = await scriptedEngine({}, ["qwen", "llama"]);
    // A name like a provider's, with a slash in it.
    await at.request("/api/engines", json({ name: "acme/qwen", urls: [mine.url], model: "qwen", price }));
    expect((await at.client().models.retrieve("acme/qwen")).id).toBe("acme/qwen");
    expect((await at.request("/api/engines/acme%2Fqwen", { method: "DELETE" })).body.deleted).toBe(true);
    const added = await at.request("/api/engines", json({ name: "mine", urls: [mine.url], model: "qwen", price }));
    expect(added.status).toBe(200);
    expect(schemas.engine.parse(added.body)).toMatchObject({
      name: "mine",
      price: { cached_nano_per_million: "1000000" },
    });
    const answer = await at.client().chat.completions.create({ ...hello, model: "mine" });
    expect(answer.choices[0]!.message.content).toBe("Hello, world.");
    expect(mine.seen[0]!.body["model"]).toBe("qwen");

    const restarted = new EngineRegistry();
    await restoreEngines({ db: at.db, engines: restarted, log: { warn() {} } as never, alarms: at.alarms });
    expect(restarted.resolve("mine")).toMatchObject({ model: "qwen", up: true });

    expect((await at.request("/api/engines/mine", { method: "DELETE" })).body).toEqual({ name: "mine", deleted: true });
    await expect(at.client().chat.completions.create({ ...hello, model: "mine" })).rejects.toMatchObject({
      status: 404,
    });
    expect((await at.request("/api/engines/mine", { method: "DELETE" })).status).toBe(404);
  });

  test("without a price its calls are refused; a price set later lets them pass", async () => {
    await using at = await testGateway();
    const engine = { name: "mine", urls: [at.engine.url], model: "scripted" };
    await at.request("/api/engines", json(engine));
    await expect(at.client().chat.completions.create({ ...hello, model: "mine" })).rejects.toMatchObject({
      code: "model_unpriced",
    });
    await at.request(
      "/api/engines",
      json({ ...engine, price: { ...price, input_nano_per_million: "0", output_nano_per_million: "0" } }),
    );
    await at.client().chat.completions.create({ ...hello, model: "mine" });
  });

  test("what cannot be added says why", async () => {
    await using at = await testGateway();
    const gone = await scriptedEngine();
    await gone[Symbol.asyncDispose]();
    process.env["BENCH_SECRET"] = "s";
    const cases: [object, number, string][] = [
      [{ urls: [gone.url] }, 502, "engine_unreachable"],
      [{ model: "scriptd" }, 400, "engine_model_missing"],
      [{ urls: ["ftp://example.com"] }, 400, "invalid_url"],
      [{ urls: ["http://169.254.169.254/"] }, 400, "address_refused"],
      [{ urls: ["http://u:p@127.0.0.1/"] }, 400, "invalid_url"],
      [{ key_env: "DATABASE_URL" }, 400, "key_env_refused"],
      [{ key_env: "LINESHAFT_SECRET" }, 400, "key_env_refused"],
      [{ key_env: "NOT_LISTED_ANYWHERE" }, 400, "key_env_refused"],
      [{ key_env: "OPENAI_API_KEY" }, 400, "key_env_refused"],
      [{ price: { ...price, currency: "CNY" } }, 400, "currency_mismatch"],
      [{ price: { ...price, input_nano_per_million: "-1" } }, 400, "invalid_request"],
      [{ name: "scripted" }, 409, "name_taken"],
      [{ name: "has space" }, 400, "invalid_request"],
    ];
    for (const [more, status, code] of cases) {
      const answer = await at.request(
        "/api/engines",
        json({ name: "mine", urls: [at.engine.url], model: "scripted", ...more }),
      );
      expect([more, answer.status, answer.body.error.code]).toEqual([more, status, code]);
      expect(answer.body.error.message).not.toBe("");
    }
    const near = await at.request("/api/engines", json({ name: "mine", urls: [at.engine.url], model: "scriptd" }));
    expect(near.body.error.hint).toContain("Did you mean scripted?");
  });
});

test("bodies are bounded, health says what it is", async () => {
  await using at = await testGateway();
  const large = await at.request("/api/keys", json({ name: "x".repeat(5 * 1024 * 1024) }));
  expect([large.status, large.body.error.code]).toEqual([413, "body_too_large"]);
  const body = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1024)) });
  const endless = await at
    .request("/api/keys", { method: "POST", body, duplex: "half" } as RequestInit)
    .catch(() => undefined);
  expect(endless?.status ?? 411).toBe(411);
  const call = await fetch(`${at.address}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${at.key}` },
    body: "x".repeat(33 * 1024 * 1024),
  }).then(
    (answer) => answer.status,
    // The connection may be closed while the rest is still being sent.
    () => 413,
  );
  expect(call).toBe(413);
  expect((await at.request("/healthz")).body).toEqual({ status: "ok" });
  at.db.answers = () => Promise.resolve(false);
  expect(await at.request("/healthz")).toMatchObject({ status: 503, body: { status: "unavailable" } });
});

describe("the list of budgets", () => {
  test("has pages, filters by scope, and leaves out those of ended runs", async () => {
    await using at = await testGateway();
    const { organisation, currency } = at.principal;
    for (let number = 0; number < 5; number++) {
      const scope = { kind: "run" as const, id: `run_${number}` };
      await at.ledger.setBudget({ organisation, currency, scope, limitNano: 10n, period: "total", fresh: true });
    }
    await at.request("/api/budgets", json({ scope: { kind: "key", id: "owner" }, limit_nano: "7" }, "PUT"));
    await at.db.query("select end_budget('run:run_3')");
    const list = async (query: string) => {
      const { body } = await at.request(`/api/budgets?${query}`);
      return { scopes: body.data.map(({ scope }: { scope: { id: string } }) => scope.id), next: body.next_cursor };
    };
    const first = await list("scope=run&limit=2");
    expect(first.scopes).toHaveLength(2);
    const second = await list(`scope=run&limit=2&cursor=${first.next}`);
    expect(second).toMatchObject({ scopes: { length: 2 }, next: null });
    // Budgets that were made in one millisecond have no order of their own.
    expect([...first.scopes, ...second.scopes].toSorted()).toEqual(["run_0", "run_1", "run_2", "run_4"]);
    const all = (await list("scope=run&ended=true")).scopes;
    expect(all.toSorted()).toEqual(["run_0", "run_1", "run_2", "run_3", "run_4"]);
    expect(all.filter((id: string) => id !== "run_3")).toEqual([...first.scopes, ...second.scopes]);
    expect((await list("scope=organisation,key")).scopes).toEqual([at.principal.key]);
    expect((await list("of=owner")).scopes).toEqual([at.principal.key]);
    expect((await list("of=run_3&ended=true")).scopes).toEqual(["run_3"]);
    expect((await at.request("/api/budgets?scope=chip")).status).toBe(400);
    const ended = (await at.request("/api/budgets?of=run_3&ended=true")).body.data[0];
    expect(ended).toMatchObject({ leased_nano: "0", lost_nano: "0", pending: false, ended_at: expect.any(String) });
  });
});

describe("proofs", () => {
  test("an owner proves the ledger, and reads the newest proofs with what is leased and in suspense", async () => {
    await using at = await testGateway();
    const made = await at.request("/api/proofs", json({ kind: "whole" }));
    expect(made).toMatchObject({ status: 200, body: { kind: "whole", discrepancies: [], discrepancy_count: 0 } });
    const read = await at.request("/api/proofs");
    expect(read.body.data).toEqual([made.body]);
    expect(read.body.standing).toMatchObject({ leased: [], suspense: [], suspense_count: 0 });
  });
});

describe("budgets", () => {
  test("set by id or by name, listed, removed", async () => {
    await using at = await testGateway();
    const set = await at.request(
      "/api/budgets",
      json({ scope: { kind: "project", id: "default" }, limit_nano: "5000000000", period: "month" }, "PUT"),
    );
    expect(schemas.budget.parse(set.body)).toMatchObject({
      scope: { kind: "project", id: at.principal.project, name: "default" },
      limit_nano: "5000000000",
      left_nano: "5000000000",
    });
    expect(set.body.resets_at).toMatch(/^\d{4}-\d\d-01T00:00:00/);
    await at.request("/api/budgets", json({ scope: { kind: "key", id: "owner" }, limit_nano: "7" }, "PUT"));
    expect((await at.request("/api/budgets")).body.data).toHaveLength(2);
    expect((await at.request(`/api/budgets/${set.body.id}`, { method: "DELETE" })).status).toBe(200);
    expect((await at.request("/api/budgets")).body.data).toHaveLength(1);
  });

  test("nothing that does not exist, nothing negative", async () => {
    await using at = await testGateway();
    const set = (scope: object, limit: string) => at.request("/api/budgets", json({ scope, limit_nano: limit }, "PUT"));
    expect((await set({ kind: "agent", id: "nobody" }, "1")).status).toBe(404);
    expect((await set({ kind: "run", id: "run_x" }, "1")).status).toBe(404);
    expect((await set({ kind: "project", id: "default" }, "-1")).body.error.code).toBe("invalid_value");
    expect((await set({ kind: "project", id: "default" }, "1.5")).body.error).toMatchObject({
      code: "invalid_request",
    });
  });
});

describe("calls", () => {
  test("pages follow each other without gap or repetition, newest first", async () => {
    await using at = await testGateway();
    for (let call = 0; call < 7; call++) await at.client().chat.completions.create(hello);
    const ids: string[] = [];
    for (let cursor: string | null = ""; cursor !== null;) {
      const { body } = await at.request(`/api/calls?limit=3${cursor ? `&cursor=${cursor}` : ""}`);
      schemas.pageOf(schemas.call).parse(body);
      ids.push(...body.data.map((call: { id: string }) => call.id));
      cursor = body.next_cursor;
    }
    expect(ids).toHaveLength(7);
    expect(ids).toEqual([...new Set(ids)].toSorted().toReversed());
  });

  test("filters by status and model; refused calls are listed too", async () => {
    await using at = await testGateway();
    await at.client().chat.completions.create(hello);
    await expect(at.client().chat.completions.create({ ...hello, model: "scriptet" })).rejects.toMatchObject({
      status: 404,
      code: "model_not_found",
    });
    const refused = (await at.request("/api/calls?status=refused")).body.data;
    expect(refused).toMatchObject([{ model: "scriptet", error_code: "model_not_found", price_nano: "0" }]);
    expect((await at.request("/api/calls?model=scripted")).body.data).toHaveLength(1);
    expect((await at.request("/api/calls?status=nonsense")).status).toBe(400);
  });

  test("one call has its attempts, phases in order and the decision", async () => {
    await using at = await testGateway();
    at.engine.next({ cut: "before" });
    await at.client().chat.completions.create({ ...hello, stream: false });
    const [{ id }] = (await at.request("/api/calls")).body.data;
    const { body } = await at.request(`/api/calls/${id}`);
    const detail = schemas.callDetail.parse(body);
    expect(detail.attempts.map((attempt) => [attempt.number, attempt.status])).toEqual([
      [1, "failed"],
      [2, "completed"],
    ]);
    for (const { phases, decision } of detail.attempts) {
      expect(phases.map((phase) => phase.name)).toEqual(expect.arrayContaining(["admit", "settle"]));
      for (const [place, phase] of phases.entries()) {
        expect(phase.end_ms).toBeGreaterThanOrEqual(phase.start_ms);
        if (place > 0) expect(phase.start_ms).toBeCloseTo(phases[place - 1]!.end_ms, 6);
      }
      expect(decision).toMatchObject({ policy: "least-delay", chosen: { endpoint: "scripted" }, runner_up: null });
    }
    expect((await at.request(`/api/calls/${id.slice(0, 20)}`)).body.id).toBe(id);
    expect((await at.request("/api/calls/call_nothing")).body.error.code).toBe("not_found");
  });
});

test("the overview adds up, to the nano", async () => {
  await using at = await testGateway({ script: { usage: { prompt: 100, cached: 60, output: 5 } } });
  for (let call = 0; call < 3; call++) await at.client().chat.completions.create(hello);
  await at
    .client()
    .chat.completions.create({ ...hello, model: "none" })
    .catch(() => {});
  for (const range of ["1h", "24h", "7d", "30d"]) {
    const { body } = await at.request(`/api/overview?range=${range}`);
    const read = schemas.overview.parse(body);
    expect(read).toMatchObject({
      calls: { total: 4, failed: 0, refused: 1 },
      tokens: { uncached: 120, cached: 180, output: 15 },
      cached_share: 0.6,
      saved: { nano: String(180 * 2), prefill_ms: null },
      money: { revenue_nano: "0", cost_nano: String(3 * (40 * 3 + 60 + 35)), margin_nano: String(-3 * 215) },
      previous: { calls: 0, tokens: 0 },
    });
    expect(read.series.reduce((sum, point) => sum + point.calls, 0)).toBe(4);
    expect(read.series.reduce((sum, point) => sum + Number(point.cost_nano), 0)).toBe(645);
    const steps = read.series.map((point) => Date.parse(point.time));
    expect(new Set(steps.slice(1).map((time, place) => time - steps[place]!)).size).toBe(1);
  }
  expect((await at.request("/api/bill")).body.total).toMatchObject({ calls: 3, token_cost_nano: "645" });
});

test("a read after a place that no answer has named is refused at once, and after one that an answer named it has the record", async () => {
  await using at = await testGateway();
  const body = JSON.stringify({ model: "scripted", messages: [{ role: "user", content: "hi" }] });
  const answer = await at.request("/v1/chat/completions", { method: "POST", body });
  const after = answer.headers.get("x-lineshaft-after")!;
  const read = await at.request(`/api/calls/${answer.headers.get("x-lineshaft-call")}`, {
    headers: { "x-lineshaft-after": after },
  });
  expect(read.status).toBe(200);
  const beyond = await at.request(`/api/calls?after=${after.split("/")[0]}/999999999999`);
  expect(beyond).toMatchObject({ status: 400, body: { error: { code: "invalid_value" } } });
});

test("live events arrive as they happen, and are caught up with by Last-Event-ID", async () => {
  await using at = await testGateway();
  const read = async (lastEventId: string | undefined, count: number) => {
    const stop = new AbortController();
    const response = await fetch(`${at.address}/api/events`, {
      headers: {
        authorization: `Bearer ${at.key}`,
        ...(lastEventId !== undefined && { "last-event-id": lastEventId }),
      },
      signal: stop.signal,
    });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await reader.read()).value!;
    return {
      async events() {
        while (text.split("\ndata: ").length - 1 < count) text += (await reader.read()).value ?? "";
        stop.abort();
        return text.split("\n\n").filter((block) => block.includes("data: "));
      },
    };
  };
  const first = await read(undefined, 1);
  await at.client().chat.completions.create(hello);
  const [event] = await first.events();
  expect(event).toContain("event: call");
  const id = /^id: (.*)$/m.exec(event!)![1]!;
  await at.client().chat.completions.create(hello);
  await at.client().chat.completions.create(hello);
  const missed = await (await read(id, 2)).events();
  expect(missed).toHaveLength(2);
  expect(missed.join()).not.toContain(`id: ${id}\n`);
});

test("search finds calls by the beginning of their id, models and keys by name", async () => {
  await using at = await testGateway();
  await at.client().chat.completions.create(hello);
  const [{ id }] = (await at.request("/api/calls")).body.data;
  expect((await at.request(`/api/search?q=${id.slice(0, 12)}`)).body.data).toContainEqual({
    kind: "call",
    id,
    name: "scripted",
  });
  expect((await at.request("/api/search?q=SCRIPT")).body.data).toContainEqual({
    kind: "model",
    id: "scripted",
    name: "scripted",
  });
  expect((await at.request("/api/search?q=own")).body.data).toMatchObject([{ kind: "key", name: "owner" }]);
  expect((await at.request("/api/search?q=%25")).body.data).toEqual([]);
});

describe("the console's files", () => {
  async function withConsole() {
    const folder = await mkdtemp(join(tmpdir(), "lineshaft-console-"));
    await mkdir(join(folder, "dist", "assets"), { recursive: true });
    await writeFile(join(folder, "secret.txt"), "outside");
    await writeFile(join(folder, "dist", "index.html"), "<title>page</title>");
    await writeFile(join(folder, "dist", "reference.html"), "<title>API</title>");
    await writeFile(join(folder, "dist", "assets", "app-1.js"), "1");
    const at = await testGateway({ consoleFolder: join(folder, "dist") });
    return {
      at,
      folder,
      async [Symbol.asyncDispose]() {
        await at[Symbol.asyncDispose]();
        await rm(folder, { recursive: true });
      },
    };
  }
  test("the page of the API is read without a key, and only its own instance is open to it", async () => {
    await using made = await withConsole();
    const page = await fetch(`${made.at.address}/api/docs`);
    expect([page.status, await page.text()]).toEqual([200, "<title>API</title>"]);
    expect(page.headers.get("cache-control")).toBe("no-cache");
    expect(page.headers.get("content-security-policy")).toMatch(/^default-src 'none'; script-src 'self';/);
  });

  test("an asset is compressed for a browser that asks for it", async () => {
    await using made = await withConsole();
    const text = "const a = 1;\n".repeat(500);
    await writeFile(join(made.folder, "dist", "assets", "long-1.js"), text);
    const plain = await fetch(`${made.at.address}/console/assets/long-1.js`, {
      headers: { "accept-encoding": "identity" },
    });
    const packed = await fetch(`${made.at.address}/console/assets/long-1.js`, {
      headers: { "accept-encoding": "gzip" },
    });
    expect([plain.headers.get("content-encoding"), packed.headers.get("content-encoding")]).toEqual([null, "gzip"]);
    expect([await plain.text(), await packed.text()]).toEqual([text, text]);
  });

  /** A path as it is written, which fetch would tidy up. */
  const raw = (address: string, path: string) =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const { hostname, port } = new URL(address);
      httpRequest({ hostname, port, path }, (response) => {
        let text = "";
        response.on("data", (piece: Buffer) => (text += piece.toString()));
        response.on("end", () => resolve({ status: response.statusCode!, text }));
      })
        .on("error", reject)
        .end();
    });

  test("assets for ever, the page anew, places inside it get the page", async () => {
    await using made = await withConsole();
    const asset = await made.at.request("/console/assets/app-1.js");
    expect([asset.status, asset.headers.get("cache-control")]).toEqual([200, "public, max-age=31536000, immutable"]);
    for (const path of ["/console/", "/console/index.html", "/console/calls/call_1", "/"]) {
      const page = await made.at.request(path);
      expect([path, page.status, page.body]).toEqual([path, 200, "<title>page</title>"]);
      expect(page.headers.get("cache-control")).toBe("no-cache");
    }
    expect((await made.at.request("/console/assets/gone.js")).status).toBe(404);
  });

  test.each([
    "/console/../secret.txt",
    "/console/%2e%2e/secret.txt",
    "/console/..%2fsecret.txt",
    "/console/assets/%2e%2e%2f%2e%2e%2fsecret.txt",
    "/console/%2fetc%2fpasswd",
    "/console/..%5csecret.txt",
    "/console/%00",
    "/console/%ff",
  ])("nothing outside the folder: %s", async (path) => {
    await using made = await withConsole();
    const { text } = await raw(made.at.address, path);
    expect(text).not.toContain("outside");
    expect(text).not.toContain("root:");
  });

  test("not built yet", async () => {
    await using at = await testGateway();
    for (const path of ["/console/", "/api/docs"])
      expect(await at.request(path)).toMatchObject({
        status: 503,
        body: expect.stringContaining("npm run prepare"),
      });
  });
});
