import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { LineshaftError } from "../errors/index.ts";
import { explainEnding } from "./errors.ts";
import { healthyAfterMs, restartCeilingMs, restartFloorMs } from "./limits.ts";
import { endOrphans } from "./orphans.ts";
import { identify, isSame, treeMemory } from "./processes.ts";
import { restartPauseMs } from "./child.ts";
import { Supervisor } from "./supervisor.ts";
import type { SupervisorOptions } from "./types.ts";
import { testChild } from "./testing/spec.ts";
import type { ChildStatus } from "./types.ts";

let home: string;
let supervisors: Supervisor[];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "lineshaft-fleet-"));
  supervisors = [];
});
afterEach(async () => {
  await Promise.all(supervisors.map((supervisor) => supervisor.stopAll()));
  rmSync(home, { recursive: true, force: true });
});

const recordsPath = () => join(home, "run", "children.json");

function supervise(options: Partial<SupervisorOptions> = {}): Supervisor {
  const supervisor = new Supervisor({ recordsPath: recordsPath(), mark: home, ...options });
  supervisors.push(supervisor);
  return supervisor;
}

/** Resolves with the child's status when it is next in a state. */
function nextState(supervisor: Supervisor, state: ChildStatus["state"]): Promise<ChildStatus> {
  return new Promise((resolve) => {
    const off = supervisor.onChange((status) => {
      if (status.state !== state) return;
      off();
      resolve(status);
    });
  });
}

describe("a child", () => {
  test("is ready when it says so, runs in a group of its own, and is written down", async () => {
    const supervisor = supervise();
    await supervisor.start(testChild("one"));
    const [status] = supervisor.status();
    expect(status).toMatchObject({ name: "one", state: "ready", restarts: 0 });
    expect(status!.rssBytes).toBeGreaterThan(1_000_000);
    const stat = readFileSync(`/proc/${status!.pid}/stat`, "utf8");
    expect(Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2])).toBe(status!.pid);
    expect(JSON.parse(readFileSync(recordsPath(), "utf8"))).toMatchObject([{ name: "one", pid: status!.pid }]);
  });

  test("runs, dies and runs again although it can be written down nowhere", async () => {
    const failures: unknown[] = [];
    const supervisor = supervise({
      recordsPath: "/dev/full/children.json",
      onRecordsFailure: (error) => void failures.push(error),
    });
    await supervisor.start(testChild("one"));
    process.kill(supervisor.status()[0]!.pid!, "SIGKILL");
    expect(await nextState(supervisor, "ready")).toMatchObject({ restarts: 1 });
    // One for each start, one for the death.
    expect(failures.length).toBeGreaterThanOrEqual(3);
  });

  test("that gives no sign of life is ended and started again, and one that gives them is left alone", async () => {
    const supervisor = supervise();
    await supervisor.start(testChild("one", "alive", { silentMs: 500 }));
    const before = supervisor.status()[0]!.pid!;
    const again = nextState(supervisor, "ready");
    process.kill(before, "SIGSTOP");
    expect(await again).toMatchObject({ restarts: 1, lastError: "It gave no sign of life for 1 s and was ended." });
    expect(supervisor.status()[0]!.pid).not.toBe(before);
  });

  test("that cannot start is explained by what it printed, and is not tried again", async () => {
    const supervisor = supervise();
    const failure = supervisor.start(testChild("one", "missing-library"));
    await expect(failure).rejects.toThrow(LineshaftError);
    await expect(failure).rejects.toMatchObject({
      code: "library_missing",
      why: "This system lacks the shared library libnothing.so.7.",
    });
    expect(supervisor.status()[0]).toMatchObject({ state: "failed", restarts: 0 });
  });

  test("whose last words came while this process stood still is explained by them all the same", async () => {
    const supervisor = supervise();
    let printed = "";
    const spawned = (child: ChildProcess) => {
      child.stdout!.on("data", (bytes: Buffer) => (printed += bytes.toString()));
      child.once("exit", () => {
        process.kill(helper(), "SIGUSR2");
        const until = performance.now() + 300;
        while (performance.now() < until || !/\) T /.test(readFileSync(`/proc/${helper()}/stat`, "utf8")));
      });
    };
    const helper = () => Number(/helper (\d+)/.exec(printed)![1]);
    const error = await supervisor.start(testChild("one", "leaves-helper", { spawned })).catch((thrown) => thrown);
    process.kill(helper(), "SIGKILL");
    expect(error).toMatchObject({ why: expect.stringContaining("last words") });
  });

  test("whose program does not exist is explained", async () => {
    const failure = supervise().start(testChild("one", "serve", { command: "/nonexistent/program" }));
    await expect(failure).rejects.toMatchObject({ code: "child_ended", message: "one did not start." });
  });

  test("that is never ready is killed after its time", async () => {
    const supervisor = supervise();
    const failure = supervisor.start(testChild("one", "never-ready", { readyTimeoutMs: 300 }));
    await expect(failure).rejects.toMatchObject({ why: expect.stringContaining("was not ready") });
    expect(JSON.parse(readFileSync(recordsPath(), "utf8"))).toEqual([]);
  });

  test("that dies is started again, and its end is told", async () => {
    const supervisor = supervise();
    await supervisor.start(testChild("one", "die-when-told"));
    const before = supervisor.status()[0]!.pid!;
    const restarting = nextState(supervisor, "restarting");
    process.kill(before, "SIGUSR2");
    expect(await restarting).toMatchObject({
      restarts: 1,
      lastError: "It exited with status 3; its last line was: told to die",
    });
    await nextState(supervisor, "ready");
    expect(supervisor.status()[0]!.pid).not.toBe(before);
  });

  test("is stopped when asked, and killed when it does not listen", async () => {
    const supervisor = supervise();
    await Promise.all([
      supervisor.start(testChild("polite")),
      supervisor.start(testChild("stubborn", "stubborn", { stopTimeoutMs: 100, ipc: true })),
    ]);
    const identities = supervisor.status().map((status) => identify(status.pid!)!);
    await supervisor.stopAll();
    expect(identities.map(isSame)).toEqual([false, false]);
    expect(supervisor.status().map((status) => status.state)).toEqual(["stopped", "stopped"]);
  });

  test("is not started once everything was told to stop", async () => {
    const supervisor = supervise();
    await supervisor.stopAll();
    await expect(supervisor.start(testChild("late"))).rejects.toMatchObject({ code: "stopped" });
  });

  test("that is still starting is stopped too", async () => {
    const supervisor = supervise();
    const start = supervisor.start(testChild("slow", "never-ready"));
    const refused = expect(start).rejects.toMatchObject({ code: "stopped" });
    await supervisor.stopAll();
    await refused;
  });
});

describe("pauses between restarts", () => {
  test("begin at the floor, double, and end at the ceiling", () => {
    expect([1, 2, 3, 4].map(restartPauseMs)).toEqual([1, 2, 4, 8].map((times) => times * restartFloorMs));
    expect(restartPauseMs(50)).toBe(restartCeilingMs);
  });

  test("grow while it keeps dying and begin anew after it was healthy", async () => {
    const pauses: number[] = [];
    let now = 0;
    const supervisor = supervise({
      now: () => now,
      sleep: async (ms) => void pauses.push(ms),
    });
    await supervisor.start(testChild("one", "die-when-told"));
    const die = async () => {
      const ready = nextState(supervisor, "ready");
      process.kill(supervisor.status()[0]!.pid!, "SIGKILL");
      await ready;
    };
    await die();
    await die();
    now += healthyAfterMs;
    await die();
    expect(pauses).toEqual([restartFloorMs, 2 * restartFloorMs, restartFloorMs]);
  });
});

describe("after kill -9 of the supervising process", () => {
  async function orphan(behaviour: string): Promise<{ pid: number; startedAt: string }> {
    const parent = spawn(
      process.execPath,
      [fileURLToPath(new URL("testing/parent.ts", import.meta.url)), home, behaviour],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const [line] = (await once(parent.stdout!, "data")) as [Buffer];
    const identity = identify(Number(line.toString()))!;
    parent.kill("SIGKILL");
    await once(parent, "exit");
    expect(isSame(identity)).toBe(true);
    return identity;
  }

  test("the next start finds the orphan and waits until it is gone", async () => {
    const identity = await orphan("serve");
    expect(await endOrphans(recordsPath(), [home])).toEqual(["worker"]);
    expect(isSame(identity)).toBe(false);
  });

  test("an orphan that was never written down is found by its mark", async () => {
    const identity = await orphan("serve");
    rmSync(recordsPath());
    expect(await endOrphans(recordsPath(), [home])).toEqual([`process ${identity.pid}`]);
    expect(isSame(identity)).toBe(false);
  });

  test("a process that was given the orphan's pid is left alone", async () => {
    const supervisor = supervise();
    await supervisor.start(testChild("innocent"));
    const [record] = JSON.parse(readFileSync(recordsPath(), "utf8")) as object[];
    const other = mkdtempSync(join(tmpdir(), "lineshaft-fleet-"));
    const path = join(other, "children.json");
    writeFileSync(path, JSON.stringify([{ ...record, startedAt: "earlier" }]));
    expect(await endOrphans(path, [other])).toEqual([]);
    writeFileSync(path, JSON.stringify([{ ...record, words: ["postgres"] }]));
    expect(await endOrphans(path, [other])).toEqual([]);
    // The list of a copied home: everything is right, and the process is the original's.
    writeFileSync(path, JSON.stringify([record]));
    expect(await endOrphans(path, [other])).toEqual([]);
    expect(supervisor.status()[0]!.state).toBe("ready");
    rmSync(other, { recursive: true });
  });
});

test("memory of a tree counts every process below its root", () => {
  const [own] = treeMemory([process.pid]).values();
  expect(own).toBeGreaterThanOrEqual(process.memoryUsage().rss * 0.5);
  expect(treeMemory([1]).get(1)).toBeGreaterThan(own!);
});

describe("an ending is explained by its cause", () => {
  test.each([
    ["postgres: error while loading shared libraries: libicu.so.60: cannot open", "library_missing", "libicu.so.60"],
    ["Error: libgomp.so.1: cannot open shared object file: No such file", "library_missing", "libgomp.so.1"],
    ["FATAL: could not write: No space left on device", "disk_full", "disk is full"],
    ["ggml: failed to allocate: Cannot allocate memory", "memory_short", "memory"],
    ["something\nlast words\n\n", "child_ended", "last words"],
    ["", "child_ended", "printed nothing"],
  ])("%s", (output, code, words) => {
    const ending = explainEnding("exited with status 1", output);
    expect(ending.code).toBe(code);
    expect(ending.why).toContain(words);
  });
});
