// Runs end to end over a real Postgres, a real Restate and the example's real MCP server; only the model is scripted.
import { afterAll, beforeAll, expect, test } from "vitest";
import { testDatabase } from "../store/testing.ts";
import { startHouse, type House } from "./testing.ts";

let db: Awaited<ReturnType<typeof testDatabase>>;
let house: House;
beforeAll(async () => {
  db = await testDatabase();
  house = await startHouse(db);
});
afterAll(async () => {
  await house[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});

test("the example: readings, decision, work order, verdict, one result on the ledger", async () => {
  const deployed = await house.deployExample();
  expect(deployed).toMatchObject({ name: "maintenance-inspector", version: 1, created: true });
  expect(await house.deployExample()).toMatchObject({ version: 1, created: false });
  const input = { machine: "M-001", bare: false };
  const created = await house.api("POST", "/api/runs", { agent: "maintenance-inspector", input });
  expect(created.json).toMatchObject({ agent: "maintenance-inspector", version: 1 });
  const run = await house.until(created.json.id, "completed", "failed");
  expect(run).toMatchObject({ status: "completed", error_code: null, steps: 4, outcome: { verdict: "passed" } });
  expect(run.step_list.map((step: any) => [step.kind, step.name, step.status])).toEqual([
    ["tool", "readings", "completed"],
    ["model", "decision", "completed"],
    ["tool", "order", "completed"],
    ["verify", "correct-work-order", "completed"],
  ]);
  const key = `${house.tenant.organisation}:${run.id}:2:0`;
  expect(run.step_list[2].effect).toEqual({ key, tool: "open_work_order", state: "done", attempts: 1 });
  expect(run.output).toEqual(house.plant.orders.find(key));
  expect(run.outcome.price_nano).toBe("50000000");
  const { rows } = await db.query("select kind from journals where id = $1", [`result:${run.id}`]);
  expect(rows).toEqual([{ kind: "result" }]);
});

test("the model is called with the version's stable prefix, the output's schema, and the run as its program", () => {
  const request = house.gateway.requests[0]!;
  const messages = request.body["messages"] as { role: string }[];
  expect(messages.map(({ role }) => role).slice(0, 3)).toEqual(["system", "user", "assistant"]);
  expect(messages).toHaveLength(12);
  expect(request.body["response_format"]).toMatchObject({ type: "json_schema" });
  expect(request.program).toBe(request.run);
  expect(request.principal).toMatchObject({ organisation: house.tenant.organisation, key: house.tenant.key });
});

test("the engine is told when tools run and when the run has ended; live events follow every step", () => {
  expect(house.facts.map(({ type }) => type)).toEqual([
    ...["tool_started", "tool_ended", "tool_started", "tool_ended", "run_ended"],
  ]);
  expect(house.events.filter(({ type }) => type === "step")).toHaveLength(4);
});

test("the same idempotency key is the same run; with another input it is refused", async () => {
  const headers = { "idempotency-key": "order-1" };
  const body = { agent: "maintenance-inspector", input: { machine: "M-002", bare: false } };
  const first = await house.api("POST", "/api/runs", body, headers);
  const again = await house.api("POST", "/api/runs", body, headers);
  expect(again.json.id).toBe(first.json.id);
  const other = { ...body, input: { machine: "M-003", bare: false } };
  expect(await house.api("POST", "/api/runs", other, headers)).toMatchObject({
    status: 409,
    json: { error: { code: "idempotency_mismatch" } },
  });
  await house.until(first.json.id, "completed");
});

test("an input that does not fit, and an agent that is not there", async () => {
  expect(await house.api("POST", "/api/runs", { agent: "maintenance-inspector", input: {} })).toMatchObject({
    status: 400,
    json: { error: { code: "input_invalid" } },
  });
  expect((await house.api("POST", "/api/runs", { agent: "nobody", input: {} })).status).toBe(404);
});

test("a wrong decision is verified as failed: no result, the run itself completed", async () => {
  const before = house.gateway.script;
  house.gateway.script = () => ({ content: JSON.stringify({ failure_mode: "power", reason: "Guessed." }) });
  const machine = house.machines.find((readings) => readings.tool_wear_min >= 200)!.machine;
  const { json } = await house.api("POST", "/api/runs", {
    agent: "maintenance-inspector",
    input: { machine, bare: true },
  });
  const run = await house.until(json.id, "completed", "failed");
  house.gateway.script = before;
  expect(run).toMatchObject({ status: "completed", outcome: { verdict: "failed", price_nano: "0" } });
});

test("30 runs at once: each has exactly one order", async () => {
  const ids = await Promise.all(
    Array.from({ length: 30 }, async (_, index) => {
      const machine = house.machines[index]!.machine;
      const input = { machine, bare: false };
      return (await house.api("POST", "/api/runs", { agent: "maintenance-inspector", input })).json.id as string;
    }),
  );
  for (const id of ids) await house.until(id, "completed");
  for (const id of ids) expect(house.plant.orders.find(`${house.tenant.organisation}:${id}:2:0`)).toBeDefined();
  const { rows } = await db.query<{ attempts: bigint }>("select max(attempts)::bigint as attempts from effects");
  expect(rows[0]!.attempts).toBe(1n);
});

test("stopped: no model and no tool call afterwards", async () => {
  const before = house.gateway.script;
  let aborted = false;
  house.gateway.script = (request) =>
    new Promise((_resolve, reject) => {
      request.signal!.addEventListener("abort", () => {
        aborted = true;
        reject(new Error("aborted"));
      });
    });
  const input = { machine: "M-001", bare: false };
  const { json } = await house.api("POST", "/api/runs", { agent: "maintenance-inspector", input });
  while (house.gateway.requests.at(-1)!.run !== json.id) await new Promise((resolve) => setTimeout(resolve, 20));
  const stopped = await house.api("POST", `/api/runs/${json.id}/stop`);
  house.gateway.script = before;
  expect(stopped.json).toMatchObject({ status: "stopped", error_code: "stopped", steps: 1 });
  expect(aborted).toBe(true);
  expect(await house.until(json.id, "stopped")).toMatchObject({ steps: 1 });
});

test("Restate emptied in the middle: every run goes on from Postgres", async () => {
  const before = house.gateway.script;
  let open = () => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  house.gateway.script = async (request) => {
    await gate;
    return before(request);
  };
  const ids: string[] = [];
  for (let index = 0; index < 8; index++) {
    const input = { machine: house.machines[index]!.machine, bare: false };
    ids.push((await house.api("POST", "/api/runs", { agent: "maintenance-inspector", input })).json.id as string);
  }
  await house.restate.empty();
  open();
  for (const id of ids) expect(await house.until(id, "completed", "failed")).toMatchObject({ status: "completed" });
  house.gateway.script = before;
});
