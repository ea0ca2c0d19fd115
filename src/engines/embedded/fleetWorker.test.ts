// Workers as the fleet keeps them: a real child in the worker's place, so that its end and its output are real.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import "../../../test/setup/processes.ts";
import { checkDeployment, Supervisor, type FleetWorker } from "../../fleet/index.ts";
import { EngineRegistry } from "../registry.ts";
import { embeddedWorkers, usualContext } from "./fleetWorker.ts";

test("a worker that dies while it starts is explained by what it printed, not by the question that it left unanswered", async () => {
  const home = mkdtempSync(join(tmpdir(), "lineshaft-worker-"));
  const supervisor = new Supervisor({ recordsPath: join(home, "run", "children.json"), mark: home });
  const engines = new EngineRegistry();
  const workers = embeddedWorkers({ engines, kvFolder: home, stopTimeoutMs: 1_000 });
  const deployment = checkDeployment({ kind: "Deployment", name: "small" });
  const worker: FleetWorker = {
    name: "worker-0",
    deployment: "small",
    role: "both",
    launch: "",
    threads: 1,
    bytes: 0,
    phase: "starting",
  };
  const model = { name: "small", path: "/none", bytes: 0 };
  const spec = workers.spec(worker, deployment, { model, shape: undefined });
  const dies = `
    const server = require("node:net").createServer((socket) => {
      process.stderr.write("ggml: out of memory\\n", () => { socket.destroy(); process.exit(1); });
    });
    server.listen(0, "127.0.0.1", () => process.send({ type: "listening", port: server.address().port }));`;
  const start = supervisor.start({ ...spec, command: process.execPath, args: ["-e", dies] });
  try {
    await expect(start).rejects.toMatchObject({ code: "memory_short", why: "There is not enough memory." });
  } finally {
    await supervisor.stopAll();
    rmSync(home, { recursive: true, force: true });
  }
});

test.each<[string, number, number, number, number]>([
  ["all that the model was trained for, where it fits", 8_192, 1, 8, 8_192],
  ["what fits beside the other slots", 131_072, 1, 8, 43_264],
  ["more with fewer slots", 131_072, 1, 2, 131_072],
  ["what fits for each of several workers", 131_072, 4, 8, 10_752],
  ["never less than 4,096, which the memory is then judged by", 131_072, 40, 8, 4_096],
  ["never more than the model was trained for", 512, 1, 8, 512],
])("a context that no manifest names is %s", (_name, trainedContextTokens, both, slots, expected) => {
  const roles = { both, prefill: 0, decode: 0 };
  const shape = { trainedContextTokens, kvBytesPerToken: 23_040 };
  expect(usualContext({ slots, roles }, shape, 8e9)).toBe(expected);
});
