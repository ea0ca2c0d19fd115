// What one project sees of another in the same organisation: nothing. An owner sees the organisation, a member's key its own project:
// live events (also those that are replayed), calls, the overview, the bill, budgets, agents and search.
import { afterAll, beforeAll, expect, test } from "vitest";
import { programKey } from "../../src/gateway/scheduling/prompts.ts";
import { hello, testGateway, type TestGateway } from "../../src/api/testing.ts";
import type { CallRequest } from "../../src/gateway/types.ts";

let at: TestGateway;
let theirs: { secret: string; id: string; project: string };
let ours: { secret: string; id: string };
let sessions: { ours: string; oursOfKey: string; theirs: string; strangers: string };
beforeAll(async () => {
  const sequences: { id: number; state: "idle"; tokens: number; program?: string }[] = [];
  const endpoint = { endpoint: "worker-0", role: "both" as const, state: "ready" as const, sequences };
  at = await testGateway({ deployments: [{ name: "m", engine: "embedded", state: "ready", endpoints: [endpoint] }] });
  const { organisation, project } = at.principal;
  const tenant = await at.identity.ensureTenant({ organisation: "acme", project: "other", currency: "USD" });
  const made = await at.identity.createKey({
    organisation,
    project: tenant.project.id,
    name: "theirs",
    role: "member",
  });
  const session = (changes: object) =>
    programKey({ principal: at.principal, program: "session", ...changes } as unknown as CallRequest);
  sessions = {
    ours: session({})!,
    oursOfKey: session({ cacheScope: "key" })!,
    theirs: session({ principal: { ...at.principal, project: tenant.project.id } })!,
    strangers: session({ principal: { ...at.principal, project: "prj_stranger" } })!,
  };
  for (const program of ["run_ours", ...Object.values(sessions)])
    sequences.push({ id: sequences.length, state: "idle", tokens: 10, program });
  const own = await at.identity.createKey({ organisation, project, name: "ours", role: "member" });
  theirs = { secret: made.secret, id: made.key.id, project: tenant.project.id };
  ours = { secret: own.secret, id: own.key.id };
  await at.db.query(
    "insert into agents (id, organisation, project, name) values ('agt_secret', $1, $2, 'secret-plan')",
    [organisation, project],
  );
  for (const scope of [
    ...[
      { kind: "agent" as const, id: "agt_secret" },
      { kind: "key" as const, id: ours.id },
    ],
    ...[
      { kind: "project" as const, id: project },
      { kind: "organisation" as const, id: organisation },
    ],
    { kind: "key" as const, id: theirs.id },
  ])
    await at.ledger.setBudget({ organisation, scope, currency: "USD", limitNano: 10n ** 12n, period: "total" });
  await at.client({ key: ours.secret }).chat.completions.create(hello);
  await at.gateway.flushed();
});
afterAll(() => at[Symbol.asyncDispose]());

const as = (secret: string, path: string) => at.request(path, { headers: { authorization: `Bearer ${secret}` } });

test("live events: a member's feed has its own project's alone, also when it asks for what it missed", async () => {
  const stop = new AbortController();
  const feed = await fetch(`${at.address}/api/events`, {
    headers: { authorization: `Bearer ${theirs.secret}`, "last-event-id": "0.0" },
    signal: stop.signal,
  });
  await at.client({ key: ours.secret }).chat.completions.create(hello);
  await at.client({ key: theirs.secret }).chat.completions.create(hello);
  const reader = feed.body!.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  while (!seen.includes(theirs.id)) seen += (await reader.read()).value;
  stop.abort();
  expect(seen).not.toContain(ours.id);
  expect(seen.match(/event: call/g)).toHaveLength(1);
  // Ids of its events do not even count those of others.
  expect(seen).toMatch(/id: [a-z0-9]+\.0\.[a-z0-9]+\n/);
});

test("calls, overview, bill, agents, search", async () => {
  const their = await as(theirs.secret, "/api/calls");
  expect(new Set(their.body.data.map((call: { key: string }) => call.key))).toEqual(new Set([theirs.id]));
  expect((await as(theirs.secret, "/api/overview")).body.calls.total).toBe(their.body.data.length);
  const whole = (await at.request("/api/overview")).body;
  expect(whole.calls.total).toBeGreaterThan(their.body.data.length);
  expect((await as(theirs.secret, "/api/overview")).body.money.cost_nano).not.toBe(whole.money.cost_nano);
  expect((await as(theirs.secret, "/api/bill")).body.total.calls).toBe(their.body.data.length);
  expect((await at.request("/api/bill")).body.total.calls).toBe(whole.calls.total);
  expect((await as(theirs.secret, "/api/bill?agent=secret-plan")).status).toBe(404);
  expect((await as(theirs.secret, "/api/search?q=secret")).body.data).toEqual([]);
  expect((await as(ours.secret, "/api/search?q=secret")).body.data).toHaveLength(1);
});

test("status: whose conversation lies in a sequence is shown to its own side alone", async () => {
  const { organisation, project } = at.principal;
  await at.db.query("insert into agent_versions (id, agent, number, manifest_ref) values ('v', 'agt_secret', 1, 'r')");
  await at.db.query(
    `insert into runs (id, organisation, project, agent, version, input_ref, status)
     values ('run_ours', $1, $2, 'agt_secret', 'v', 'r', 'running')`,
    [organisation, project],
  );
  const programs = async (secret: string) =>
    (await as(secret, "/api/status")).body.deployments[0].endpoints[0].sequences.map((one: any) => one.program);
  const none = [undefined, undefined, undefined, undefined];
  expect(await programs(theirs.secret)).toEqual([undefined, ...none]);
  expect(await programs(ours.secret)).toEqual(["run_ours", ...none]);
  const seen = [sessions.ours, sessions.oursOfKey, sessions.theirs];
  expect(await programs(at.key)).toEqual(["run_ours", ...seen, undefined]);
});

test("budgets: those that its own calls count against", async () => {
  const scopes = async (secret: string) =>
    (await as(secret, "/api/budgets")).body.data.map((one: any) => one.scope.kind).toSorted();
  expect(await scopes(theirs.secret)).toEqual(["key", "organisation"]);
  expect(await scopes(ours.secret)).toEqual(["agent", "key", "organisation", "project"]);
  expect(await scopes(at.key)).toHaveLength(5);
});
