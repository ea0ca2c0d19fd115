// Runs end to end over a real Postgres, a real Restate and the example's real MCP server; only the model is scripted.
import { connect } from "node:http2";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LineshaftError } from "../errors/index.ts";
import { keyRevoked } from "../gateway/refusals.ts";
import { readBill } from "../ledger/bill.ts";
import { getBlob, newId, putBlob } from "../store/index.ts";
import { testDatabase } from "../store/testing.ts";
import { RestateClient } from "./restate/client.ts";
import type { CallRequest } from "../gateway/index.ts";
import { askedOf, startHouse, type House } from "./testing.ts";
import { readExample } from "./testing/states.ts";
import type { Published } from "./types.ts";

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
  // MCP is the kind that goes without saying, so that versions of before there were kinds stay the versions that they are.
  const stored = await house.db.query<{ body: string }>(
    "select b.body::text as body from agent_versions v join blobs b on b.ref = v.manifest_ref",
  );
  for (const { body } of stored.rows) expect(body).not.toContain('"kind": "mcp"');
  const input = { machine: "M-001", bare: false };
  const created = await house.api("POST", "/api/runs", { agent: "maintenance-inspector", input });
  expect(created.json).toMatchObject({ agent: "maintenance-inspector", version: 1 });
  const run = await house.until(created.json.id, "completed", "failed");
  expect(run).toMatchObject({ status: "completed", error_code: null, steps: 5, outcome: { verdict: "passed" } });
  expect(run.step_list.map((step: any) => [step.kind, step.name, step.status])).toEqual([
    ["tool", "readings", "completed"],
    ["model", "decision", "completed"],
    ["tool", "order", "completed"],
    ["tool", "find_work_order", "completed"],
    ["verify", "correct-work-order", "completed"],
  ]);
  const key = `${house.tenant.organisation}:${run.id}:2:0`;
  expect(run.step_list[2].effect).toEqual({
    key,
    tool: "open_work_order",
    state: "done",
    attempts: 1,
    attested: null,
  });
  expect(run.output).toEqual(house.plant.orders.find(key));
  // The verifier sees the order as the plant keeps it under the effect's key, not as its opening was answered.
  expect(run.step_list[3]).toMatchObject({ input: { effect_key: key }, output: house.plant.orders.find(key) });
  expect(run.step_list[4].input.order).toEqual(house.plant.orders.find(key));
  expect(run.outcome.price_nano).toBe("50000000");
  const { rows } = await db.query("select kind from journals where id = $1", [`result:${run.id}`]);
  expect(rows).toEqual([{ kind: "result" }]);
});

test("the model is called with the version's stable prefix, the output's schema, and the run as its program", () => {
  const request = house.gateway.requests[0]!;
  const { messages } = askedOf(request);
  expect(messages.map(({ role }) => role).slice(0, 3)).toEqual(["system", "user", "assistant"]);
  expect(messages).toHaveLength(12);
  expect(request.asked.format).toMatchObject({ kind: "schema" });
  expect(request.program).toBe(request.run);
  // A run acts for its key, with what that key may do.
  expect(request.principal).toEqual({
    kind: "run",
    ...house.tenant,
    role: "owner",
    act: { run: request.run, agent: request.agent },
  });
});

test("the engine is told when tools run and when the run has ended; live events follow every step", async () => {
  // A run that is seen as completed is told of a moment later.
  await expect
    .poll(() => house.facts.map(({ type }) => type))
    .toEqual(["tool_started", "tool_ended", "tool_started", "tool_ended", "run_ended"]);
  await expect.poll(() => house.events.filter(({ type }) => type === "step").length).toBe(5);
});

test("evidence that a model's words have reached is refused at publishing; a version of before runs on, with an alarm", async () => {
  const withoutLookup = (manifest: { tools: { allow: Record<string, { lookup?: string | undefined }> }[] }) =>
    delete manifest.tools[0]!.allow["open_work_order"]!.lookup;
  await expect(house.deployExample((manifest) => withoutLookup(manifest))).rejects.toThrow(
    /carries a model's words: decision 'decision' → argument 'failure_mode' of step 'order' \(open_work_order\) → evidence/,
  );
  const { project } = house.tenant;
  const { rows } = await db.query<{ agent: string; number: number; ref: string }>(
    `select v.agent, v.number, v.manifest_ref as ref from agent_versions v join agents a on a.id = v.agent
     where a.project = $1 and a.name = 'maintenance-inspector' order by v.number desc limit 1`,
    [project],
  );
  const { evidence, ...before } = (await getBlob(db, project, rows[0]!.ref)) as Published;
  expect(evidence).toBe("independent");
  await db.query("insert into agent_versions (id, agent, number, manifest_ref) values ($1, $2, $3, $4)", [
    ...[newId("agv"), rows[0]!.agent, rows[0]!.number + 1, await putBlob(db, project, before)],
  ]);
  const input = { machine: "M-001", bare: false };
  const { json } = await house.api("POST", "/api/runs", { agent: "maintenance-inspector", input });
  const run = await house.until(json.id, "completed", "failed");
  expect(run).toMatchObject({ status: "completed", steps: 4, outcome: { verdict: "passed" } });
  expect(house.alarms).toContainEqual(
    expect.objectContaining({
      code: "evidence_tainted",
      subject: "maintenance-inspector",
      organisation: house.tenant.organisation,
      message: expect.stringContaining("argument 'failure_mode' of step 'order'"),
    }),
  );
  expect(await house.deployExample()).toMatchObject({ version: 3, created: true });
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
  // The test runs alone too (test/complaints).
  await house.deployExample();
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

/** Deploys an agent of the given fields against the plant and runs it once to its end (or to a status named). */
async function runAgent(name: string, fields: Record<string, unknown>, input: unknown, ...statuses: string[]) {
  const tools = [
    {
      server: "plant",
      url: house.plant.url,
      secret: "plant",
      allow: { read_machine: { effect: false }, open_work_order: { effect: true, lookup: "find_work_order" } },
    },
  ];
  const manifest = { kind: "Agent", name, instructions: "Look after the machines.", tools, ...fields };
  const deployed = await house.api("POST", "/api/agents", { manifest });
  expect(deployed, JSON.stringify(deployed.json)).toMatchObject({ status: 200 });
  const { json } = await house.api("POST", "/api/runs", { agent: name, input });
  return house.until(json.id, ...(statuses.length > 0 ? statuses : ["completed", "failed"]));
}

async function withScript<Result>(script: House["gateway"]["script"], work: () => Promise<Result>): Promise<Result> {
  const before = house.gateway.script;
  house.gateway.script = script;
  try {
    return await work();
  } finally {
    house.gateway.script = before;
  }
}

const toolCall = (id: string, name: string, args: unknown) => ({
  id,
  type: "function",
  function: { name, arguments: JSON.stringify(args) },
});

test("the free loop: the model chooses tools, is told of its mistakes, and answers in the output's shape", async () => {
  const output = { type: "object", properties: { order: { type: "string" } }, required: ["order"] };
  const order = { machine: "M-001", failure_mode: "power", reason: "Too much." };
  const script = (request: CallRequest) => {
    const last = askedOf(request);
    if (request.asked.format) return { content: JSON.stringify({ order: "done" }) };
    if (last.role === "user") return { tool_calls: [toolCall("a", "read_machine", { machine: "M-001" })] };
    if (last.text.includes("readings"))
      return { tool_calls: [toolCall("b", "open_work_order", { machine: "M-001" }), toolCall("c", "destroy", {})] };
    if (last.text.includes("no tool 'destroy'"))
      return { tool_calls: [toolCall("d", "open_work_order", order), toolCall("e", "open_work_order", order)] };
    return { content: "All is done." };
  };
  const run = await withScript(script, () => runAgent("free", { output }, { task: "Look at M-001." }));
  expect(run).toMatchObject({ status: "completed", output: { order: "done" } });
  expect(run.step_list.map((step: any) => [step.kind, step.name, step.status])).toEqual([
    ["model", "think", "completed"],
    ["tool", "read_machine", "completed"],
    ["model", "think", "completed"],
    ["tool", "open_work_order", "failed"],
    ["tool", "destroy", "failed"],
    ["model", "think", "completed"],
    ["tool", "open_work_order", "completed"],
    ["tool", "open_work_order", "completed"],
    ["model", "think", "completed"],
    ["model", "answer", "completed"],
  ]);
  const effects = run.step_list.flatMap((step: any) =>
    step.effect ? [step.effect.key.split(":").slice(2).join(":")] : [],
  );
  expect(effects).toEqual(["5:0", "5:1"]);
});

test("a run whose key is revoked: its model call is not made again, and no further step is begun", async () => {
  const revoke = (at: string) => db.query(`update keys set revoked_at = ${at} where id = $1`, [house.tenant.key]);
  const asked = house.gateway.requests.length;
  const stopped = () => {
    throw keyRevoked();
  };
  expect(await withScript(stopped, () => runAgent("stopped-call", { tools: [] }, "Hello"))).toMatchObject({
    status: "failed",
    error_code: "key_revoked",
    steps: 0,
  });
  const between = async () => {
    await revoke("now()");
    return { tool_calls: [toolCall("a", "read_machine", { machine: "M-001" })] };
  };
  const run = await withScript(between, () => runAgent("stopped-run", {}, "Hello"));
  await revoke("null");
  expect(run).toMatchObject({ status: "failed", error_code: "key_revoked", steps: 1 });
  expect(house.gateway.requests.length).toBe(asked + 2);
});

test("text that cannot be stored, from a model or a tool, never keeps a run standing still", async () => {
  let asked = 0;
  const script = () => {
    if (asked++ > 0) return { content: "Done." };
    return {
      tool_calls: [toolCall("a", "destroy\u0000\ud800", {}), toolCall("b", "read_machine", { machine: "\u0000" })],
    };
  };
  const run = await withScript(script, () => runAgent("nul", {}, { task: "Look." }));
  expect(run).toMatchObject({ status: "completed", output: "Done.", steps: 4 });
  expect(run.step_list[1]).toMatchObject({ name: "destroy\ufffd\ufffd", status: "failed" });
  expect(run.step_list[2]).toMatchObject({ name: "read_machine", status: "failed" });
  expect(asked).toBe(2);
});

test("what a model answers that cannot be stored ends the run with a clear error, after one call", async () => {
  const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
  const output = { type: "object", properties: { a: {} }, required: ["a"] };
  const asked = house.gateway.requests.length;
  const script = () => ({ content: `{"a":${deep}}` });
  const fields = { output, tools: [], steps: [{ id: "judge", decide: "Which?" }] };
  const run = await withScript(script, () => runAgent("deep", fields, {}));
  expect(run).toMatchObject({ status: "failed", error_code: "decision_invalid" });
  expect(run.error_message).toMatch(/deeper than 64/);
  expect(house.gateway.requests.length).toBe(asked + 1);
  const odd = () => ({ tool_calls: [{ id: "a", function: "read_machine" }] });
  const broken = await withScript(odd, () => runAgent("odd", {}, {}));
  expect(broken).toMatchObject({ status: "failed", error_code: "engine_invalid_answer" });
});

test("a manifest with text that cannot be stored is refused, and an old one hides no other agent", async () => {
  const manifest = 'kind: Agent\nname: yaml\ninstructions: "Be\\0 brief."\n';
  const refused = await house.api("POST", "/api/agents", { manifest });
  expect(refused).toMatchObject({ status: 400, json: { error: { code: "manifest_invalid" } } });
  expect(refused.json.error.message).toMatch(/instructions holds a NUL/);
  const { organisation, project } = house.tenant;
  await db.query("insert into agents (id, organisation, project, name) values ('agt_old', $1, $2, 'old')", [
    organisation,
    project,
  ]);
  await db.query("insert into blobs (project, ref, body) values ($1, 'sha256:old', $2)", [
    project,
    JSON.stringify({ manifest: { model: "m", instructions: "Be\u0000 brief." }, tools: [] }),
  ]);
  await db.query(
    "insert into agent_versions (id, agent, number, manifest_ref) values ('agv_old', 'agt_old', 1, 'sha256:old')",
  );
  const listed = await house.api("GET", "/api/agents");
  expect(listed.status).toBe(200);
  expect(listed.json.data.map((agent: any) => agent.name)).toContain("maintenance-inspector");
});

test("a wait ends the turn; a later one goes on", async () => {
  const stepsOf = (seconds: number) => [
    { id: "pause", wait: seconds },
    { id: "look", tool: "read_machine", with: { machine: "M-001" } },
  ];
  const waiting = await runAgent("patient", { steps: stepsOf(600) }, {}, "waiting");
  expect(waiting).toMatchObject({ steps: 1, step_list: [{ kind: "wait" }] });
  await db.query("update runs set wake_at = now() where id = $1", [waiting.id]);
  await house.agents.parts.send(waiting.id);
  expect(await house.until(waiting.id, "completed")).toMatchObject({ steps: 2 });
  // By itself, once its time is over.
  expect(await runAgent("patient", { steps: stepsOf(1) }, {})).toMatchObject({ status: "completed", steps: 2 });
});

test("an engine that is away is waited for; what no try can change is not tried again", async () => {
  let failures = 3;
  const away = () => {
    if (failures-- > 0) throw new LineshaftError({ status: 503, code: "engine_unavailable", message: "Restarting." });
    return { content: "Here." };
  };
  const fields = { tools: [] };
  expect(await withScript(away, () => runAgent("eager", fields, "Hello"))).toMatchObject({
    status: "completed",
    output: "Here.",
    error_code: null,
  });
  // A budget that other calls hold, and a server that stops, pass however often they are met.
  const passing = ["budget_held", "shutting_down", "budget_held", "shutting_down"];
  const held = () => {
    const code = passing.shift();
    const status = code === "budget_held" ? 429 : 503;
    if (code !== undefined) throw new LineshaftError({ status, code, message: "Not now.", retryAfterSeconds: 0.001 });
    return { content: "Then." };
  };
  expect(await withScript(held, () => runAgent("held", fields, "Hello"))).toMatchObject({
    status: "completed",
    output: "Then.",
    error_code: null,
  });
  const refused = () => {
    throw new LineshaftError({ code: "budget_exceeded", message: "Used up." });
  };
  const asked = house.gateway.requests.length;
  expect(await withScript(refused, () => runAgent("poor", fields, "Hello"))).toMatchObject({
    status: "failed",
    error_code: "budget_exceeded",
    error_message: "Used up.",
  });
  expect(house.gateway.requests.length).toBe(asked + 1);
});

test("a crowd of runs is admitted at the pace of the engines; what has begun ends before others begin", async () => {
  const manifest = { kind: "Agent", name: "crowd", instructions: "Be brief.", tools: [] };
  expect(await house.api("POST", "/api/agents", { manifest })).toMatchObject({ status: 200 });
  let under = 0;
  let most = 0;
  const gate = Promise.withResolvers<void>();
  const script = async () => {
    most = Math.max(most, ++under);
    await gate.promise;
    under--;
    return { content: "Here." };
  };
  await withScript(script, async () => {
    const runs = Array.from({ length: 80 }, () => house.api("POST", "/api/runs", { agent: "crowd", input: "Hello" }));
    const ids = (await Promise.all(runs)).map(({ json }) => json.id as string);
    // One engine that says nothing of its slots counts as 16, and twice as many steps are under way.
    await expect.poll(() => under, { timeout: 60_000 }).toBe(32);
    expect(house.gateway.requests.slice(-32).every(({ batch }) => batch === true)).toBe(true);
    const { rows } = await db.query("select 1 from runs where id = any($1) and status <> 'queued'", [ids]);
    // The others wait without a claim.
    expect(rows).toHaveLength(32);
    gate.resolve();
    for (const id of ids) await house.until(id, "completed");
  });
  expect(most).toBe(32);
});

test("runs of one project whose engine hangs leave another project its seats", async () => {
  const other = newId("prj");
  await db.query("insert into projects (id, organisation, name) values ($1, $2, 'other')", [
    other,
    house.tenant.organisation,
  ]);
  await db.query(
    `insert into keys (id, organisation, project, name, role, secret_hmac) values ('key_other', $1, $2, 'other', 'member', 'y')`,
    [house.tenant.organisation, other],
  );
  const manifest = { kind: "Agent", name: "crowd", instructions: "Be brief.", tools: [] };
  const elsewhere = { project: other, key: "key_other" };
  expect(await house.api("POST", "/api/agents", { manifest })).toMatchObject({ status: 200 });
  expect(await house.api("POST", "/api/agents", { manifest }, {}, elsewhere)).toMatchObject({ status: 200 });
  let hanging = 0;
  const gate = Promise.withResolvers<void>();
  const script = async ({ principal }: { principal: { project?: string } }) => {
    if (principal.project !== other) {
      hanging++;
      await gate.promise;
    }
    return { content: "Here." };
  };
  await withScript(script as House["gateway"]["script"], async () => {
    const start = () => house.api("POST", "/api/runs", { agent: "crowd", input: "Hello" });
    const runs = await Promise.all(Array.from({ length: 40 }, start));
    await expect.poll(() => hanging, { timeout: 60_000 }).toBe(32);
    const { json } = await house.api("POST", "/api/runs", { agent: "crowd", input: "Hello" }, {}, elsewhere);
    const status = () => db.query<{ status: string }>("select status from runs where id = $1", [json.id]);
    await expect.poll(async () => (await status()).rows[0]!.status, { timeout: 60_000 }).toBe("completed");
    expect(hanging).toBe(32);
    gate.resolve();
    for (const { json } of runs) await house.until(json.id, "completed");
  });
});

test("a lookup that hangs keeps no seat of the engines", async () => {
  // None gives up before the last has come, on a slow machine too.
  await house.deployExample((manifest) => {
    manifest.name = "looks-up";
    manifest.tools[0].allow.open_work_order.seconds = 240;
  });
  house.silence("find_work_order", 1_000);
  const input = { machine: "M-001", bare: false };
  const start = () => house.api("POST", "/api/runs", { agent: "looks-up", input });
  const ids = (await Promise.all(Array.from({ length: 36 }, start))).map(({ json }) => json.id as string);
  const looking = "select 1 from runs where id = any($1) and next_step = 3 and owner is not null";
  // More than the 32 seats there are.
  await expect.poll(async () => (await db.query(looking, [ids])).rows.length, { timeout: 60_000 }).toBe(36);
  expect(await runAgent("meanwhile", { tools: [] }, "Hello")).toMatchObject({ status: "completed" });
  house.silence("find_work_order", 0);
  for (const id of ids) await house.api("POST", `/api/runs/${id}/stop`);
});

test("limits: seconds end a run in the middle of a step; money becomes the run's own budget", async () => {
  const never = (request: { signal?: AbortSignal }) =>
    new Promise<never>((_resolve, reject) =>
      request.signal!.addEventListener("abort", () => reject(new Error("gone"))),
    );
  const fields = { tools: [], limits: { seconds: 1, money: "0.25" }, budget: { limit: "9", period: "day" } };
  const run = await withScript(never, () => runAgent("slow", fields, "Hello"));
  expect(run).toMatchObject({ status: "failed", error_code: "limit_seconds" });
  const { rows } = await db.query<{ scope_kind: string; limit_nano: bigint; period: string }>(
    "select scope_kind, limit_nano, period from budgets where scope_id = $1 or scope_id = (select agent from runs where id = $1) order by 1",
    [run.id],
  );
  expect(rows).toEqual([
    { scope_kind: "agent", limit_nano: 9_000_000_000n, period: "day" },
    { scope_kind: "run", limit_nano: 250_000_000n, period: "total" },
  ]);
});

test("a decision that does not fit fails the run with the step that shows it", async () => {
  const output = { type: "object", properties: { mode: { type: "string" } }, required: ["mode"] };
  const fields = { tools: [], output, steps: [{ id: "judge", decide: "Which?" }] };
  const cut = () => ({ content: '{"mo', finish_reason: "length" });
  const run = await withScript(cut, () => runAgent("cut", fields, {}));
  expect(run).toMatchObject({ status: "failed", error_code: "decision_cut", steps: 1 });
  expect(run.step_list[0]).toMatchObject({ status: "failed", output: { content: '{"mo' } });
});

/** A run that waits, because its work order was asked for and never answered; with a contract that judges what was ordered. */
async function unknownEffect(name: string, contract: Record<string, unknown> = {}) {
  const steps = [
    { id: "order", tool: "open_work_order", with: { machine: "M-001", failure_mode: "power", reason: "r" } },
  ];
  const allow = { open_work_order: { effect: true, seconds: 1 } };
  const tools = [{ server: "plant", url: house.plant.url, secret: "plant", allow }];
  const outcome = {
    contract: "ordered",
    verifier: { id: "physics", version: "1", file: "verifier.js" },
    evidence: { order: "${steps.order.output}" },
    price: "0.05",
    ...contract,
  };
  const source = `export default (evidence) => ({
    verdict: evidence.order.number === "WO-X" ? "passed" : "failed",
    reason: "attested: " + JSON.stringify(evidence.attested?.map(({ tool, note, author }) => [tool, note, author])),
  });`;
  const manifest = { kind: "Agent", name, instructions: "Order.", tools, steps, outcome };
  const deployed = await house.api("POST", "/api/agents", { manifest, files: { "verifier.js": source } });
  expect(deployed, JSON.stringify(deployed.json)).toMatchObject({ status: 200 });
  house.silence("open_work_order", 1);
  const { json } = await house.api("POST", "/api/runs", { agent: name, input: {} });
  const waiting = await house.until(json.id, "waiting", "failed", "completed");
  expect(waiting).toMatchObject({ status: "waiting", error_code: "effect_unknown", steps: 0 });
  // A call that gave up on its way has left the plant silent for the next one.
  house.silence("open_work_order", 0);
  const key = `${house.tenant.organisation}:${waiting.id}:0:0`;
  const note = "WO-X is in the plant's list.";
  return { id: waiting.id as string, word: { key, happened: true, result: { number: "WO-X" }, note } };
}

test("only an owner settles an unknown effect, with a note, and not with the key that started the run", async () => {
  const { id, word } = await unknownEffect("settled");
  const path = `/api/runs/${id}/effects`;
  const asMember = await house.api("POST", path, word, {}, { role: "member", key: house.tenant.key });
  expect(asMember).toMatchObject({ status: 403, json: { error: { code: "owner_only" } } });
  const { note: _note, ...silent } = word;
  expect((await house.api("POST", path, silent)).status).toBe(400);
  expect((await house.api("POST", path, { ...word, note: " " })).status).toBe(400);
  await db.query(
    `insert into keys (id, organisation, project, name, role, secret_hmac) values ('key_second', $1, $2, 'Ada', 'owner', 'x')`,
    [house.tenant.organisation, house.tenant.project],
  );
  const own = await house.api("POST", path, word);
  expect(own).toMatchObject({ status: 403, json: { error: { code: "attestation_own_run" } } });
  expect((await house.api("POST", path, word, {}, { key: "key_second" })).status).toBe(200);
  expect((await house.api("POST", path, word, {}, { key: "key_second" })).status).toBe(409);
  const { rows } = await db.query("select author, author_name, note, happened from attestations where run = $1", [id]);
  expect(rows).toEqual([{ author: "key_second", author_name: "Ada", note: word.note, happened: true }]);
  // The contract says nothing of attested evidence, so the verifier is not even asked, and nothing is sold.
  const run = await house.until(id, "completed");
  expect(run).toMatchObject({
    output: { number: "WO-X" },
    outcome: {
      verdict: "failed",
      attested: true,
      price_nano: "0",
      reason: expect.stringContaining("word of Ada alone"),
    },
  });
  expect(run.step_list[0].effect).toMatchObject({ state: "done", attested: { by: "Ada", note: word.note } });
});

test("a contract that accepts attested evidence shows it to the verifier apart, and the bill says what rests on it", async () => {
  const { id, word } = await unknownEffect("accepting", { attested: "accept" });
  await db.query("update keys set revoked_at = now() where id = 'key_second'");
  // The only owner may settle its own run.
  expect((await house.api("POST", `/api/runs/${id}/effects`, word)).status).toBe(200);
  const run = await house.until(id, "completed");
  expect(run.outcome).toMatchObject({ verdict: "passed", attested: true, price_nano: "50000000" });
  expect(run.outcome.reason).toBe(`attested: [["open_work_order","${word.note}","test"]]`);
  expect(run.step_list[1].input).toMatchObject({ order: { number: "WO-X" }, attested: [{ tool: "open_work_order" }] });
  const bill = await readBill(db, house.tenant.organisation, {});
  const idOf = async (name: string) => (await house.api("GET", `/api/agents/${name}`)).json.id;
  const [accepting, settled] = [await idOf("accepting"), await idOf("settled")];
  expect(bill.lines.find(({ agent }) => agent === accepting)).toMatchObject({ outcomesAttested: 1 });
  expect(bill.lines.find(({ agent }) => agent === settled)).toMatchObject({ outcomesAttested: 0 });
});

test("the name under which attested evidence is shown is not a manifest's to give", async () => {
  const { manifest } = readExample();
  manifest.outcome!.evidence["attested"] = "${input.machine}";
  const refused = await house.api("POST", "/api/agents", { manifest });
  expect(refused.json.error.message).toMatch(/outcome\.evidence\.attested.*person's word/);
});

test("the room stopped and started again in the middle: runs go on", async () => {
  let release = () => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  const before = house.gateway.script;
  const run = await withScript(
    async (request) => {
      await Promise.race([
        gate,
        new Promise((_, reject) => request.signal!.addEventListener("abort", () => reject(new Error("gone")))),
      ]);
      return before(request);
    },
    async () => {
      const input = { machine: "M-004", bare: false };
      const { json } = await house.api("POST", "/api/runs", { agent: "maintenance-inspector", input });
      while (house.gateway.requests.at(-1)!.run !== json.id) await new Promise((resolve) => setTimeout(resolve, 20));
      await house.restart();
      release();
      return house.until(json.id, "completed", "failed");
    },
  );
  expect(run).toMatchObject({ status: "completed", steps: 5 });
});

test("only our Restate may invoke the endpoint", async () => {
  const client = new RestateClient({
    ingress: { socket: house.restate.command.ingressSocket },
    admin: { socket: house.restate.command.adminSocket },
  });
  const [deployment] = await client.deployments();
  await client.close();
  const url = new URL(deployment!.uri);
  const session = connect(url.origin);
  const stream = session.request({ ":method": "POST", ":path": `${url.pathname}/invoke/LineshaftRun/turn` });
  const status = await new Promise((resolve) => stream.once("response", (headers) => resolve(headers[":status"])));
  session.destroy();
  expect(status).toBe(401);
});

test("lists page by cursor and filter; agents count their runs and outcomes", async () => {
  const first = (await house.api("GET", "/api/runs?limit=5&agent=maintenance-inspector")).json;
  expect(first.data).toHaveLength(5);
  const second = (await house.api("GET", `/api/runs?limit=5&agent=maintenance-inspector&cursor=${first.next_cursor}`))
    .json;
  expect(second.data[0].id < first.data[4].id).toBe(true);
  const failed = (await house.api("GET", "/api/runs?status=failed")).json.data;
  expect(new Set(failed.map((run: any) => run.status))).toEqual(new Set(["failed"]));
  const { json } = await house.api("GET", "/api/agents/maintenance-inspector");
  expect(json).toMatchObject({ model: "scripted", version: 3, runs: { running: 0 }, manifest: { kind: "Agent" } });
  expect(json.outcomes.passed).toBeGreaterThan(30);
});
