// Deployments over a real instance: two replicas that share the work, one that is killed and heals, roles, scaling down, and a
// restart that serves what was published before.
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { CallDetail, DeploymentResource, EndpointStatus, Status } from "../src/contract/index.ts";
import { startInstance, type Instance } from "./setup/instance.ts";

const launcher = fileURLToPath(new URL("../bin/lineshaft", import.meta.url));
// Ends a test that hangs. It is no measurement: a start may take long on a busy machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let folder: string;
let instance: Instance;
let model: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-deployments-"));
  instance = await startInstance({ home: join(folder, "home") });
  model = (await api<{ data: { id: string }[] }>("/v1/models")).data[0]!.id;
});
afterAll(async () => {
  await instance?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

async function api<T>(path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${instance.address}${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${instance.key}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const answer = (await response.json()) as T & { error?: { message: string } };
  if (!response.ok) throw new Error(`${response.status} ${answer.error?.message}`);
  return answer;
}

/** What the command line prints. */
async function cli(...words: string[]): Promise<string> {
  const env = { ...process.env, LINESHAFT_HOME: instance.home };
  return (await promisify(execFile)(launcher, words, { env })).stdout;
}

function manifest(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, `kind: Deployment\nname: ${model}\n${text}\n`);
  return path;
}

const deployment = () => api<DeploymentResource>(`/api/deployments/${model}`);
const status = () => api<Status>("/api/status");

async function endpoints(): Promise<EndpointStatus[]> {
  return (await status()).deployments.find(({ name }) => name === model)!.endpoints;
}

const inWords = (list: { endpoint: string; role: string; state: string }[]) =>
  list.map(({ endpoint, role, state }) => `${endpoint} ${role} ${state}`);

/** Polls until the condition holds. The test's own time limit ends a condition that never does. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(100);
}

const ask = (content: string, maxTokens = 8) =>
  api<{ id: string }>("/v1/chat/completions", { model, messages: [{ role: "user", content }], max_tokens: maxTokens });

/** The endpoints that served some calls made at once. */
async function servedBy(questions: number, words: string): Promise<string[]> {
  const before = new Set((await api<{ data: { id: string }[] }>("/api/calls?limit=200")).data.map(({ id }) => id));
  await Promise.all(Array.from({ length: questions }, (_, index) => ask(`${words} ${index}: name three metals.`)));
  let calls: { id: string; status: string }[] = [];
  await until(async () => {
    calls = (await api<{ data: { id: string; status: string }[] }>("/api/calls?limit=200")).data;
    calls = calls.filter(({ id }) => !before.has(id));
    return calls.length === questions;
  });
  expect(calls.map((call) => call.status)).toEqual(Array.from({ length: questions }, () => "completed"));
  const details = await Promise.all(calls.map(({ id }) => api<CallDetail>(`/api/calls/${id}`)));
  return details.map(({ attempts }) => attempts.at(-1)!.engine).toSorted();
}

let first: number | undefined;

test("a start without words makes one worker, from its environment", async () => {
  expect(await deployment()).toMatchObject({ source: "environment", state: "ready", manifest: { replicas: 1 } });
  expect(inWords(await endpoints())).toEqual(["worker-0 both ready"]);
  first = (await status()).components.find(({ name }) => name === "worker-0")!.pid;
});

test("deploy with two replicas adds a worker and leaves the first alone; both get calls", async () => {
  const path = manifest("two.yaml", "replicas: 2\nplacement: least-load");
  expect(await cli("deploy", path)).toBe(`Deployment ${model} is served by 2 workers.\n`);
  expect(inWords(await endpoints())).toEqual(["worker-0 both ready", "worker-1 both ready"]);
  expect((await status()).components.find(({ name }) => name === "worker-0")).toMatchObject({
    pid: first,
    restarts: 0,
  });
  expect(new Set(await servedBy(8, "Together"))).toEqual(new Set(["worker-0", "worker-1"]));
  expect(await cli("deploy", path)).toContain("nothing changed");
});

test("when one worker is killed, calls go on at the other, and it heals", async () => {
  const victim = (await status()).components.find(({ name }) => name === "worker-1")!.pid!;
  process.kill(victim, "SIGKILL");
  expect(await servedBy(4, "Alone")).toHaveLength(4);
  await until(async () => inWords(await endpoints())[1] === "worker-1 both ready");
  await until(async () => new Set(await servedBy(8, "Again")).size === 2);
  expect((await deployment()).endpoints[1]).toMatchObject({ endpoint: "worker-1", state: "ready" });
});

test("only owners publish, and the document of the API says how", async () => {
  const { secret } = await api<{ secret: string }>("/api/keys", { name: "member", role: "member" });
  const refused = await fetch(`${instance.address}/api/deployments/${model}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
    body: JSON.stringify({ manifest: { kind: "Deployment", name: model, replicas: 3 } }),
  });
  expect([refused.status, ((await refused.json()) as { error: { code: string } }).error.code]).toEqual([
    ...[403, "owner_only"],
  ]);
  const { paths } = await api<{ paths: Record<string, object> }>("/api/openapi.json");
  expect(Object.keys(paths["/api/deployments/{name}"]!).toSorted()).toEqual(["delete", "get", "put"]);
});

test("more than memory holds is refused with numbers, and changes nothing", async () => {
  const failure = await cli("deployments", "scale", model, "--replicas", "64").catch(
    (error: { stderr: string }) => error.stderr,
  );
  expect(failure).toMatch(
    /64 workers of \S+ do not fit: with all others [\d.]+ GB are needed, and [\d.]+ GB can be used/,
  );
  expect(inWords(await endpoints())).toHaveLength(2);
});

test("roles change without a restart", async () => {
  const pids = async () => (await status()).components.filter(({ name }) => /^worker/.test(name)).map(({ pid }) => pid);
  const before = await pids();
  const path = manifest("apart.yaml", "roles: {prefill: 1, decode: 1}");
  expect(await cli("deploy", path)).toBe(`Deployment ${model} is served by 1 prefill, 1 decode.\n`);
  expect(inWords(await endpoints())).toEqual(["worker-0 decode ready", "worker-1 prefill ready"]);
  expect(await pids()).toEqual(before);
});

test("scaling down ends the calls of the worker that leaves before it goes", async () => {
  await cli("deployments", "scale", model, "--replicas", "2");
  // Each asks again and again, so that both workers have calls when one leaves, however late that is.
  const over = new AbortController();
  const clients = Array.from({ length: 4 }, async (_, index) => {
    while (!over.signal.aborted) await ask(`Tell me a long story, number ${index}.`, 200);
  });
  await until(async () => (await endpoints()).every(({ running }) => (running ?? 0) > 0));
  expect(await cli("deployments", "scale", model, "--replicas", "1")).toContain("1 worker.");
  over.abort();
  // A call that does not end well throws.
  await Promise.all(clients);
  expect(inWords(await endpoints())).toEqual(["worker-0 both ready"]);
  expect((await status()).healthy).toBe(true);
  const { data } = await api<{ data: { status: string }[] }>("/api/calls?limit=4");
  expect(data.map((call) => call.status)).toEqual(Array.from({ length: 4 }, () => "completed"));
});

test("another deployment runs beside it under its own name, and is removed with what it parked", async () => {
  const path = join(folder, "second.json");
  writeFileSync(path, JSON.stringify({ kind: "Deployment", name: "short", slots: 2, context_tokens: 512 }));
  expect(await cli("deploy", path)).toContain("Deployment short is served by 1 worker.");
  const answer = await api<{ model: string }>("/v1/chat/completions", {
    model: "short",
    messages: [{ role: "user", content: "Hello" }],
    max_tokens: 4,
  });
  expect(answer).toBeTruthy();
  const found = (await status()).deployments.find(({ name }) => name === "short")!;
  expect(found.endpoints).toMatchObject([{ endpoint: "worker-1", slots: 2, context_tokens: 512 }]);
  expect(await cli("deployments", "scale", "short", "--replicas", "0")).toContain("no worker");
  const off = (await status()).deployments.find(({ name }) => name === "short");
  expect(off).toMatchObject({ state: "off", endpoints: [] });
  expect((await status()).healthy).toBe(true);
  expect(existsSync(join(instance.home, "kv", "short"))).toBe(true);
  await cli("deployments", "remove", "short");
  await until(async () => !existsSync(join(instance.home, "kv", "short")));
  expect((await api<{ data: { id: string }[] }>("/v1/models")).data.map(({ id }) => id)).toEqual([model]);
});

test("a start finds what was published, whatever its environment says", async () => {
  await cli("deployments", "scale", model, "--replicas", "2");
  await instance.end("SIGTERM");
  instance = await startInstance({ home: instance.home, env: { LINESHAFT_REPLICAS: "1" } });
  expect(instance.output()).toContain("deployments that were published stay as they are");
  expect(await deployment()).toMatchObject({ source: "published", state: "ready", manifest: { replicas: 2 } });
  expect(inWords(await endpoints())).toEqual(["worker-0 both ready", "worker-1 both ready"]);
});
