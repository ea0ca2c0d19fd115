// Which conversations a simulated gateway knows by name.
import { expect, it } from "vitest";
import { parseFleet } from "../fleet.ts";
import { WorkloadBuilder } from "../traces/builder.ts";
import { Requests } from "./requests.ts";

/** Two calls of one thread and one of a sub-agent; `chained`: the second waits for the first. */
function workloadOf(chained: boolean) {
  const builder = new WorkloadBuilder("three", 100);
  const call = { program: "p", promptTokens: 10, outputTokens: 7, blocks: new Int32Array(0) };
  const first = builder.add({ ...call, delayMs: 0 }).index;
  builder.add({ ...call, after: chained ? [first] : [], delayMs: 5 });
  builder.add({ ...call, thread: "sub", delayMs: 0 });
  return builder.build();
}

const fleetOf = (programs: boolean) =>
  parseFleet({ programs, pools: [{ name: "a", profile: "h100-llama-3.1-70b-tp8", replicas: 1 }] });

function namesOf(chained: boolean, programs: boolean) {
  const workload = workloadOf(chained);
  const requests = new Requests(workload, fleetOf(programs));
  return workload.calls.map((call) => {
    const { program, parent } = requests.attempt(call, 1, 0);
    return [program, parent];
  });
}

it("sessions whose calls wait for each other, or every thread where a runtime runs them; a repeated prompt of an open loop is none", () => {
  // A client's sub-agents carry the name of its session, as in the gateway (gateway/protocols/program.ts).
  expect(namesOf(true, false)).toEqual([
    ["0", undefined],
    ["0", undefined],
    ["0", undefined],
  ]);
  expect(namesOf(false, true)).toEqual([
    ["0", undefined],
    ["0", undefined],
    ["1", "0"],
  ]);
  expect(namesOf(false, false)).toEqual([
    [undefined, undefined],
    [undefined, undefined],
    [undefined, undefined],
  ]);
});

it("calls of a runtime are batch work, as those of agents' runs in the gateway, unless the trace says otherwise", () => {
  const batchOf = (programs: boolean, own?: boolean) => {
    const { calls, ...rest } = workloadOf(true);
    const workload = { ...rest, calls: calls.map((call) => (own === undefined ? call : { ...call, batch: own })) };
    return new Requests(workload, fleetOf(programs)).attempt(workload.calls[0]!, 1, 0).batch;
  };
  expect([batchOf(false), batchOf(true), batchOf(false, true), batchOf(true, false)]).toEqual([
    false,
    true,
    true,
    false,
  ]);
});

it("a call's own deadline comes before the fleet's, from when it was sent", () => {
  const workload = workloadOf(true);
  const fleet = { ...fleetOf(false), deadlineMs: 500 };
  const deadlines = [workload.calls[0]!, { ...workload.calls[0]!, deadlineMs: 90 }].map(
    (call) => new Requests(workload, fleet).attempt(call, 2, 1000).deadlineMs,
  );
  expect(deadlines).toEqual([1500, 1090]);
});

it("outputs are expected to be as long as those that have ended, as in the gateway, and another attempt of a call has another id", () => {
  const { calls } = workloadOf(false);
  const requests = new Requests(workloadOf(false), fleetOf(false));
  expect(requests.attempt(calls[1]!, 1, 0)).toMatchObject({ id: "1", outputTokens: 256, avoid: [] });
  requests.answered({ ...calls[1]!, outputTokens: 20 });
  requests.answered({ ...calls[1]!, outputTokens: 420 });
  expect(requests.attempt(calls[1]!, 3, 0, ["a-0"])).toMatchObject({ id: "1.3", outputTokens: 40, avoid: ["a-0"] });
});
