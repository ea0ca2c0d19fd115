// Everything is killed at seeded points of many concurrent runs; afterwards every run has ended and every work order exists exactly once.
// README.md lists what is killed, at which points, and what is checked.
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { generateMachines } from "../../examples/maintenance-inspector/readings.ts";
import { startPlant } from "../../examples/maintenance-inspector/server.ts";
import { readAgentFolder } from "../../src/agents/index.ts";
import { Client } from "../../src/cli/client.ts";
import type { Bill, Proof, Run, RunDetail, Status } from "../../src/contract/index.ts";
import { startInstance, type Instance } from "../setup/instance.ts";
import { unsharedPort } from "../setup/ports.ts";
import { scriptedModel } from "./scriptedModel.ts";

const runCount = Number(process.env["FAULT_RUNS"] ?? 12);
const killCount = Number(process.env["FAULT_KILLS"] ?? 7);
const seed = Number(process.env["FAULT_SEED"] ?? 20_260_508);
/** `scripted`: a model that answers at once, for thousands of runs; the embedded one otherwise. */
const scripted = process.env["FAULT_MODEL"] === "scripted";
/** Runs that are made and have not ended, at most. */
const underWayMost = 400;
const example = join(import.meta.dirname, "../../examples/maintenance-inspector");

/** `machine`: the keeper and main at one moment, as when power is lost; `main`: main alone, which the keeper starts again. */
type Target = "machine" | "main" | "restate" | "restate-folder" | "worker-0" | "postgres";
/** Kinds of kills, used in turns. The list is shuffled by the seed, and the points of the kills are drawn from it. */
const kinds: Target[] = ["main", "restate", "worker-0", "restate-folder", "machine", "postgres"];
const killable = kinds.filter((kind) => !(scripted && kind === "worker-0"));
const targets = Array.from({ length: killCount }, (_, index) => killable[index % killable.length]!);

const title = `${runCount} runs, ${killCount} kills of everything, seed ${seed}`;
test(title, { timeout: 120_000 + runCount * 20_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "lineshaft-faults-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const home = join(folder, "home");
  const port = await unsharedPort();
  const token = randomBytes(16).toString("hex");
  const env = { LINESHAFT_LOG: "error" };
  const random = randomFrom(seed);
  const plan = drawPlan(random);

  let instance: Instance = await startInstance({ home, port, env });
  stack.defer(() => instance[Symbol.asyncDispose]());
  let restarting: Promise<void> = Promise.resolve();
  const killed: string[] = [];
  const kill = async (target: Target, place: string) => {
    killed.push(`${target} ${place}`);
    if (target === "machine") {
      // Waits for a restart that may be under way, because the process is to be killed while it serves.
      restarting = restarting.then(async () => {
        await instance.end("SIGKILL");
        instance = await startInstance({ home, port, env });
      });
      return;
    }
    // After the kill before it may still be starting: then there is no process to kill yet.
    await persistently(async () => {
      await restarting;
      const pid = await pidOf(clientOf(instance), target === "restate-folder" ? "restate" : target);
      if (target === "restate-folder") rmSync(join(home, "restate"), { recursive: true, force: true });
      process.kill(pid!, "SIGKILL");
    });
  };

  const calls = new Map<string, number>();
  const machines = generateMachines(runCount, seed);
  const ordersPath = join(folder, "work-orders.jsonl");
  const plant = await startPlant({
    port: 0,
    token,
    machines,
    ordersPath,
    beforeAnswer: async (tool) => {
      const count = (calls.get(tool) ?? 0) + 1;
      calls.set(tool, count);
      const target = plan.get(`${tool} ${count}`);
      if (target) await kill(target, `at ${tool} ${count}`);
    },
  });
  stack.defer(() => plant.close());

  const body = await readAgentFolder(example);
  const model = scripted ? "scripted" : undefined;
  if (model !== undefined) await addModel(clientOf(instance), stack.use(await scriptedModel()).url);
  const manifest = body.manifest
    .replace("http://127.0.0.1:4077/mcp", plant.url)
    .replace("\ninstructions:", model === undefined ? "\ninstructions:" : `\nmodel: ${model}\ninstructions:`);
  const hosts = [new URL(plant.url).host];
  await clientOf(instance).put("/api/secrets/maintenance-inspector", { value: token, hosts });
  await clientOf(instance).post("/api/agents", { ...body, manifest });
  // Whatever is killed, every run is made and ends.
  const runs: RunDetail[] = [];
  const queue = machines.map(({ machine }, index) => ({ machine, index }));
  await Promise.all(
    Array.from({ length: Math.min(underWayMost, runCount) }, async () => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const { machine, index } = next;
        const input = { machine, bare: false };
        const made = await persistently(async () => {
          await restarting;
          return clientOf(instance).post<Run>(
            "/api/runs",
            { agent: "maintenance-inspector", input },
            `fault-${machine}`,
          );
        });
        runs[index] = await persistently(async () => {
          await restarting;
          const run = await clientOf(instance).get<RunDetail>(`/api/runs/${made.id}`);
          if (!["completed", "failed", "stopped"].includes(run.status)) throw new Error(`${run.id} is ${run.status}`);
          return run;
        });
      }
    }),
  );
  await restarting;
  console.log(`killed: ${killed.join("; ")}`);

  expect(killed.map((line) => line.split(" ")[0]).toSorted()).toEqual(targets.toSorted());
  const unfinished = runs.filter(({ status }) => status !== "completed");
  expect(unfinished.map(({ id, status, error_message }) => ({ id, status, error_message }))).toEqual([]);
  expect(new Set(runs.map(({ id }) => id)).size).toBe(runCount);

  // Exactly once: one line per run on the plant's disk, under that run's key, for that run's machine.
  const lines = readFileSync(ordersPath, "utf8").trim().split("\n");
  const orders = lines.map((line) => JSON.parse(line) as { key: string; order: { machine: string } });
  expect(orders.map(({ key, order }) => `${key.split(":")[1]} ${order.machine}`).toSorted()).toEqual(
    runs.map((run, index) => `${run.id} ${machines[index]!.machine}`).toSorted(),
  );
  for (const run of runs) expect(run.step_list.find(({ effect }) => effect)?.effect?.state).toBe("done");

  // Judged once each, and billed once for each that passed.
  const passed = runs.filter(({ outcome }) => outcome?.verdict === "passed").length;
  expect(runs.filter(({ outcome }) => outcome !== null)).toHaveLength(runCount);
  const bill = await clientOf(instance).get<Bill>("/api/bill");
  expect(bill.total).toMatchObject({ outcomes_passed: passed, outcomes_failed: runCount - passed });
  expect(BigInt(bill.total.revenue_nano)).toBe(BigInt(passed) * 50_000_000n);

  const proof = await clientOf(instance).post<Proof>("/api/proofs", { kind: "whole" });
  expect(proof.discrepancies).toEqual([]);
  console.log(
    `proven: ${Object.entries(proof.compared)
      .map((entry) => entry.join(" "))
      .join(", ")}`,
  );
});

function clientOf(instance: Instance): Client {
  return new Client({ url: instance.address, key: instance.key });
}

async function pidOf(client: Client, component: string): Promise<number | undefined> {
  const status = await client.get<Omit<Status, "organisation">>("/api/status");
  return status.components.find(({ name }) => name === component)?.pid;
}

/**
 * Points among the calls that each tool must get (one per run, more after a kill): the n-th call of a tool, with what is killed
 * there. Effects and readings take turns, so that both are hit whatever the seed is.
 */
function drawPlan(random: () => number): Map<string, Target> {
  const shuffled = targets.map((target) => ({ target, at: random() })).toSorted((a, b) => a.at - b.at);
  const plan = new Map<string, Target>();
  for (const [index, { target }] of shuffled.entries()) {
    const tool = index % 2 === 0 ? "open_work_order" : "read_machine";
    let point: string;
    do point = `${tool} ${1 + Math.floor(random() * runCount)}`;
    while (plan.has(point));
    plan.set(point, target);
  }
  return plan;
}

/** Serves `scripted` from that address, at a price, since a model without one serves no call. */
async function addModel(client: Client, url: string): Promise<void> {
  const price = { currency: "USD", input_nano_per_million: "500000000", output_nano_per_million: "1500000000" };
  await client.post("/api/engines", { name: "scripted", urls: [url], model: "scripted", price });
}

/** Tries until it works. The test's own time limit ends an attempt that never does. */
async function persistently<Result>(work: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await work();
    } catch {
      await sleep(runCount > 100 ? 2_000 : 250);
    }
  }
}

function randomFrom(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 4_294_967_296;
  };
}
