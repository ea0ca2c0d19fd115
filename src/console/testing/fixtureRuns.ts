// Runs of the fixture, step by step, with the calls that the steps made: an inspection of a machine that reads it, decides, opens a
// work order and is judged by a verifier.
import type { AgentDetail, CallDetail, Run, RunDetail, StepResource } from "../../contract/index.ts";
import type { Random } from "./random.ts";
import { currency, idOf, iso, tenth } from "./fixtureWords.ts";
import { makeCall } from "./fixtureCalls.ts";

const contractPriceNano = 50_000_000n;

const modes = [
  {
    mode: "heat_dissipation",
    reason: "Air and process temperature differ by 8.1 K (limit 8.6 K) at 1,332 rpm (limit 1,380 rpm).",
    limits: ["temperature_difference", "speed"],
  },
  { mode: "tool_wear", reason: "The tool has run 221 min, past the limit of 200 min.", limits: ["tool_wear"] },
  {
    mode: "overstrain",
    reason: "Wear times torque is 12,480 min Nm, past 11,000 min Nm for type L.",
    limits: ["strain"],
  },
  { mode: "power", reason: "Power is 2,914 W, below the limit of 3,500 W.", limits: ["power"] },
  { mode: "none", reason: "No limit is exceeded.", limits: [] },
];

export function makeRun(
  random: Random,
  agent: AgentDetail,
  at: number,
  key: string,
  alive: "running" | "waiting" | undefined,
) {
  const id = idOf(random, "run", at);
  const machine = `M-${random.whole(1, 40).toString().padStart(3, "0")}`;
  const truth = random.pick(modes);
  const seen = random.chance(0.93) ? truth : random.pick(modes);
  const dies = alive === undefined && random.chance(0.03);
  const stopped = alive === undefined && !dies && random.chance(0.012);
  const calls: CallDetail[] = [];
  const steps: StepResource[] = [];
  let clock = at + random.between(20, 120);
  const step = (part: Partial<StepResource> & Pick<StepResource, "kind" | "name">, ms: number): StepResource => {
    const made: StepResource = {
      number: steps.length + 1,
      status: "completed",
      input: null,
      output: null,
      call: null,
      cost_nano: "0",
      effect: null,
      error_message: null,
      queued_ms: 0,
      started_at: iso(clock),
      ended_at: iso((clock += ms)),
      ...part,
    };
    steps.push(made);
    clock += random.between(3, 25);
    return made;
  };
  const model = (prompt: number, output: number, messages: unknown[], answer: unknown) => {
    const call = makeCall(random, {
      at: clock,
      model: agent.model,
      key,
      agent: agent.name,
      run: id,
      status: "completed",
      prompt,
      output,
    });
    calls.push(call);
    step(
      {
        kind: "model",
        name: agent.model,
        input: { model: agent.model, messages, temperature: 0, max_tokens: 160 },
        output: answer,
        call: call.id,
        cost_nano: call.price_nano,
        queued_ms: queuedOf(call),
      },
      call.duration_ms,
    );
  };
  const system = { role: "system", content: String((agent.manifest as { instructions?: string }).instructions) };
  const readings = {
    machine,
    type: random.pick(["L", "M", "H"]),
    air_temperature_k: tenth(random.between(295, 304)),
    process_temperature_k: tenth(random.between(305, 314)),
    rotational_speed_rpm: random.whole(1_180, 2_400),
    torque_nm: tenth(random.between(10, 70)),
    tool_wear_min: random.whole(0, 240),
    exceeded: truth.limits,
  };
  const base = random.whole(760, 860);
  model(base, 24, [system, { role: "user", content: `Inspect machine ${machine}.` }], {
    role: "assistant",
    content: null,
    tool_calls: [
      { id: "call_1", type: "function", function: { name: "read_machine", arguments: JSON.stringify({ machine }) } },
    ],
  });
  step({ kind: "tool", name: "read_machine", input: { machine }, output: readings }, random.between(4, 18));
  if (random.chance(0.15) || alive === "waiting")
    step(
      { kind: "wait", name: "cool-down timer", input: { seconds: 30 }, output: null },
      random.between(8_000, 31_000),
    );
  model(
    base + 140,
    random.whole(38, 64),
    [
      system,
      { role: "user", content: `Inspect machine ${machine}.` },
      { role: "tool", content: JSON.stringify(readings, null, 2) },
    ],
    { failure_mode: seen.mode, reason: seen.reason },
  );
  let outcome: Run["outcome"] = null;
  if (alive === undefined && !dies && !stopped) {
    const order = {
      order: `WO-${random.whole(10_000, 99_999)}`,
      machine,
      failure_mode: seen.mode,
      reason: seen.reason,
    };
    step(
      {
        kind: "tool",
        name: "open_work_order",
        input: { machine, failure_mode: seen.mode, reason: seen.reason },
        output: order,
        effect: {
          key: `org_1:${id}:${steps.length + 1}:0`,
          tool: "open_work_order",
          state: "done",
          attempts: random.chance(0.06) ? 2 : 1,
          attested: null,
        },
      },
      random.between(6, 40),
    );
    const passed = seen.mode === truth.mode;
    const reason = passed
      ? `Work order ${order.order} names ${truth.mode}, which the readings of ${machine} show.`
      : `The readings of ${machine} show ${truth.mode}; work order ${order.order} names ${seen.mode}.`;
    step(
      {
        kind: "verify",
        name: "ai4i-physics",
        input: { work_order: order, readings },
        output: { verdict: passed ? "passed" : "failed", reason },
      },
      random.between(0.4, 2),
    );
    outcome = {
      id: `out_${id.slice(4)}`,
      contract: "failure-mode-named",
      verifier: "ai4i-physics@1",
      verdict: passed ? "passed" : "failed",
      reason,
      attested: false,
      price_nano: passed ? String(contractPriceNano) : "0",
      currency,
      created_at: iso(clock),
    };
  } else if (dies) {
    step(
      {
        kind: "tool",
        name: "open_work_order",
        status: "failed",
        input: { machine, failure_mode: seen.mode, reason: seen.reason },
        error_message: "The MCP server closed the connection before it answered (3 attempts).",
        effect: {
          key: `org_1:${id}:${steps.length + 1}:0`,
          tool: "open_work_order",
          state: "unknown",
          attempts: 3,
          attested: null,
        },
      },
      random.between(900, 4_000),
    );
  }
  const sum = (pick: (call: CallDetail) => number) => calls.reduce((total, call) => total + pick(call), 0);
  const run: RunDetail = {
    id,
    agent: agent.name,
    version: agent.version,
    status: alive ?? (dies ? "failed" : stopped ? "stopped" : "completed"),
    error_code: dies ? "effect_unknown" : stopped ? "stopped" : null,
    wakes_at: null,
    error_message: dies
      ? "Whether open_work_order took place is not known. Look at the tool's own records, then settle the effect by hand."
      : stopped
        ? "Stopped by key first owner."
        : null,
    steps: steps.length,
    prompt_tokens: sum((call) => call.prompt_tokens),
    cached_tokens: sum((call) => call.cached_tokens),
    output_tokens: sum((call) => call.output_tokens),
    cost_nano: String(calls.reduce((total, call) => total + BigInt(call.price_nano), 0n)),
    currency,
    outcome,
    created_at: iso(at),
    started_at: iso(Date.parse(steps[0]!.started_at) - 12),
    ended_at: alive === undefined ? iso(clock) : null,
    input: { machine, readings: `readings/${machine}.json` },
    output: outcome === null ? null : { failure_mode: seen.mode, reason: seen.reason },
    step_list: steps,
    queued_ms: sum(queuedOf),
    waits: stopped
      ? [
          {
            step: steps.length,
            code: "tool_unreachable",
            message: "The MCP server of open_work_order does not answer.",
            times: 4,
            waited_ms: 11_400,
            began_at: iso(clock),
            waiting: false,
            until: null,
          },
        ]
      : [],
  };
  return { run, calls };
}

const queuedOf = (call: CallDetail): number =>
  call.attempts
    .flatMap((attempt) => attempt.phases)
    .filter((phase) => phase.name === "queue" || phase.name === "wait")
    .reduce((total, phase) => total + phase.end_ms - phase.start_ms, 0);
