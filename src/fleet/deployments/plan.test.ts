// The reconciler's plan as tables: what is wanted, what runs, what is to be done.
import { describe, expect, test } from "vitest";
import { planWorkers, shortageOf, type FleetWorker, type Machine, type WantedDeployment } from "./plan.ts";
import type { Roles, WorkerRole } from "./types.ts";

const gigabyte = 1e9;
/** Eight cores, and room for `workers` of 1 GB. */
const machine = (workers = 100): Machine => ({
  freeBytes: workers * gigabyte,
  threadsOf: (count) => Math.max(1, Math.floor(7 / count)),
});

/** "2 both" or "1 prefill, 1 decode"; `launch` tells models and settings apart. */
function want(words: string, name = "a", launch = "x"): WantedDeployment {
  const roles: Roles = { both: 0, prefill: 0, decode: 0 };
  for (const part of words.split(", ").filter((one) => one !== "")) {
    const [number, role] = part.split(" ");
    roles[role as WorkerRole] = Number(number);
  }
  return { name, roles, launch, threads: undefined, bytes: gigabyte };
}

/** "0 both ready" of deployment a, launched as x, with two threads. */
function runs(words: string, deployment = "a", launch = "x"): FleetWorker {
  const [number, role, phase] = words.split(" ");
  return {
    name: `worker-${number}`,
    deployment,
    launch,
    threads: 2,
    bytes: gigabyte,
    role: role as WorkerRole,
    phase: phase as FleetWorker["phase"],
  };
}

/** What is to be done, in words. */
function said(wanted: WantedDeployment[], running: FleetWorker[], rooms?: number): string[] {
  const plan = planWorkers(wanted, running, machine(rooms));
  return [
    ...plan.relabel.map(({ name, role }) => `${name} becomes ${role}`),
    ...plan.stop.map((name) => `stop ${name}`),
    ...plan.start.map(({ name, deployment, role }) => `start ${name} for ${deployment}, ${role}`),
    ...plan.short.map((name) => `${name} is short`),
  ];
}

describe("one deployment", () => {
  test.each<[string, string, string[], string[]]>([
    ["from nothing", "2 both", [], ["start worker-0 for a, both", "start worker-1 for a, both"]],
    ["as it is", "2 both", ["0 both ready", "1 both ready"], []],
    ["one more", "2 both", ["0 both ready"], ["start worker-1 for a, both"]],
    ["one more, which starts already", "2 both", ["0 both ready", "1 both starting"], []],
    ["one less: the highest number", "1 both", ["0 both ready", "1 both ready"], ["stop worker-1"]],
    ["one less: rather one that does not serve yet", "1 both", ["0 both starting", "1 both ready"], ["stop worker-0"]],
    ["nothing", "", ["0 both ready"], ["stop worker-0"]],
    ["a name that is leaving is not taken", "1 both", ["0 both leaving"], ["start worker-1 for a, both"]],
    ["a gap in the numbers is filled", "2 both", ["1 both ready"], ["start worker-0 for a, both"]],
  ])("%s", (_name, wanted, running, done) => {
    expect(
      said(
        [want(wanted)],
        running.map((one) => runs(one)),
      ),
    ).toEqual(done);
  });
});

describe("roles", () => {
  test.each<[string, string, string[], string[]]>([
    [
      "apart from the start",
      "1 prefill, 1 decode",
      [],
      ["start worker-0 for a, decode", "start worker-1 for a, prefill"],
    ],
    [
      "from two of both: none is restarted, and the one with conversations decodes",
      "1 prefill, 1 decode",
      ["0 both ready", "1 both ready"],
      ["worker-0 becomes decode", "worker-1 becomes prefill"],
    ],
    [
      "from one of both: it serves on until the other is there",
      "1 prefill, 1 decode",
      ["0 both ready"],
      ["start worker-1 for a, prefill"],
    ],
    ["still starting: nothing changes yet", "1 prefill, 1 decode", ["0 both ready", "1 prefill starting"], []],
    ["then it changes", "1 prefill, 1 decode", ["0 both ready", "1 prefill ready"], ["worker-0 becomes decode"]],
    [
      "back to one: one stays under another role, one leaves",
      "1 both",
      ["0 decode ready", "1 prefill ready"],
      ["worker-0 becomes both", "stop worker-1"],
    ],
    ["more decoders", "1 prefill, 2 decode", ["0 decode ready", "1 prefill ready"], ["start worker-2 for a, decode"]],
  ])("%s", (_name, wanted, running, done) => {
    expect(
      said(
        [want(wanted)],
        running.map((one) => runs(one)),
      ),
    ).toEqual(done);
  });
});

describe("a worker that was started otherwise is replaced", () => {
  const anew = [want("1 both", "a", "y")];
  test.each<[string, FleetWorker[], number, string[]]>([
    ["the new one first", [runs("0 both ready")], 9, ["start worker-1 for a, both"]],
    ["while it starts, the old one serves", [runs("0 both ready"), runs("1 both starting", "a", "y")], 9, []],
    ["then the old one leaves", [runs("0 both ready"), runs("1 both ready", "a", "y")], 9, ["stop worker-0"]],
    ["without room for both, the old one leaves first", [runs("0 both ready")], 0.5, ["stop worker-0"]],
    ["and the new one waits for it to be gone", [runs("0 both leaving")], 0.5, []],
    ["then it starts", [], 1.5, ["start worker-0 for a, both"]],
  ])("%s", (_name, running, rooms, done) => {
    expect(said(anew, running, rooms)).toEqual(done);
  });
});

describe("several deployments", () => {
  test("names are unique over all of them", () => {
    expect(said([want("1 both"), want("2 both", "b")], [runs("1 both ready", "b")])).toEqual([
      "start worker-0 for a, both",
      "start worker-2 for b, both",
    ]);
  });

  test("one that is not wanted any more leaves, the other is not touched", () => {
    expect(said([want("1 both", "b")], [runs("0 both ready"), runs("1 both ready", "b")])).toEqual(["stop worker-0"]);
  });
});

describe("memory", () => {
  test("what does not fit is not started, and said", () => {
    expect(said([want("3 both")], [runs("0 both ready")], 1.5)).toEqual(["start worker-1 for a, both", "a is short"]);
  });

  test("what starting workers will take is not given away twice", () => {
    expect(said([want("3 both")], [runs("0 both ready"), runs("1 both starting")], 1.5)).toEqual(["a is short"]);
  });

  test("is waited for while another worker leaves", () => {
    expect(said([want("1 both")], [runs("0 both ready", "b"), runs("1 both leaving", "c")], 0)).toEqual([
      "stop worker-0",
    ]);
  });

  test("is asked for with numbers before anything is done", () => {
    const running = [runs("0 both ready")];
    expect(shortageOf([want("3 both")], running, 2 * gigabyte, "a")).toBeUndefined();
    expect(shortageOf([want("4 both")], running, 2 * gigabyte, "a")).toEqual({
      neededBytes: 4 * gigabyte,
      availableBytes: 3 * gigabyte,
      fitting: 3,
    });
    expect(shortageOf([want("2 both", "b"), want("4 both")], running, 2 * gigabyte, "a")).toMatchObject({ fitting: 1 });
  });
});

describe("threads", () => {
  const threads = (wanted: WantedDeployment[], running: FleetWorker[] = []) =>
    planWorkers(wanted, running, machine()).start.map((worker) => worker.threads);

  test("are shared out among those that start together", () => {
    expect(threads([want("2 both")])).toEqual([3, 3]);
  });

  test("of those that run stay; a new one gets what they leave, at least one", () => {
    expect(threads([want("2 both")], [{ ...runs("0 both ready"), threads: 7 }])).toEqual([1]);
    expect(threads([want("3 both")], [{ ...runs("0 both ready"), threads: 3 }])).toEqual([2, 2]);
  });

  test("are as many as the manifest says, where it says", () => {
    expect(threads([{ ...want("2 both"), threads: 5 }])).toEqual([5, 5]);
  });

  test("of a deployment that names a number lessen what is left for others, and not their share", () => {
    const small = { ...want("1 both", "b"), threads: 1 };
    expect(threads([want("1 both"), small])).toEqual([6, 1]);
    expect(threads([want("2 both"), small])).toEqual([3, 3, 1]);
    expect(threads([want("1 both"), { ...small, threads: 9 }])).toEqual([1, 9]);
  });
});

test("any wish is reached from any other in a bounded number of steps, and then nothing is to be done", () => {
  const wishes = ["", "1 both", "3 both", "1 prefill, 1 decode", "2 prefill, 1 decode, 1 both"];
  for (const before of wishes)
    for (const after of wishes)
      for (const launch of ["x", "y"]) {
        let workers: FleetWorker[] = [];
        for (const wanted of [want(before), want(after, "a", launch)]) {
          let steps = 0;
          for (; steps < 10; steps++) {
            const plan = planWorkers([wanted], workers, machine(8));
            const idle = workers.every(({ phase }) => phase === "ready");
            if (idle && plan.start.length + plan.stop.length + plan.relabel.length + plan.short.length === 0) break;
            workers = workers
              .filter(({ phase }) => phase !== "leaving")
              .map((worker): FleetWorker => {
                const role = plan.relabel.find(({ name }) => name === worker.name)?.role ?? worker.role;
                return { ...worker, role, phase: plan.stop.includes(worker.name) ? "leaving" : "ready" };
              })
              .concat(plan.start);
          }
          expect(steps).toBeLessThan(10);
          for (const role of ["both", "prefill", "decode"] as const)
            expect(workers.filter((worker) => worker.role === role)).toHaveLength(wanted.roles[role]);
          expect(workers.every((worker) => worker.launch === wanted.launch)).toBe(true);
        }
      }
});
