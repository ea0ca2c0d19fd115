// Work whose cost the caller chooses: what is refused by size, what is ended in its thread, and how it affects other callers.
import { Worker } from "node:worker_threads";
import { describe, expect, test, vi } from "vitest";
import { boundedSchema, CheckBusyError, SchemaBoundError, schemaDefect, valueProblem } from "./index.ts";
import { limits } from "./limits.ts";
import { schemaCost } from "./schemaCost.ts";
import { ThreadPool } from "./threads.ts";
import { readYaml } from "./yaml.ts";

const doubling = (levels: number, twice = (ref: object): object => ({ anyOf: [ref, ref] })) => {
  const ref = (level: number) => ({ $ref: `#/$defs/d${level}` });
  const $defs: Record<string, unknown> = { [`d${levels}`]: { type: "string" } };
  for (let level = 0; level < levels; level++) $defs[`d${level}`] = twice(ref(level + 1));
  return { $defs, ...ref(0) };
};
const boundOf = (schema: unknown) => {
  try {
    schemaCost(schema);
    return undefined;
  } catch (error) {
    return (error as SchemaBoundError).bound;
  }
};
const many = <Item>(count: number, item: (index: number) => Item) => Array.from({ length: count }, (_, i) => item(i));

describe("a schema is refused by the bound that it passes", () => {
  let deep: unknown = true;
  for (let level = 0; level < 150; level++) deep = { properties: { a: deep } };
  test.each<[keyof typeof limits, unknown]>([
    ["schemaBranches", { anyOf: many(300, () => ({ type: "string" })) }],
    ["schemaBranches", { properties: { a: { oneOf: many(300, () => ({ type: "string" })) } } }],
    ["schemaEnumValues", { properties: { a: { enum: many(3_000, String) }, b: { enum: many(3_000, String) } } }],
    ["schemaNodes", { required: many(25_000, String) }],
    ["schemaBytes", { description: "a".repeat(300_000) }],
    ["schemaDepth", deep],
    ["schemaExpansion", doubling(25)],
    ["schemaExpansion", { $ref: "#" }],
    ["schemaExpansion", doubling(25, (ref) => ({ dependencies: { a: ref, b: ref } }))],
    ["schemaExpansion", { $defs: { a: { allOf: [{ $ref: "#/$defs/b" }] }, b: { $ref: "#/$defs/a" } } }],
  ])("%s", (bound, schema) => expect(boundOf(schema)).toBe(bound));

  test.each<[string, unknown]>([
    ["a tree", { properties: { left: { $ref: "#" }, right: { $ref: "#" } } }],
    ["definitions that double through properties", { $defs: { a: { properties: { x: { $ref: "#/$defs/a" } } } } }],
    ["a large enum", { enum: many(4_000, String) }],
    ["eight definitions that double", doubling(8)],
  ])("%s passes none", (_name, schema) => expect(boundOf(schema)).toBeUndefined());

  test("counting stops at the bound, however large the schema is", () => {
    let read = 0;
    const counted = new Proxy(
      many(1_000_000, () => 1),
      {
        get: (items, name, self) => {
          if (typeof name === "string" && /^\d+$/.test(name)) read++;
          return Reflect.get(items, name, self) as unknown;
        },
      },
    );
    expect(boundOf({ const: counted })).toBe("schemaNodes");
    expect(read).toBeLessThanOrEqual(limits.schemaNodes);
  });
});

describe("values", () => {
  const check = async (schema: object, value: unknown) =>
    valueProblem(boundedSchema(schema), JSON.stringify(value), "org");

  test("a tree that refers to itself is followed as far as the value goes", async () => {
    const tree = { type: "object", properties: { left: { $ref: "#" }, n: { type: "integer" } } };
    expect(await check(tree, { left: { left: { n: 1 } } })).toBeUndefined();
    expect(await check(tree, { left: { left: { n: "x" } } })).toEqual({
      path: "/left/left/n",
      message: "must be integer",
    });
  });

  test("unique items are judged by their values, each looked at once", async () => {
    const unique = { type: "array", uniqueItems: true };
    expect(
      await check(
        unique,
        many(30_000, (n) => ({ n })),
      ),
    ).toBeUndefined();
    expect(
      await check(unique, [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ]),
    ).toMatchObject({ message: expect.stringMatching(/twice/) });
    expect(await check(unique, [1, "1"])).toBeUndefined();
  });

  test("an invalid schema says why, and is remembered", async () => {
    const wrong = boundedSchema({ type: "nonsense" });
    expect(await schemaDefect(wrong, "org")).toMatch(/type/);
    expect(await schemaDefect(wrong, "org")).toMatch(/type/);
  });
});

describe("YAML", () => {
  test("twenty thousand keys are read, and a key that stands twice is found", async () => {
    const text = many(20_000, (i) => `k${i}: 1\n`).join("");
    expect(await readYaml(text, "org")).toMatchObject({ value: { k0: 1, k19999: 1 } });
    expect(await readYaml(`${text}k7: 2\n`, "org")).toEqual({
      problems: [{ line: 20_001, message: expect.stringMatching(/unique: k7/) }],
    });
  });

  test("lines are those of keys", async () => {
    const read = await readYaml("a: 1\nb:\n  - x\n  - c: 2\n", "org");
    if ("problems" in read) throw new Error("It was not read.");
    expect([["a"], ["b"], ["b", 0], ["b", 1, "c"], ["b", 1, "none"], []].map((path) => read.lineOf(path))).toEqual([
      1, 2, 3, 4, 4, 1,
    ]);
  });

  test.each([
    ["aliases", "a: &a [x]\nb: [*a, *a]", /aliases/],
    ["depth", "[".repeat(500) + "]".repeat(500), /deep/],
    ["number", many(60_000, () => "- 1\n").join(""), /more than 50000/],
  ])("%s is bounded", async (_name, text, message) => {
    expect(await readYaml(text, "org")).toEqual({ problems: [{ message: expect.stringMatching(message) }] });
  });
});

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

test("too much that waits is an error of its own, which may pass", () => {
  expect(new CheckBusyError("x").code).toBe("checks_busy");
});
