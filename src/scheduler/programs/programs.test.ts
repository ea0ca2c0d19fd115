// Programs through the whole scheduler: facts in, actions on KV and pauses out.
import { describe, expect, it } from "vitest";
import { programPauseMs } from "../limits.ts";
import { exampleCall, exampleSpec } from "../placement/conformance.ts";
import { seededRng } from "../rng.ts";
import { Scheduler } from "../scheduler.ts";
import type { SchedulerAction } from "../actions.ts";
import type { RuntimeFact } from "../events.ts";
import type { Call, EndpointSpec } from "../types.ts";

let ids = 0;

class Scene {
  now = 0;
  readonly scheduler: Scheduler;

  constructor(...specs: EndpointSpec[]) {
    this.scheduler = new Scheduler({ rng: seededRng(1), policy: "least-load" });
    for (const spec of specs) this.scheduler.apply({ at: 0, type: "endpoint_joined", spec });
  }

  /** A call of a program from start to end; answers all actions. */
  turn(program: string, tokens: number, more: Partial<Call> = {}): SchedulerAction[] {
    const call = exampleCall({ id: `c${ids++}`, program, promptTokens: tokens - 100, ...more });
    const actions = this.scheduler.decide(call, this.now);
    return [
      ...actions,
      ...this.scheduler.apply({
        at: this.now,
        type: "call_ended",
        call: call.id,
        reason: "done",
        usage: { promptTokens: tokens - 100, cachedTokens: 0, outputTokens: 100 },
      }),
    ];
  }

  tell(fact: RuntimeFact): SchedulerAction[] {
    return this.scheduler.apply({ at: this.now, type: "fact", fact });
  }

  after(ms: number): SchedulerAction[] {
    this.now += ms;
    return this.scheduler.tick(this.now);
  }
}

const tool = (program: string, kind?: "quick" | "slow" | "approval"): RuntimeFact => ({
  type: "tool_started",
  program,
  tool: "t",
  kind,
});
const kv = (actions: SchedulerAction[]) =>
  actions
    .filter((action) => action.type === "kv")
    .map(({ verb, program, tokens, tier }) => ({ verb, program, tokens, tier }));

describe("programs", () => {
  it("are kept while there is room, demoted for a slow tool when there is none, and prefetched when it ends", () => {
    const scene = new Scene(exampleSpec("e", { totalKvCapacityTokens: 1e6 }));
    scene.turn("a", 20_000);
    expect(kv(scene.tell(tool("a", "slow")))).toEqual([
      { verb: "keep", program: "a", tokens: 20_000, tier: undefined },
    ]);
    scene.turn("b", 75_000);
    // Asked again after a second; nothing before.
    expect(kv(scene.after(900))).toEqual([]);
    expect(kv(scene.after(200))).toEqual([{ verb: "demote", program: "a", tokens: 20_000, tier: "host" }]);
    expect(kv(scene.after(5_000))).toEqual([]);
    expect(kv(scene.tell({ type: "tool_ended", program: "a", tool: "t" }))).toEqual([
      { verb: "prefetch", program: "a", tokens: 20_000, tier: "host" },
    ]);
  });

  it("are judged by their own tools once some have ended, by those of all programs before", () => {
    const scene = new Scene(exampleSpec("e", { totalKvCapacityTokens: 1e6 }));
    scene.turn("other", 75_000);
    scene.turn("a", 20_000);
    const ran = (program: string, ms: number) => {
      scene.tell(tool(program, "slow"));
      scene.now += ms;
      scene.tell({ type: "tool_ended", program, tool: "t" });
    };
    for (let i = 0; i < 10; i++) ran("elsewhere", 600_000);
    const began = () => kv(scene.tell(tool("a", "slow")))[0];
    expect(began()).toMatchObject({ verb: "demote" });
    scene.now += 100;
    scene.tell({ type: "tool_ended", program: "a", tool: "t" });
    for (let i = 0; i < 30; i++) ran("a", 100);
    scene.turn("a", 20_100);
    expect(began()).toMatchObject({ verb: "keep" });
  });

  it("wait for the last of the tools that run together", () => {
    const scene = new Scene(exampleSpec("e", { totalKvCapacityTokens: 1e6 }));
    scene.turn("b", 80_000);
    scene.turn("a", 20_000);
    scene.tell(tool("a", "slow"));
    scene.tell(tool("a", "quick"));
    expect(kv(scene.tell({ type: "tool_ended", program: "a", tool: "t" }))).toEqual([]);
    expect(kv(scene.tell({ type: "tool_ended", program: "a", tool: "t" }))).toMatchObject([{ verb: "prefetch" }]);
  });

  it("lose their KV at once when their run ends, sub-agents with them", () => {
    const scene = new Scene(exampleSpec("e"));
    scene.turn("run", 5000);
    scene.turn("child", 3000, { parent: "run" });
    scene.turn("grandchild", 1000, { parent: "child" });
    scene.turn("run", 5000, { parent: "grandchild" });
    // They name each other as parents in a circle: each still ends once.
    const dropped = kv(scene.tell({ type: "run_ended", program: "child" }));
    expect(dropped.map(({ program, tokens }) => [program, tokens])).toEqual([
      ["child", 3000],
      ["run", 5000],
      ["grandchild", 1000],
    ]);
    expect(scene.scheduler.snapshot().programs).toBe(0);
  });

  it("drop what a newer state elsewhere supersedes", () => {
    const scene = new Scene(exampleSpec("e"), exampleSpec("f"));
    const first = scene.turn("a", 5000).find((action) => action.type === "place")!.decision.chosen.endpoint;
    scene.scheduler.apply({ at: 0, type: "endpoint_health", endpoint: first, health: "draining" });
    expect(scene.turn("a", 6000)).toMatchObject([
      { type: "place" },
      { type: "kv", verb: "drop", endpoint: first, tokens: 5000 },
    ]);
  });

  it("are paused whole at a step boundary, newest first, wait in the queue, and go on when another has ended", () => {
    const scene = new Scene(exampleSpec("e", { kvCapacityTokens: 100_000, totalKvCapacityTokens: 100_000 }));
    scene.turn("old", 60_000);
    scene.now = 10;
    scene.turn("new", 20_000);
    scene.turn("new", 39_000);
    const paused = scene.after(1000);
    expect(paused).toMatchObject([
      { type: "pause_program", program: "new" },
      { type: "kv", verb: "demote", program: "new" },
    ]);
    const waits = exampleCall({ id: "waits", program: "new" });
    expect(scene.scheduler.decide(waits, scene.now)).toMatchObject([{ type: "queued", call: "waits" }]);
    expect(scene.turn("old", 61_000)[0]).toMatchObject({ type: "place" });
    scene.tell({ type: "run_ended", program: "old" });
    const resumed = scene.after(1000);
    expect(resumed).toMatchObject([
      { type: "resume_program", program: "new" },
      { type: "place", call: "waits", decision: { queuedMs: 1000, pausedMs: 1000 } },
    ]);
  });

  it("of workers that share a folder, the folder is counted once", () => {
    const worker = { kvCapacityTokens: 60_000, totalKvCapacityTokens: 120_000 };
    const paused = (pool: { pool?: string }) => {
      const scene = new Scene(exampleSpec("e", { ...worker, ...pool }), exampleSpec("f", { ...worker, ...pool }));
      scene.turn("old", 58_000);
      scene.turn("other", 58_000);
      scene.now = 10;
      scene.turn("new", 30_000);
      scene.turn("new", 58_000);
      return scene.after(1000).filter(({ type }) => type === "pause_program");
    };
    expect(paused({ pool: "folder" })).toMatchObject([{ program: "new" }]);
    expect(paused({})).toEqual([]);
  });

  it("wait no longer than the bound", () => {
    const scene = new Scene(exampleSpec("e"));
    scene.turn("old", 70_000);
    scene.now = 10;
    scene.turn("new", 9000);
    scene.turn("old", 99_000);
    expect(scene.after(1000)).toMatchObject([{ type: "pause_program", program: "new" }, { type: "kv" }]);
    const waits = exampleCall({ id: "waits", program: "new" });
    expect(scene.scheduler.decide(waits, scene.now)).toMatchObject([{ type: "queued", call: "waits" }]);
    // Its tool runs on and on, so it stays alive.
    scene.tell(tool("old", "slow"));
    for (let minute = 0; minute < programPauseMs / 60_000 - 1; minute++) {
      expect(scene.turn("old", 99_000)[0]).toMatchObject({ type: "place" });
      expect(scene.after(60_000).filter((action) => action.type === "resume_program")).toEqual([]);
    }
    // Both cannot run: they change places.
    expect(scene.after(61_000)).toMatchObject([
      { type: "pause_program", program: "old" },
      { type: "kv", verb: "demote", program: "old" },
      { type: "resume_program", program: "new", reason: expect.stringContaining("waited") },
      { type: "place", call: "waits" },
    ]);
  });

  it("wait at the door while there is no room, before anything of them is computed; calls without a program do not", () => {
    const scene = new Scene(exampleSpec("e"));
    scene.turn("old", 84_000);
    scene.after(1000);
    const first = exampleCall({ id: "first", program: "new", promptTokens: 9000 });
    expect(scene.scheduler.decide(first, scene.now)).toMatchObject([
      { type: "pause_program", program: "new", reason: expect.stringContaining("no room") },
      { type: "queued", call: "first" },
    ]);
    const { program: _, ...plain } = exampleCall({ id: "plain", promptTokens: 9000 });
    expect(scene.scheduler.decide(plain, scene.now)).toMatchObject([{ type: "place" }]);
    expect(scene.scheduler.programs.workingSets).toMatchObject([{ load: 0.84, live: 1, paused: 0, waiting: 0 }]);
    expect(scene.after(1000)).toEqual([]);
    expect(scene.scheduler.programs.workingSets).toMatchObject([{ load: 0.84, live: 2, paused: 1, waiting: 1 }]);
    scene.tell({ type: "run_ended", program: "old" });
    expect(scene.after(1000)).toMatchObject([{ type: "resume_program", program: "new" }, { type: "place" }]);
  });

  it("wait at the door before the first plan, and after a minute in which nothing was live", () => {
    const scene = new Scene(exampleSpec("e"));
    const burst = (name: string) =>
      Array.from({ length: 16 }, (_, at) => scene.turn(`${name} ${at}`, 30_000)).flatMap((actions) =>
        actions.filter(({ type }) => type === "place"),
      );
    expect(burst("first")).toHaveLength(2);
    for (let second = 0; second < 120; second++) scene.after(1000);
    expect(scene.scheduler.programs.workingSets).toEqual([]);
    expect(burst("second")).toHaveLength(2);
    // A program that is too large by itself is let in when no other is.
    const alone = new Scene(exampleSpec("e"));
    expect(alone.turn("large", 99_000)[0]).toMatchObject({ type: "place" });
  });

  it("are counted against the KV of endpoints that decode: one that only prefills keeps none", () => {
    const scene = new Scene(exampleSpec("p", { role: "prefill" }), exampleSpec("d", { role: "decode" }));
    scene.turn("old", 60_000);
    expect(scene.turn("new", 60_000)[0]).toMatchObject({ type: "pause_program" });
  });

  it("are one in each deployment: a session that is paused at one model goes on there, whatever it calls meanwhile", () => {
    const scene = new Scene(exampleSpec("a", { deployment: "A" }), exampleSpec("b", { deployment: "B" }));
    scene.turn("old", 84_000, { deployment: "A" });
    scene.after(1000);
    const waits = exampleCall({ id: "waits", program: "x", deployment: "A", promptTokens: 9000 });
    expect(scene.scheduler.decide(waits, scene.now)).toMatchObject([{ type: "pause_program" }, { type: "queued" }]);
    expect(scene.turn("x", 5000, { deployment: "B" })[0]).toMatchObject({ type: "place" });
    expect(scene.after(1000)).toEqual([]);
    scene.tell({ type: "run_ended", program: "old" });
    expect(scene.after(1000)).toMatchObject([
      { type: "resume_program", program: "x" },
      { type: "place", call: "waits" },
    ]);
    // Its end reaches both.
    expect(kv(scene.tell({ type: "run_ended", program: "x" }))).toHaveLength(2);
    expect(scene.scheduler.snapshot().programs).toBe(0);
  });

  it("supersede no state by calls of another model, and keep their sizes apart", () => {
    const scene = new Scene(exampleSpec("a", { deployment: "A" }), exampleSpec("b", { deployment: "B" }));
    const turns = (["A", "B", "A"] as const).flatMap((deployment, at) =>
      scene.turn("x", 5000 + at * 1000, { deployment }),
    );
    expect(kv(turns)).toEqual([]);
    const { programs } = scene.scheduler;
    expect([programs.get("x", "A"), programs.get("x", "B")]).toMatchObject([
      { contextTokens: 7000, at: { spec: { id: "a" } } },
      { contextTokens: 6000, at: { spec: { id: "b" } } },
    ]);
    // A tool was asked for by the call before it.
    expect(scene.tell(tool("x", "slow"))).toMatchObject([{ verb: "keep", endpoint: "a" }]);
    scene.turn("x", 6500, { deployment: "B" });
    scene.tell({ type: "tool_ended", program: "x", tool: "t" });
    expect(programs.get("x", "A")).toMatchObject({ tools: 0 });
  });

  it("hold nothing for calls that were refused or withdrawn", () => {
    const scene = new Scene(exampleSpec("e", { maxInFlight: 1 }));
    scene.turn("mine", 40_000);
    scene.scheduler.decide(exampleCall({ id: "runs" }), scene.now);
    for (let at = 0; at < 10; at++) {
      const call = exampleCall({ id: `late${at}`, program: `late ${at}`, tenant: "x", promptTokens: 40_000 });
      expect(scene.scheduler.decide({ ...call, deadlineMs: scene.now + 1 }, scene.now)).toMatchObject([
        { type: "refuse", code: "deadline" },
      ]);
      scene.scheduler.decide({ ...call, id: `gone${at}`, program: `gone ${at}` }, scene.now);
      scene.scheduler.apply({ at: scene.now, type: "call_withdrawn", call: `gone${at}` });
    }
    expect(scene.scheduler.snapshot().programs).toBe(1);
    expect(scene.after(1000)).toEqual([]);
    expect(scene.scheduler.programs.workingSets).toMatchObject([{ load: 0.4, live: 1 }]);
    // A known program is not kept alive by calls that were refused.
    for (let minute = 0; minute < 2; minute++) {
      scene.scheduler.decide(exampleCall({ id: "again", program: "mine" }), scene.now);
      scene.scheduler.apply({ at: scene.now, type: "call_withdrawn", call: "again" });
      scene.after(31_000);
    }
    expect(scene.scheduler.programs.workingSets).toEqual([]);
  });

  it("hold nothing when all their calls have failed, and need not enter again for the next attempt", () => {
    const scene = new Scene(exampleSpec("e"));
    const fail = (program: string, prefilled: boolean) => {
      const call = exampleCall({ id: `c${ids++}`, program, promptTokens: 9900 });
      expect(scene.scheduler.decide(call, scene.now)).toMatchObject([{ type: "place" }]);
      if (prefilled) scene.scheduler.apply({ at: scene.now, type: "call_prefilled", call: call.id });
      scene.scheduler.apply({ at: scene.now, type: "call_ended", call: call.id, reason: "failed" });
    };
    for (let at = 0; at < 8; at++) fail(`fails ${at}`, false);
    // A prompt that was computed before the call failed lies in the KV.
    fail("computed", true);
    expect(scene.after(1000)).toEqual([]);
    expect(scene.scheduler.programs.workingSets).toMatchObject([{ load: 0.099, paused: 0 }]);
    expect(scene.turn("fresh", 70_000)[0]).toMatchObject({ type: "place" });
    fail("fails 0", false);
  });

  it("that are paused while a tool runs wait for room as any other when its result has come", () => {
    const scene = new Scene(exampleSpec("e"));
    scene.turn("old", 70_000);
    scene.now = 10;
    scene.turn("new", 9000);
    scene.tell(tool("new", "slow"));
    scene.turn("old", 99_000);
    expect(scene.after(1000)).toMatchObject([{ type: "pause_program", program: "new" }]);
    scene.tell(tool("old", "slow"));
    for (let minute = 0; minute < programPauseMs / 60_000 + 1; minute++) scene.after(60_000);
    scene.tell({ type: "tool_ended", program: "new", tool: "t" });
    const waits = exampleCall({ id: "waits", program: "new" });
    expect(scene.scheduler.decide(waits, scene.now)).toMatchObject([{ type: "queued", call: "waits" }]);
    expect(scene.after(1000)).toEqual([]);
    expect(scene.after(programPauseMs - 2000)).toEqual([]);
    expect(scene.after(1000).filter(({ type }) => type === "resume_program")).toHaveLength(1);
  });

  it("of a tenant that invents thousands of names hurt that tenant alone", () => {
    const scene = new Scene(exampleSpec("e", { slots: 64, maxInFlight: 128 }));
    const hostile = (at: number) => scene.turn(`invented ${at}`, 100, { tenant: "hostile" });
    scene.turn("honest", 20_000, { tenant: "honest" });
    for (let at = 0; at < 5000; at++) hostile(at);
    scene.after(1000);
    // Its programs go on at once, however many names the other one invents meanwhile, and are never paused.
    for (let second = 0; second < 300; second++) {
      for (let at = 0; at < 20; at++) hostile(5000 + second * 20 + at);
      const actions = scene.turn("honest", 20_000 + second, { tenant: "honest" });
      expect(actions.find((action) => action.type !== "kv")).toMatchObject({ type: "place" });
      expect(
        scene.after(1000).filter((action) => action.type === "pause_program" && action.program === "honest"),
      ).toEqual([]);
    }
    // A new one of an honest tenant is let in within a second.
    const second = exampleCall({ id: "second", program: "second", tenant: "honest", promptTokens: 10_000 });
    const actions = [...scene.scheduler.decide(second, scene.now), ...scene.after(1000)];
    expect(actions.filter(({ type }) => type === "place")).toMatchObject([{ call: "second" }]);
  });

  it("have no KV where an engine has restarted", () => {
    const scene = new Scene(exampleSpec("e", { epoch: "1" }));
    scene.turn("a", 5000);
    scene.scheduler.apply({
      at: 0,
      type: "kv",
      endpoint: "e",
      rank: 0,
      event: { type: "cleared", sequence: 0, epoch: "1" },
    });
    scene.scheduler.apply({
      at: 0,
      type: "kv",
      endpoint: "e",
      rank: 0,
      event: { type: "cleared", sequence: 0, epoch: "2" },
    });
    expect(kv(scene.tell({ type: "run_ended", program: "a" }))).toEqual([]);
  });

  it("do not count once they are idle: a chat that is not continued keeps no program waiting", () => {
    const scene = new Scene(exampleSpec("e"));
    scene.turn("idle", 60_000);
    scene.after(61_000);
    scene.turn("fresh", 50_000);
    expect(scene.after(1000)).toEqual([]);
  });

  it("are forgotten, the longest idle first, when there are too many; only work under way is a reason to refuse", () => {
    const made = new Scheduler({ rng: seededRng(1), programs: { maxPrograms: 2 } });
    made.apply({ at: 0, type: "endpoint_joined", spec: exampleSpec("e") });
    const ask = (id: string) => made.decide(exampleCall({ id, program: id }), 0).map((action) => action.type);
    expect([ask("a"), ask("b")]).toEqual([["place"], ["place"]]);
    expect(made.decide(exampleCall({ id: "c", program: "c" }), 0)).toMatchObject([
      { type: "refuse", code: "program_limit" },
    ]);
    made.apply({ at: 1, type: "call_ended", call: "a", reason: "done" });
    expect(ask("c")).toEqual(["place"]);
    expect(made.programs.get("a", "d")).toBeUndefined();
  });

  it("are forgotten of the tenant that has most of them, however many of its calls are under way", () => {
    const made = new Scheduler({ rng: seededRng(1), programs: { maxPrograms: 200 } });
    const spec = exampleSpec("e", { slots: 200, maxInFlight: 200, totalKvCapacityTokens: 1e6 });
    made.apply({ at: 0, type: "endpoint_joined", spec });
    const ask = (id: string, tenant: string) => {
      const call = exampleCall({ id, program: id, tenant, promptTokens: 1000 });
      return made.decide(call, 0).find((action) => action.type !== "pause_program")?.type;
    };
    const done = (call: string) => made.apply({ at: 0, type: "call_ended", call, reason: "done" });
    ask("mine", "honest");
    done("mine");
    for (let at = 0; at < 500; at++) {
      ask(`x${at}`, "hostile");
      // Its first calls stay under way.
      if (at >= 100) done(`x${at}`);
    }
    expect(made.snapshot().programs).toBe(200);
    expect(made.programs.get("mine", "d")).toBeDefined();
    expect(ask("also mine", "honest")).not.toBe("refuse");
  });

  it("follow an endpoint that joins again: with its cache when it did not start anew, without it when it did", () => {
    const spec = exampleSpec("e", { epoch: "1" });
    const scene = new Scene(spec);
    scene.turn("a", 20_000);
    scene.scheduler.apply({ at: 0, type: "endpoint_joined", spec: { ...spec, slots: 8 } });
    expect(scene.scheduler.programs.get("a", "d")?.at).toBe(scene.scheduler.endpoints.get("e"));
    // The same endpoint: nothing there is superseded.
    expect(kv(scene.turn("a", 21_000))).toEqual([]);
    scene.scheduler.apply({ at: 0, type: "endpoint_joined", spec: { ...spec, epoch: "2" } });
    expect(scene.scheduler.programs.get("a", "d")?.at).toBeUndefined();
    expect(kv(scene.turn("a", 22_000))).toEqual([]);
  });
});
