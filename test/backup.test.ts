// The drill: an instance under load is saved while it serves, its machine is lost, and the backup is restored, into a new home and into an
// operator's own database. Nothing goes on before it is told to, and every figure is what it was.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { generateMachines } from "../examples/maintenance-inspector/readings.ts";
import { startPlant } from "../examples/maintenance-inspector/server.ts";
import { readAgentFolder } from "../src/agents/index.ts";
import { Client } from "../src/cli/client.ts";
import type { Run } from "../src/contract/index.ts";
import { emptyDatabase } from "../src/store/testing.ts";
import { scriptedModel } from "./faults/scriptedModel.ts";
import { startInstance, type Instance } from "./setup/instance.ts";
import { unsharedPort } from "./setup/ports.ts";

const launcher = fileURLToPath(new URL("../bin/lineshaft", import.meta.url));
const example = join(import.meta.dirname, "../examples/maintenance-inspector");
const env = { LINESHAFT_REPLICAS: "0", LINESHAFT_LOG: "error" };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-drill-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** One command line in a process of its own, with the environment of an instance's machine. */
function lineshaft(words: string[], given: Record<string, string>): Promise<Ran> {
  const child = spawn(launcher, words, {
    env: { ...process.env, ...env, ...given },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (bytes) => (stdout += bytes));
  child.stderr.on("data", (bytes) => (stderr += bytes));
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, stdout, stderr })));
}

/** Runs a restore into a database, and kills it while it writes: what it has to wait for is a table of the same name. */
async function killedInTheMiddle(words: string[], given: Record<string, string>): Promise<void> {
  const other = new pg.Client({ connectionString: given["DATABASE_URL"]! });
  await other.connect();
  await other.query("begin");
  await other.query("create table calls (id int)");
  const child = spawn(launcher, words, { env: { ...process.env, ...env, ...given }, stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("close", resolve));
  await until("the restore waits for a table", async () => {
    expect(child.exitCode).toBeNull();
    return (await other.query("select from pg_locks where not granted")).rowCount! > 0;
  });
  child.kill("SIGKILL");
  await ended;
  await other.end();
}

/** Ends what a killed instance has left: its Restate would run on for ever. Nothing is found where there is no /proc. */
function endAllOf(home: string): void {
  const pids = existsSync("/proc") ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)) : [];
  for (const pid of pids)
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`${home}/`)) process.kill(Number(pid), "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
}

async function json<Value>(words: string[], given: Record<string, string>): Promise<Value> {
  const ran = await lineshaft([...words, "--json"], given);
  if (ran.code !== 0) throw new Error(`${words.join(" ")} ended with ${ran.code}: ${ran.stderr}`);
  return JSON.parse(ran.stdout) as Value;
}

const clientOf = (instance: Instance) => new Client({ url: instance.address, key: instance.key });

/** What an owner sees of the books and of what is kept. */
async function figuresOf(client: Client) {
  const period = `from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z`;
  return {
    bill: await client
      .get<{ total: unknown; lines: unknown }>(`/api/bill?${period}`)
      .then(({ total, lines }) => ({ total, lines })),
    budgets: await client.get("/api/budgets"),
    keys: await client.get("/api/keys"),
    secrets: await client.get("/api/secrets"),
    agents: await agentsOf(client),
    calls: await client.list("/api/calls", {}, 500),
    // Those that have ended, with the payloads of their steps.
    runs: await Promise.all(
      (await client.list<Run>("/api/runs", { status: "completed" }, 100)).map(({ id }) =>
        client.get(`/api/runs/${id}`),
      ),
    ),
  };
}

/** Agents with the numbers of their runs. Those that have not ended are one number: they wait between their tries, and run in them. */
async function agentsOf(client: Client) {
  const { data, ...page } = await client.get<{ data: { runs: Record<string, number> }[] }>("/api/agents");
  const counted = ({ running, waiting, ...ended }: Record<string, number>) => ({ ...ended, open: running! + waiting! });
  return { ...page, data: data.map(({ runs, ...agent }) => ({ ...agent, runs: counted(runs) })) };
}

async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await done()); tries++) {
    if (tries > 1_200) throw new Error(`It did not come to this: ${what}`);
    await sleep(100);
  }
}

test("a backup under load is restored twice, and its figures are what they were", { timeout: 600_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const token = randomBytes(16).toString("hex");
  const machines = generateMachines(8, 7);
  const ordersPath = join(folder, "orders.jsonl");
  const plantOf = (port: number) => startPlant({ port, token, machines, ordersPath });
  // It comes back at its port, which must not have been given to another process meanwhile.
  let plant = await plantOf(await unsharedPort());
  stack.defer(() => plant.close());
  const model = stack.use(await scriptedModel());
  const home = join(folder, "original");
  const original = await startInstance({ home, env });
  stack.defer(() => original[Symbol.asyncDispose]());
  const client = clientOf(original);
  const price = { currency: "USD", input_nano_per_million: "500000000", output_nano_per_million: "1500000000" };
  await client.post("/api/engines", { name: "scripted", urls: [model.url], model: "scripted", price });
  await client.put("/api/secrets/maintenance-inspector", { value: token, hosts: [new URL(plant.url).host] });
  const body = await readAgentFolder(example);
  const manifest = body.manifest
    .replace("http://127.0.0.1:4077/mcp", plant.url)
    .replace("\ninstructions:", "\nmodel: scripted\ninstructions:");
  await client.post("/api/agents", { ...body, manifest });
  await json(["budgets", "set", "project", "default", "--limit", "5.00"], { LINESHAFT_HOME: home });
  const runOf = (machine: string) =>
    client.post<Run>("/api/runs", { agent: "maintenance-inspector", input: { machine, bare: false } });
  const call = (key: string, address: string) =>
    fetch(`${address}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "scripted", messages: [{ role: "user", content: "none" }], max_tokens: 50 }),
    });
  for (const { machine } of machines.slice(0, 4)) await runOf(machine);
  await until(
    "four runs have ended",
    async () => (await client.list("/api/runs", { status: "completed" }, 10)).length === 4,
  );

  // Under load: calls from four clients, and four runs that try again and again to reach their tools.
  await plant.close();
  const paused = await Promise.all(machines.slice(4).map(({ machine }) => runOf(machine)));
  const enough = new AbortController();
  let answered = 0;
  const load = Array.from({ length: 4 }, async () => {
    while (!enough.signal.aborted) if ((await call(original.key, original.address)).ok) answered++;
  });
  await until(
    "calls are answered and recorded",
    async () => answered > 20 && (await client.list("/api/calls", {}, 500)).length > 20,
  );
  const underLoad = join(folder, "load.backup");
  const made = await json<{ rows: Record<string, number>; bytes: number }>(["backup", underLoad], {
    LINESHAFT_HOME: home,
  });
  const during = answered;
  await until("the load went on", async () => answered > during + 20);
  expect(made.rows["calls"]).toBeGreaterThan(20);
  expect(made.rows["runs"]).toBe(8);
  expect(statSync(underLoad).mode & 0o777).toBe(0o600);
  enough.abort();
  await Promise.all(load);

  // A second one at rest, encrypted, whose figures are known.
  // What is leased when the backup is made counts as lost in what is restored, so the idle leases go back first.
  await until("nothing is leased", async () => {
    const { data } = await client.get<{ data: { leased_nano: string }[] }>("/api/budgets");
    return data.every(({ leased_nano: leased }) => leased === "0");
  });
  const passphrase = join(folder, "passphrase");
  writeFileSync(passphrase, "a passphrase for the drill\n");
  const atRest = join(folder, "rest.backup");
  const figures = await figuresOf(client);
  await json(["backup", atRest, "--passphrase-file", passphrase], { LINESHAFT_HOME: home });
  expect(await figuresOf(client)).toEqual(figures);
  // The machine is lost, with all that ran on it.
  await original.end("SIGKILL");
  endAllOf(home);
  plant = await plantOf(Number(new URL(plant.url).port));

  await intoNewHome();
  await intoOwnDatabase();

  async function intoNewHome(): Promise<void> {
    const place = { LINESHAFT_HOME: join(folder, "new") };
    const restored = await json<{ paused_runs: number; discrepancies: number; rows: number }>(
      ["restore", underLoad],
      place,
    );
    expect(restored).toMatchObject({ paused_runs: 4, discrepancies: 0 });
    expect(restored.rows).toBe(Object.values(made.rows).reduce((sum, rows) => sum + rows, 0));
    expect((await lineshaft(["restore", underLoad], place)).stderr).toMatch(/^error: Nothing was restored/m);
    const orders = () => readFileSync(ordersPath, "utf8").trim().split("\n").length;
    const before = orders();
    await using instance = await startInstance({ home: place.LINESHAFT_HOME, env });
    // The key of the original opens it.
    expect(instance.key).toBe(original.key);
    const owner = clientOf(instance);
    const waiting = await owner.list<Run>("/api/runs", { status: "waiting" }, 10);
    expect(waiting.map(({ id, error_code }) => `${id} ${error_code}`).toSorted()).toEqual(
      paused.map(({ id }) => `${id} paused_by_restore`).toSorted(),
    );
    expect((await call(instance.key, instance.address)).status).toBe(200);
    // Nothing goes on by itself: the watchdog has looked several times by now.
    await sleep(3_000);
    expect(await owner.list("/api/runs", { status: "waiting" }, 10)).toHaveLength(4);
    expect(orders()).toBe(before);
    // With the secret of the original, which the plant asks for.
    expect(await json(["runs", "resume", "--all"], place)).toEqual({ runs: 4 });
    await until(
      "the paused runs have ended",
      async () => (await owner.list("/api/runs", { status: "completed" }, 20)).length === 8,
    );
    expect(orders()).toBe(8);
  }

  async function intoOwnDatabase(): Promise<void> {
    await using database = await emptyDatabase();
    const place = { LINESHAFT_HOME: join(folder, "own"), DATABASE_URL: database.url };
    const words = ["restore", atRest, "--passphrase-file", passphrase];
    expect((await lineshaft(["restore", atRest], place)).stderr).toMatch(/No passphrase was given/);
    // Killed while it writes: nothing that starts is left, and it can be run again.
    await killedInTheMiddle(words, place);
    expect(existsSync(join(place.LINESHAFT_HOME, "restoring.json"))).toBe(true);
    expect((await lineshaft(["up"], { ...place, LINESHAFT_PORT: String(await unsharedPort()) })).stderr).toMatch(
      /^error: This home is not whole/m,
    );
    expect((await lineshaft(["backup", join(folder, "x")], place)).stderr).toMatch(/^error: This home is not whole/m);
    const restored = await json<{ discrepancies: number; paused_runs: number }>(words, place);
    expect(restored).toMatchObject({ discrepancies: 0, paused_runs: 4 });
    expect(readdirSync(place.LINESHAFT_HOME)).not.toContain("restoring.json");
    await using instance = await startInstance({
      home: place.LINESHAFT_HOME,
      env: { ...env, DATABASE_URL: database.url },
    });
    expect(await figuresOf(clientOf(instance))).toEqual(figures);
  }
});
