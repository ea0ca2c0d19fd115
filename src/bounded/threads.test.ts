// The threads in which costly tasks run, each with its limits of CPU time, memory and waiting. Tasks use these up, so the file is in the room
// lane.
import { Worker } from "node:worker_threads";
import { describe, expect, test, vi } from "vitest";
import "../../test/setup/costly.ts";
import { ThreadPool } from "./threads.ts";

describe("the pool", () => {
  const file = new URL("./testing/thread.ts", import.meta.url);
  const options = {
    file,
    threads: 1,
    cpuMs: 60_000,
    wallMs: 60_000,
    waitingPerGroup: 3,
    waitingTasks: 5,
    resources: { maxOldGenerationSizeMb: 32 },
  };
  const make = (more: Partial<typeof options> = {}) => new ThreadPool({ ...options, ...more });

  test.each([
    ["a loop without end", "loop", { code: "cpu", temporary: false }, { cpuMs: 300, wallMs: 60_000 }],
    ["memory without end", "hoard", { code: "memory", temporary: false }, {}],
    ["a task that throws", "throw", { code: "failed", temporary: false }, {}],
    ["a thread that ends", "exit", { code: "broken", temporary: true }, {}],
    ["a thread that breaks", "break", { code: "broken", temporary: true }, {}],
  ])("%s fails alone, and the next task is served", async (_name, task, failure, more) => {
    const pool = make(more);
    const [broken, fine] = [pool.run("a", task), pool.run("a", "fine")];
    await expect(broken).rejects.toMatchObject(failure);
    expect(await fine).toBe("fine");
    await pool.close();
  });

  test.each([
    ["cannot be read", new URL("./testing/none.ts", import.meta.url)],
    ["cannot even be asked for", new URL("http://127.0.0.1/thread.ts")],
    ["ends before it is ready", new URL("data:text/javascript,process.exit(0)")],
  ])(
    "where the thread's code %s, each task fails as the machine's fault, and none waits without end",
    async (_what, file) => {
      const pool = make({ file });
      const tasks = await Promise.allSettled([..."aab"].map((group) => pool.run(group, "fine")));
      const rejected = { status: "rejected", reason: { code: "broken", temporary: true } };
      expect(tasks).toMatchObject([rejected, rejected, rejected]);
      expect(pool.load).toBe(0);
      await pool.close();
    },
  );

  test("a thread that cannot start takes no task away from one that works", async () => {
    let starts = 0;
    const pool = new ThreadPool({
      ...options,
      threads: 2,
      get file() {
        return ++starts === 1 ? file : new URL("http://127.0.0.1/thread.ts");
      },
    });
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const tasks = [pool.run("a", { until: gate })];
    await vi.waitUntil(() => starts === 2, { timeout: 60_000 });
    tasks.push(pool.run("b", "fine"), pool.run("c", "fine"));
    expect(starts).toBeGreaterThan(2);
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    expect(await Promise.all(tasks)).toEqual(["opened", "fine", "fine"]);
    await pool.close();
  });

  test("a task that waits instead of working is ended by the clock, and that is not held against it", async () => {
    const pool = make({ cpuMs: 200, wallMs: 600 });
    await expect(pool.run("a", "wait")).rejects.toMatchObject({ code: "wall", temporary: true });
    await pool.close();
  });

  test("an event loop that stalls while a thread says what it has used makes no task use more", async () => {
    const pool = make({ cpuMs: 200 });
    await pool.run("a", "fine");
    const gate = new Int32Array(new SharedArrayBuffer(4));
    let asked = 0;
    const real = Worker.prototype.cpuUsage;
    const spy = vi.spyOn(Worker.prototype, "cpuUsage").mockImplementation(function (this: Worker) {
      // The first two questions are those when the tasks begin, the third is the one when the time is over: the loop stalls then.
      if (++asked !== 3) return real.call(this);
      return new Promise((resolve, reject) => {
        setImmediate(() => {
          Atomics.wait(gate, 0, 0, 1_000);
          real.call(this).then(resolve, reject);
        });
      });
    });
    const task = pool.run("a", { until: gate });
    let over = false;
    task.then(
      () => {},
      () => (over = true),
    );
    // The task is retried, because it used less CPU than its limit.
    await vi.waitUntil(() => asked > 3 || over, { timeout: 60_000 });
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    expect(await task).toBe("opened");
    spy.mockRestore();
    await pool.close();
  });

  test("groups take turns", async () => {
    const pool = make();
    const order: string[] = [];
    const told = (group: string, task: string) =>
      pool.run<string>(group, task).then(() => order.push(`${group} ${task}`));
    await Promise.all([told("a", "1"), told("a", "2"), told("a", "3"), told("b", "1")]);
    expect(order).toEqual(["a 1", "b 1", "a 2", "a 3"]);
    await pool.close();
  });

  test("what waits is bounded, by group and in all", async () => {
    const pool = make();
    const codes = (tasks: Promise<unknown>[]) =>
      Promise.all(
        tasks.map((task) =>
          task.then(
            () => "done",
            (error: { code: string }) => error.code,
          ),
        ),
      );
    const all = codes([..."aaaaabbbb"].map((group) => pool.run(group, "fine")));
    expect(await all).toEqual(["done", "done", "done", "busy", "busy", "done", "done", "busy", "busy"]);
    await pool.close();
    await expect(pool.run("a", "fine")).rejects.toMatchObject({ code: "closed" });
  });

  test("a thread serves one task after another", async () => {
    const pool = make();
    expect([await pool.run("a", "count"), await pool.run("a", "count")]).toEqual([1, 2]);
    await pool.close();
  });
});
