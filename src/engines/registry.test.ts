// The endpoints of a process.
import { expect, test } from "vitest";
import type { Engine } from "./engine.ts";
import { EngineRegistry } from "./registry.ts";

const engine = { close: async () => {} } as unknown as Engine;

test("calls at an endpoint that was removed while they ran are counted until they end", () => {
  const engines = new EngineRegistry();
  const options = { kind: "embedded", endpoint: "worker-1", model: "small" } as const;
  const first = engines.add("small", engine, options);
  expect(engines.running("worker-1")).toBe(0);
  first.running = 2;
  engines.remove("worker-1");
  expect(engines.running("worker-1")).toBe(2);
  // A worker of the same name comes back.
  engines.add("small", engine, options).running = 1;
  expect(engines.running("worker-1")).toBe(3);
  first.running = 0;
  expect(engines.running("worker-1")).toBe(1);
});
