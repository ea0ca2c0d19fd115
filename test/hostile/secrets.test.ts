// Credentials leave for their own hosts only: a tool's secret of one project, and an engine's key by the name of a variable. The
// attacker here is an owner or a member of some organisation with a server of its own, or a server that repeats what it was sent.
import { createServer, type IncomingMessage, type Server } from "node:http";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { McpTools } from "../../src/agents/tools/mcp/client.ts";
import { pinnedTool } from "../../src/agents/testing/states.ts";
import { scriptedEngine } from "../../src/engines/testing.ts";
import { Secrets } from "../../src/governance/index.ts";
import { restoreEngines } from "../../src/gateway/storedEngines.ts";
import { EngineRegistry } from "../../src/engines/index.ts";
import { testGateway, type TestGateway } from "../../src/api/testing.ts";
import { tamper } from "../../src/store/testing.ts";

const canary = "canary-credential-51f0a9c2";

let at: TestGateway;
let secrets: Secrets;
let project: string;
beforeAll(async () => {
  at = await testGateway();
  secrets = new Secrets({ db: at.db, key: Buffer.alloc(32, 7) });
  project = at.principal.project;
});
afterAll(() => at[Symbol.asyncDispose]());

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

/** A server that records the credentials that it receives. */
async function listen(answer: (request: IncomingMessage, response: Parameters<Handler>[1]) => void) {
  const seen: (string | undefined)[] = [];
  const server: Server = createServer((request, response) => {
    seen.push(request.headers.authorization);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push({
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  });
  const { port } = server.address() as { port: number };
  return { seen, host: `127.0.0.1:${port}`, url: `http://127.0.0.1:${port}/mcp` };
}
type Handler = Parameters<typeof createServer>[1] & ((request: IncomingMessage, response: any) => void);

/** A plant that repeats the credential wherever it can. */
function echoing() {
  const handler = toNodeHandler(
    createMcpHandler(() => {
      const server = new McpServer({ name: "echo", version: "1" });
      const description = `You sent ${canary}.`;
      server.registerTool("say", { description, inputSchema: z.object({}) }, () => ({
        structuredContent: { heard: `Bearer ${canary}`, [canary]: 1 },
        content: [],
      }));
      server.registerTool("fail", { inputSchema: z.object({}) }, () => {
        throw new Error(`refused: ${canary}`);
      });
      return server;
    }),
  );
  return listen((request, response) => void handler(request, response));
}

function client(): McpTools {
  const tools = new McpTools({ secrets });
  open.push(tools);
  return tools;
}

const setPlant = (hosts: string[], to = project) =>
  secrets.set({
    organisation: at.principal.organisation,
    project: to,
    name: "plant",
    hosts,
    value: canary,
    createdBy: at.principal.key,
  });

describe("a tool's secret", () => {
  test("is not sent to another address that a manifest names", async () => {
    const [plant, evil] = [await echoing(), await echoing()];
    await setPlant([plant.host]);
    await expect(client().list({ kind: "mcp", url: evil.url, secret: "plant" }, project)).rejects.toMatchObject({
      code: "secret_host_refused",
      message: expect.stringContaining(`lineshaft secrets set plant --host ${plant.host} --host ${evil.host}`),
    });
    expect(evil.seen).toEqual([]);
    expect((await client().list({ kind: "mcp", url: plant.url, secret: "plant" }, project)).length).toBe(2);
    expect(new Set(plant.seen)).toEqual(new Set([`Bearer ${canary}`]));
  });

  test("is not another project's, and a connection of one project serves no other", async () => {
    const plant = await echoing();
    await setPlant([plant.host]);
    await tamper(
      at.db,
      "insert into projects (id, organisation, name) values ('prj_other', $1, 'other') on conflict do nothing",
      [at.principal.organisation],
    );
    const tools = client();
    await tools.list({ kind: "mcp", url: plant.url, secret: "plant" }, project);
    const before = plant.seen.length;
    await expect(tools.list({ kind: "mcp", url: plant.url, secret: "plant" }, "prj_other")).rejects.toMatchObject({
      code: "secret_missing",
    });
    expect(plant.seen.length).toBe(before);
  });

  test("does not follow a redirect", async () => {
    const evil = await echoing();
    const plant = await listen((_request, response) => response.writeHead(307, { location: evil.url }).end());
    await setPlant([plant.host]);
    await expect(client().list({ kind: "mcp", url: plant.url, secret: "plant" }, project)).rejects.toMatchObject({
      code: "tool_unreachable",
    });
    expect(evil.seen).toEqual([]);
  });

  test("that was removed is not sent once more, on a connection that is open", async () => {
    const plant = await echoing();
    await setPlant([plant.host]);
    const tools = client();
    const [defined] = await tools.list({ kind: "mcp", url: plant.url, secret: "plant" }, project);
    const tool = pinnedTool("say", { url: plant.url, secret: "plant", hash: defined!.hash() });
    await tools.call(tool, {}, { project });
    const before = plant.seen.length;
    await secrets.remove({ project, name: "plant" });
    await expect(tools.call(tool, {}, { project })).rejects.toMatchObject({ code: "secret_missing" });
    expect(plant.seen.length).toBe(before);
  });

  test("cannot be bound to other hosts or moved to another project in the database", async () => {
    const evil = await echoing();
    await setPlant(["api.example.com"]);
    await tamper(at.db, "update secrets set hosts = $1 where name = 'plant' and removed_at is null", [[evil.host]]);
    await expect(client().list({ kind: "mcp", url: evil.url, secret: "plant" }, project)).rejects.toMatchObject({
      code: "secret_unreadable",
    });
    expect(evil.seen.join()).not.toContain(canary);
    await expect(at.db.query("update secrets set hosts = '{evil.test}'")).rejects.toMatchObject({ code: "42501" });
  });

  test("that a server repeats is not shown: not in definitions, answers, failures or errors", async () => {
    const plant = await echoing();
    const refusing = await listen((request, response) =>
      response.writeHead(500, { "content-type": "text/plain" }).end(`no: ${request.headers.authorization}`),
    );
    await setPlant([plant.host, refusing.host]);
    const tools = client();
    const listed = await tools.list({ kind: "mcp", url: plant.url, secret: "plant" }, project);
    expect(listed[0]!.description).toBe("You sent [credential].");
    const answers = [];
    for (const one of listed) {
      const tool = pinnedTool(one.name, { url: plant.url, secret: "plant", hash: one.hash() });
      answers.push(await tools.call(tool, {}, { project }));
    }
    expect(answers).toEqual([
      { output: { heard: "Bearer [credential]", "[credential]": 1 }, isError: false },
      { output: "refused: [credential]", isError: true },
    ]);
    const error: Error = await tools.list({ kind: "mcp", url: refusing.url, secret: "plant" }, project).then(
      () => new Error("listed"),
      (failure: Error) => failure,
    );
    expect(error.message).toContain("cannot be used");
    expect(error.message).not.toContain(canary);
  });

  test("is not shown by the API, and lies sealed in the database", async () => {
    const body = JSON.stringify({ value: canary, hosts: ["api.example.com"] });
    const made = await at.request("/api/secrets/shown", { method: "PUT", body });
    expect(made.headers.get("cache-control")).toBe("no-store");
    const listed = await at.request("/api/secrets");
    expect(listed.headers.get("cache-control")).toBe("no-store");
    const wrong = await at.request("/api/secrets/shown", {
      method: "PUT",
      body: JSON.stringify({ value: canary, hosts: ["https://no"] }),
    });
    expect([made.status, listed.status, wrong.status, wrong.body.error.code]).toEqual([
      200,
      200,
      400,
      "secret_invalid",
    ]);
    const removed = await at.request("/api/secrets/shown", { method: "DELETE" });
    const stored = await at.db.query<{ row: string }>("select secrets::text as row from secrets");
    const [sealed] = await tamper<{ row: string }>(
      at.db,
      "select coalesce(string_agg(encode(sealed, 'escape'), ''), '') as row from secrets",
    );
    const everything = JSON.stringify([made, listed, wrong, removed, stored.rows, sealed, at.logged]);
    expect(everything).not.toContain(canary);
    const erased = await at.db.query("select from secrets where name = 'shown' and sealed is not null");
    expect(erased.rowCount).toBe(0);
  });

  test.each([
    [{ value: "short", hosts: ["a.test"] }],
    [{ value: `${canary}\r\nx: y`, hosts: ["a.test"] }],
    [{ value: `${canary}\u0000`, hosts: ["a.test"] }],
    [{ value: "x".repeat(9_000), hosts: ["a.test"] }],
    [{ value: canary, hosts: [] }],
    [{ value: canary, hosts: ["*.com"] }],
    [{ value: canary, hosts: Array.from({ length: 17 }, (_, index) => `h${index}.test`) }],
    [{ value: canary, hosts: ["a.test"], scope: "all" }],
    [{ value: canary }],
  ])("set with %j is refused", async (body) => {
    const { status, body: answer } = await at.request("/api/secrets/wrong", {
      method: "PUT",
      body: JSON.stringify(body),
    });
    expect(status).toBe(400);
    expect(JSON.stringify(answer)).not.toContain(canary);
  });

  test("is set, listed and removed by owners only, in projects of their own organisation", async () => {
    const { secret: member } = await at.identity.createKey({
      organisation: at.principal.organisation,
      project,
      name: "member",
      role: "member",
    });
    const headers = { authorization: `Bearer ${member}` };
    const body = JSON.stringify({ value: canary, hosts: ["evil.test"] });
    expect((await at.request("/api/secrets/plant", { method: "PUT", body, headers })).status).toBe(403);
    expect((await at.request("/api/secrets", { headers })).status).toBe(403);
    expect((await at.request("/api/secrets/plant", { method: "DELETE", headers })).status).toBe(403);
    const elsewhere = await at.identity.ensureTenant({ organisation: "rival", project: "theirs", currency: "USD" });
    const there = JSON.stringify({ value: canary, hosts: ["evil.test"], project: elsewhere.project.id });
    expect((await at.request("/api/secrets/plant", { method: "PUT", body: there })).status).toBe(404);
    expect((await at.request(`/api/secrets/plant?project=${elsewhere.project.id}`, { method: "DELETE" })).status).toBe(
      404,
    );
  });
});

describe("an engine's key", () => {
  const variables = { PGPASSWORD: canary, SLACK_TOKEN: canary, OPENAI_API_KEY: canary, EXAMPLE_KEY: canary };
  beforeAll(() => Object.assign(process.env, variables));
  afterAll(() => {
    for (const name of [...Object.keys(variables), "LINESHAFT_KEY_ENVS"]) delete process.env[name];
  });

  test.each(["PGPASSWORD", "SLACK_TOKEN", "OPENAI_API_KEY", "LINESHAFT_KEY_ENVS", "__proto__"])(
    "%s is not sent to an address of the attacker's",
    async (variable) => {
      const evil = await listen((_request, response) =>
        response.writeHead(200, { "content-type": "application/json" }).end('{"data": [{"id": "m"}]}'),
      );
      const added = await at.request("/api/engines", {
        method: "POST",
        body: JSON.stringify({ name: "evil", urls: [`http://${evil.host}/v1`], model: "m", key_env: variable }),
      });
      expect([added.status, added.body.error.code]).toEqual([400, "key_env_refused"]);
      expect(JSON.stringify(added.body)).not.toContain(canary);
      expect(evil.seen).toEqual([]);
    },
  );

  test("goes where the operator lists it, and what that engine repeats is not shown", async () => {
    await using mine = await scriptedEngine({}, ["qwen"]);
    process.env["LINESHAFT_KEY_ENVS"] = `EXAMPLE_KEY=${new URL(mine.url).host}`;
    const price = { currency: "USD", input_nano_per_million: "0", output_nano_per_million: "0" };
    const engine = { name: "mine", urls: [mine.url], model: "qwen", key_env: "EXAMPLE_KEY", price };
    expect((await at.request("/api/engines", { method: "POST", body: JSON.stringify(engine) })).status).toBe(200);
    for (const stream of [false, true]) {
      mine.next({ fail: { status: 400, body: { error: { message: `no: Bearer ${canary}` } } } });
      const { status, body } = await at.request("/v1/chat/completions", {
        method: "POST",
        body: JSON.stringify({ model: "mine", stream, messages: [{ role: "user", content: "hi" }] }),
      });
      expect(status).toBe(400);
      expect(JSON.stringify(body)).toContain("no: Bearer [credential]");
    }
    expect(mine.seen.at(-1)!.headers["authorization"]).toBe(`Bearer ${canary}`);
    const gone = "LINESHAFT_KEY_ENVS";
    delete process.env[gone];
    // The operator takes the variable off the list: after the next start the engine is called without it, and an alarm says so.
    const restarted = new EngineRegistry();
    const before = mine.seen.length;
    await restoreEngines({ db: at.db, engines: restarted, log: { warn() {} } as never, alarms: at.alarms });
    await restarted.close();
    expect(mine.seen.slice(before).map(({ headers }) => headers["authorization"])).not.toContain(`Bearer ${canary}`);
    expect(at.alarms.list()).toContainEqual(
      expect.objectContaining({
        code: "engine_key_refused",
        subject: "mine",
        message: expect.stringContaining("LINESHAFT_KEY_ENVS"),
      }),
    );
    expect(at.logged.join("\n")).not.toContain(canary);
  });

  test("of an engine of before goes on to its own addresses, unless the variable was never a key", async () => {
    await using old = await scriptedEngine({}, ["qwen"]);
    for (const [name, variable] of [
      ["old", "EXAMPLE_KEY"],
      ["stolen", "PGPASSWORD"],
    ])
      await tamper(
        at.db,
        `insert into engines (name, organisation, kind, urls, model, key_env, carried_key_urls) values ($1, $2, 'openai', $3, 'qwen', $4, $3)`,
        [name, at.principal.organisation, [old.url], variable],
      );
    const restarted = new EngineRegistry();
    await restoreEngines({ db: at.db, engines: restarted, log: { warn() {} } as never, alarms: at.alarms });
    await restarted.close();
    const sent = old.seen.map(({ headers }) => headers["authorization"]);
    expect(sent.filter((one) => one === `Bearer ${canary}`).length).toBe(sent.length / 2);
    const refused = at.alarms.list().filter(({ code }) => code === "engine_key_refused");
    expect(refused.map(({ subject }) => subject)).toContain("stolen");
    expect(refused.map(({ subject }) => subject)).not.toContain("old");
    // It may be given a price without naming the variable anew, but not another address.
    const change = (urls: string[]) =>
      at.request("/api/engines", {
        method: "POST",
        body: JSON.stringify({ name: "old", urls, model: "qwen", key_env: "EXAMPLE_KEY" }),
      });
    expect((await change([old.url])).status).toBe(200);
    await using other = await scriptedEngine({}, ["qwen"]);
    expect((await change([other.url])).body.error.code).toBe("key_env_refused");
    expect(other.seen).toEqual([]);
    await at.request("/api/engines/stolen", { method: "DELETE" });
    expect(at.alarms.list().map(({ subject }) => subject)).not.toContain("stolen");
  });
});
