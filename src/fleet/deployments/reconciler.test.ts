// The reconciler over the real supervisor, with small processes in the place of workers.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import "../../../test/setup/processes.ts";
import { Supervisor } from "../supervisor.ts";
import { testChild } from "../testing/spec.ts";
import type { FleetWorker, WantedDeployment } from "./plan.ts";
import { Reconciler } from "./reconciler.ts";
import type { Roles } from "./types.ts";

let home: string;
let supervisor: Supervisor;
let reconciler: Reconciler;
/** What was done to workers, in order. */
let log: string[];
/** Behaviour of the next children (testing/child.mjs). */
let behaviour: string;
/** Workers that leave wait for it. */
let callsEnd: () => void;
let drained: Promise<void>;
let freeBytes: number;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "lineshaft-reconciler-"));
  supervisor = new Supervisor({ recordsPath: join(home, "run", "children.json"), mark: home });
  log = [];
  behaviour = "serve";
  freeBytes = 100;
  drained = new Promise((resolve) => (callsEnd = resolve));
  reconciler = new Reconciler({
    supervisor,
    hands: {
      spec: (worker: FleetWorker) => {
        if (behaviour === "none") throw new TypeError("there is no such worker");
        return testChild(worker.name, behaviour);
      },
      relabel: ({ name, role }) => log.push(`${name} ${role}`),
      drain: async ({ name }) => {
        log.push(`drain ${name}`);
        await drained;
      },
      machine: () => ({ freeBytes, threadsOf: () => 1 }),
    },
  });
});
afterEach(async () => {
  reconciler.close();
  callsEnd();
  await supervisor.stopAll();
  rmSync(home, { recursive: true, force: true });
});

const want = (roles: Partial<Roles>, launch = "x"): WantedDeployment[] => [
  { name: "a", roles: { both: 0, prefill: 0, decode: 0, ...roles }, launch, threads: undefined, bytes: 10 },
];
const workers = () => reconciler.workers().map(({ name, role, phase }) => `${name} ${role} ${phase}`);
const pids = () => supervisor.status().map(({ name, pid }) => `${name} ${pid}`);

test("brings up what is wanted, and leaves what is unchanged alone", async () => {
  reconciler.want(want({ both: 1 }));
  await reconciler.settled();
  const [first] = pids();
  reconciler.want(want({ both: 2 }));
  await reconciler.settled();
  expect(workers()).toEqual(["worker-0 both ready", "worker-1 both ready"]);
  expect(pids()[0]).toBe(first);
});

test("a role changes without a restart", async () => {
  reconciler.want(want({ both: 2 }));
  await reconciler.settled();
  const before = pids();
  reconciler.want(want({ prefill: 1, decode: 1 }));
  await reconciler.settled();
  expect(log).toEqual(["worker-0 decode", "worker-1 prefill"]);
  expect(pids()).toEqual(before);
});

test("one that leaves is out of service first, ends its calls, and is then forgotten", async () => {
  reconciler.want(want({ both: 2 }));
  await reconciler.settled();
  reconciler.want(want({ both: 1 }));
  expect(log).toEqual(["drain worker-1"]);
  expect(workers()).toEqual(["worker-0 both ready", "worker-1 both leaving"]);
  expect(pids()).toHaveLength(2);
  // Another wish is not held up by it.
  reconciler.want(want({ both: 2 }));
  expect(workers()).toContain("worker-2 both starting");
  callsEnd();
  await reconciler.settled();
  expect(workers()).toEqual(["worker-0 both ready", "worker-2 both ready"]);
  expect(supervisor.status().map(({ name }) => name)).toEqual(["worker-0", "worker-2"]);
});

test("one that is not ready yet leaves at once", async () => {
  behaviour = "never-ready";
  reconciler.want(want({ both: 1 }));
  reconciler.want([]);
  await reconciler.settled();
  expect(workers()).toEqual([]);
  expect(supervisor.status()).toEqual([]);
  expect(reconciler.failureOf("a")).toBeUndefined();
});

test("one that is started otherwise is replaced by a new one that serves before it leaves", async () => {
  reconciler.want(want({ both: 1 }));
  await reconciler.settled();
  reconciler.want(want({ both: 1 }, "y"));
  expect(workers()).toEqual(["worker-0 both ready", "worker-1 both starting"]);
  callsEnd();
  await reconciler.settled();
  expect(workers()).toEqual(["worker-1 both ready"]);
  expect(log).toEqual(["drain worker-0"]);
});

test("a failure says why, leaves the others alone, and is tried again when it is wanted again", async () => {
  reconciler.want(want({ both: 1 }));
  await reconciler.settled();
  behaviour = "missing-library";
  reconciler.want(want({ both: 2 }));
  await reconciler.settled();
  expect(workers()).toEqual(["worker-0 both ready"]);
  expect(reconciler.failureOf("a")).toMatchObject({
    code: "library_missing",
    message: "This system lacks the shared library libnothing.so.7.",
  });
  behaviour = "serve";
  reconciler.want(want({ both: 2 }));
  await reconciler.settled();
  expect(workers()).toHaveLength(2);
  expect(reconciler.failureOf("a")).toBeUndefined();
});

test("a worker that cannot even be described is a failure like any other", async () => {
  behaviour = "none";
  reconciler.want(want({ both: 1 }));
  await reconciler.settled();
  expect(workers()).toEqual([]);
  expect(reconciler.failureOf("a")).toMatchObject({ message: "there is no such worker" });
});

test("what memory does not hold is not started, and the numbers are said", async () => {
  freeBytes = 15;
  reconciler.want(want({ both: 3 }));
  await reconciler.settled();
  expect(workers()).toHaveLength(1);
  expect(reconciler.failureOf("a")).toMatchObject({
    code: "memory_short",
    message: expect.stringContaining("3 workers of a do not fit"),
  });
});

test("after close nothing is planned any more", async () => {
  reconciler.close();
  reconciler.want(want({ both: 1 }));
  await reconciler.settled();
  expect(supervisor.status()).toEqual([]);
});
