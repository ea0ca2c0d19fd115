// Whether all is well, as /api/status says it: an engine that was added counts, although it is none of our processes.
import { afterEach, expect, test } from "vitest";
import "../../../test/setup/processes.ts";
import { closeEgress } from "../../egress/index.ts";
import { createOpenAiEngine, EngineRegistry } from "../../engines/index.ts";
import type { Supervisor } from "../../fleet/index.ts";
import { instanceStatus } from "./status.ts";

afterEach(closeEgress);

function sources(engines: EngineRegistry, children: object[] = []) {
  const supervisor = { status: () => children } as unknown as Supervisor;
  return {
    version: "test",
    address: "http://localhost:4070",
    startedAt: new Date(0),
    supervisor,
    engines,
    deployments: { list: () => [] },
    disk: { full: false, free: 1e9 },
    external: [],
  };
}

/** Nothing listens on port 1. */
function engineAt(engines: EngineRegistry, endpoint: string) {
  const engine = createOpenAiEngine({ url: "http://127.0.0.1:1/v1", model: "m" });
  return engines.add("local", engine, { kind: "openai", model: "m", endpoint });
}

test("an engine that does not answer is a trouble, named with the reason", async () => {
  const engines = new EngineRegistry();
  const endpoint = engineAt(engines, "local");
  endpoint.up = true;
  expect(await instanceStatus(sources(engines))).toMatchObject({ healthy: true, troubles: [] });
  await expect(engines.probe(endpoint)).rejects.toThrow();
  const { healthy, troubles, deployments } = await instanceStatus(sources(engines));
  expect(healthy).toBe(false);
  expect(troubles).toEqual([expect.stringMatching(/^Engine local does not answer\. .*nothing listens there\.$/)]);
  expect(deployments[0]).toMatchObject({ name: "local", state: "down" });
});

test("one of several endpoints that is away is told as such", async () => {
  const engines = new EngineRegistry();
  engineAt(engines, "local-0").up = true;
  engines.lost(engineAt(engines, "local-1"), "It went away.");
  const { troubles, deployments } = await instanceStatus(sources(engines));
  expect(troubles).toEqual(["Engine local does not answer at 1 of its 2 endpoints. It went away."]);
  expect(deployments[0]).toMatchObject({ state: "partial" });
});

test("one whose calls fail is told, although it answers questions", async () => {
  const engines = new EngineRegistry();
  const endpoint = engineAt(engines, "local");
  endpoint.up = true;
  endpoint.standing = "ejected";
  const { healthy, troubles } = await instanceStatus(sources(engines));
  expect({ healthy, troubles }).toEqual({ healthy: false, troubles: ["Engine local fails or hangs."] });
});

test("a component that restarts is a trouble with its last error; one that starts is none", async () => {
  const child = { name: "restate", restarts: 1 };
  const failing = { ...child, state: "restarting", lastError: "It was ended by SIGKILL." };
  expect((await instanceStatus(sources(new EngineRegistry(), [failing]))).troubles).toEqual([
    "restate is restarting: It was ended by SIGKILL.",
  ]);
  expect((await instanceStatus(sources(new EngineRegistry(), [{ ...child, state: "starting" }]))).healthy).toBe(true);
});

test("each model says which coding agents its context holds, and one of embeddings says nothing of them", async () => {
  const engines = new EngineRegistry();
  const capabilities = { tokenize: false, kvEvents: false };
  const endpoint = engineAt(engines, "local");
  const fits = async () =>
    Object.fromEntries(
      ((await instanceStatus(sources(engines))).deployments[0]!.clients ?? []).map((client) => [
        client.name,
        client.fits,
      ]),
    );
  expect(await fits()).toEqual({});
  endpoint.facts = { models: [], contextTokens: 8_192, capabilities };
  expect(await fits()).toEqual({ "Claude Code": false, Codex: false, "Gemini CLI": false, OpenCode: false });
  endpoint.facts = { models: [], contextTokens: 12_500, capabilities };
  expect(await fits()).toEqual({ "Claude Code": false, Codex: true, "Gemini CLI": true, OpenCode: true });
  endpoint.facts = { models: [], contextTokens: 512, capabilities: { ...capabilities, speaks: ["embeddings"] } };
  expect(await fits()).toEqual({});
});
