// The demo: machines go through the example agent, end to end on a running instance, and the bill follows.
//
//   npm run demo -- [--machines 20] [--seed 1] [--bare] [--csv ai4i2020.csv] [--json FILE]
//
// It serves the plant's MCP server itself while it runs, uses the instance that LINESHAFT_URL or LINESHAFT_HOME name, and starts one in a
// temporary home when none runs. Everything goes through the public API. Its figures are measured: `right` is judged by the contract's
// verifier, not by this script.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import {
  exceededLimits,
  generateMachines,
  readCsv,
  type Readings,
} from "../examples/maintenance-inspector/readings.ts";
import { startPlant, type Plant } from "../examples/maintenance-inspector/server.ts";
import { readAgentFolder } from "../src/agents/folder.ts";
import { Client } from "../src/cli/client.ts";
import { money, table } from "../src/cli/format.ts";
import { Home } from "../src/fleet/index.ts";
import type { Bill, Run, RunDetail } from "../src/contract/index.ts";

const root = join(import.meta.dirname, "..");
const example = join(root, "examples", "maintenance-inspector");
const usualPort = 4077;

const { values } = parseArgs({
  options: {
    machines: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    bare: { type: "boolean", default: false },
    csv: { type: "string" },
    json: { type: "string" },
  },
});

process.on("uncaughtException", (error) => {
  process.stderr.write(`error: ${error.message}\n`);
  process.exit(1);
});

const began = new Date();
const say = (line: string) => process.stderr.write(`${line}\n`);
await using stack = new AsyncDisposableStack();

const instance = await findInstance();
const machines = chooseMachines();
const plant = await openPlant();
const deployed = await deploy();
say(`Agent ${deployed.name}, version ${deployed.version}, on ${instance.client.url}; plant at ${plant.url}.`);
const runs = await inspectAll();
report(runs);

// --- the instance -------------------------------------------------------------------------------------------------------

async function findInstance(): Promise<{ client: Client; home: Home; env: NodeJS.ProcessEnv }> {
  const running = await connect(process.env);
  if (running) return { client: running, home: Home.fromEnvironment(process.env), env: process.env };
  const folder = mkdtempSync(join(tmpdir(), "lineshaft-demo-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  // Weights that were downloaded already are not downloaded again.
  const cache = Home.fromEnvironment(process.env).modelsFolder;
  if (existsSync(cache)) symlinkSync(cache, join(folder, "models"));
  const env: NodeJS.ProcessEnv = { ...process.env, LINESHAFT_HOME: folder };
  for (const name of ["LINESHAFT_URL", "LINESHAFT_KEY"]) delete env[name];
  env["LINESHAFT_PORT"] ??= "4079";
  say("No instance runs; starting one in a temporary home.");
  const child = spawn(join(root, "bin", "lineshaft"), ["up", "--json"], { env, stdio: ["ignore", "pipe", "inherit"] });
  stack.defer(() => stopped(child));
  await firstLine(child);
  const client = await connect(env);
  if (!client) throw new Error("The instance did not start.");
  return { client, home: new Home(folder), env };
}

async function connect(env: NodeJS.ProcessEnv): Promise<Client | undefined> {
  try {
    const client = Client.fromEnvironment(env);
    await client.get("/api/status");
    return client;
  } catch {
    return undefined;
  }
}

async function firstLine(child: ChildProcess): Promise<void> {
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const { done } = await lines.next();
  if (done) throw new Error("The instance did not start; what it said stands above.");
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await gone;
}

// --- the plant ----------------------------------------------------------------------------------------------------------

function chooseMachines(): Readings[] {
  const wanted = Number(values.machines);
  if (!values.csv) return generateMachines(wanted, Number(values.seed));
  // Failures are rare in the real data: half of the machines are taken from those with an exceeded limit, in file order.
  const all = readCsv(values.csv);
  const failing = all.filter((readings) => exceededLimits(readings).length > 0).slice(0, Math.ceil(wanted / 2));
  const healthy = all.filter((readings) => exceededLimits(readings).length === 0).slice(0, wanted - failing.length);
  return [...failing, ...healthy];
}

/** Serves the plant with a token of its own, and has the instance send that token there. */
async function openPlant(): Promise<Plant> {
  const token = randomBytes(24).toString("base64url");
  const folder = mkdtempSync(join(tmpdir(), "lineshaft-plant-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const options = { token, machines, ordersPath: join(folder, "work-orders.jsonl") };
  const plant = await startPlant({ ...options, port: usualPort }).catch(() => startPlant({ ...options, port: 0 }));
  stack.defer(() => plant.close());
  const hosts = [new URL(plant.url).host];
  await instance.client.put("/api/secrets/maintenance-inspector", { value: token, hosts });
  return plant;
}

async function deploy(): Promise<{ name: string; version: number }> {
  const body = await readAgentFolder(example);
  const manifest = body.manifest.replace(`http://127.0.0.1:${usualPort}/mcp`, plant.url);
  return instance.client.post("/api/agents", { ...body, manifest });
}

// --- the runs -----------------------------------------------------------------------------------------------------------

async function inspectAll(): Promise<RunDetail[]> {
  const started: string[] = [];
  for (const { machine } of machines) {
    const run = await instance.client.post<Run>("/api/runs", {
      agent: deployed.name,
      input: { machine, bare: values.bare },
    });
    started.push(run.id);
  }
  const ended = new Map<string, RunDetail>();
  const live = process.stderr.isTTY;
  while (ended.size < started.length) {
    await sleep(300);
    for (const id of started.filter((id) => !ended.has(id))) {
      const run = await instance.client.get<RunDetail>(`/api/runs/${id}`);
      if (["completed", "failed", "stopped"].includes(run.status)) ended.set(id, run);
    }
    if (live) process.stderr.write(`\r${ended.size} of ${started.length} machines inspected`);
  }
  if (live) process.stderr.write("\n");
  return started.map((id) => ended.get(id)!);
}

function report(runs: RunDetail[]): void {
  const rows = runs.map((run, index) => ({ run, readings: machines[index]! }));
  const decisionOf = (run: RunDetail) =>
    (run.step_list.find(({ kind }) => kind === "model")?.output as { value?: { failure_mode?: string } } | null)?.value
      ?.failure_mode;
  const seconds = (run: Run) =>
    run.started_at && run.ended_at ? ((Date.parse(run.ended_at) - Date.parse(run.started_at)) / 1000).toFixed(1) : "-";
  for (const line of table(rows, [
    { title: "machine", value: ({ readings }) => readings.machine },
    {
      title: "physics",
      value: ({ readings }) =>
        exceededLimits(readings)
          .map(({ mode }) => mode)
          .join("+") || "none",
    },
    { title: "decided", value: ({ run }) => decisionOf(run) ?? `(${run.error_code ?? run.status})` },
    { title: "verdict", value: ({ run }) => run.outcome?.verdict ?? "-" },
    { title: "order", value: ({ run }) => (run.output as { number?: string } | null)?.number ?? "-" },
    { title: "s", value: ({ run }) => seconds(run), right: true },
    { title: "tokens", value: ({ run }) => String(run.prompt_tokens + run.output_tokens), right: true },
    { title: "cached", value: ({ run }) => String(run.cached_tokens), right: true },
    { title: "cost", value: ({ run }) => money(run.cost_nano, run.currency), right: true },
  ]))
    console.log(line);
  const passed = runs.filter((run) => run.outcome?.verdict === "passed").length;
  const wallMs = Date.now() - began.getTime();
  console.log(
    `\n${passed} of ${runs.length} right, given ${values.bare ? "bare readings" : "the panel's exceeded limits"}; ` +
      `${plant.orders.count} work orders for ${runs.length} runs; ${(wallMs / 1000).toFixed(1)} s.\n`,
  );
  // The bill of this demo alone, by the command a person would use.
  const env = { ...instance.env, LINESHAFT_URL: instance.client.url };
  const bill = (...more: string[]) =>
    spawnSync(join(root, "bin", "lineshaft"), ["bill", "--from", began.toISOString(), ...more], {
      env,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    }).stdout;
  process.stdout.write(bill());
  if (values.json) {
    const result = { machines: runs.length, passed, bare: values.bare, orders: plant.orders.count, wall_ms: wallMs };
    const file = { ...result, bill: JSON.parse(bill("--json")) as Bill, runs };
    writeFileSync(values.json, `${JSON.stringify(file, null, 2)}\n`);
  }
}
