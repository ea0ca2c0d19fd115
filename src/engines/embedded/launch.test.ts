import { describe, expect, it } from "vitest";
import { planThreads, workerCommand } from "./launch.ts";
import { workerEnvironment } from "./protocol.ts";

describe("starting a worker", () => {
  it.each([
    [1, 1, 1],
    [2, 1, 1],
    [2, 2, 1],
    [8, 1, 7],
    [8, 2, 3],
    [64, 4, 15],
    [4, 9, 1],
  ])("%i cores and %i replicas: %i threads", (cores, replicas, threads) => {
    expect(planThreads(cores, replicas)).toBe(threads);
  });

  it("describes a command whose environment the worker accepts, with a token of its own", () => {
    const one = workerCommand(
      { modelPath: "/m.gguf", modelName: "m", kvDir: "/kv", threads: 2 },
      { PATH: "/bin", SECRET: "x" },
    );
    const other = workerCommand({ modelPath: "/m.gguf", modelName: "m", kvDir: "/kv", threads: 2 });
    expect(one.token).not.toBe(other.token);
    expect(one.env["SECRET"]).toBeUndefined();
    expect(workerEnvironment.parse(one.env)).toMatchObject({
      LINESHAFT_WORKER_MODEL_NAME: "m",
      LINESHAFT_WORKER_THREADS: 2,
      LINESHAFT_WORKER_SLOTS: 8,
      LINESHAFT_WORKER_TOKEN: one.token,
    });
    expect(one.args[0]).toMatch(/worker\.ts$/);
  });
});
