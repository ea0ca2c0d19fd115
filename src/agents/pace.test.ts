import { describe, expect, it } from "vitest";
import { limits } from "./limits.ts";
import { Pace, type PaceEntry, type Seat } from "./pace.ts";

const of = (run: string, project = "p", begun = false): PaceEntry => ({ run, project, begun });

/** A pace of `most`, and the order in which runs entered. */
function stage(most: number, rows: PaceEntry[] = []) {
  const entered: string[] = [];
  const asked: string[][] = [];
  const seats: Seat[] = [];
  const room = { most };
  const pace = new Pace({
    most: () => room.most,
    lookUp: async (runs) => {
      asked.push(runs);
      return rows.filter(({ run }) => runs.includes(run));
    },
    now: () => entered.length,
  });
  const enter = (run: string, known?: PaceEntry) =>
    pace.enter(run, known, 60_000).then((seat) => {
      if (seat) {
        entered.push(run);
        seats.push(seat);
      }
      return seat !== undefined;
    });
  /** The step that is under way for longest ends. */
  const leave = () => seats.shift()!.leave();
  return { pace, entered, asked, room, enter, leave };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("pace", () => {
  it("admits as many as there is room for, and the next when one has left", async () => {
    const { pace, entered, enter, leave } = stage(2);
    for (const run of ["a", "b", "c", "d"]) void enter(run, of(run));
    await settled();
    expect([entered, pace.underWay, pace.waiting]).toEqual([["a", "b"], 2, 2]);
    leave();
    await settled();
    expect([entered, pace.underWay]).toEqual([["a", "b", "c"], 2]);
  });

  it("projects take turns; within one, what has begun goes before what has not", async () => {
    const { entered, enter, leave } = stage(1);
    void enter("first", of("first"));
    for (let i = 0; i < 4; i++) void enter(`many${i}`, of(`many${i}`, "many"));
    void enter("few0", of("few0", "few"));
    void enter("begun", of("begun", "many", true));
    for (let i = 0; i < 7; i++) {
      await settled();
      leave();
    }
    await settled();
    expect(entered).toEqual(["first", "begun", "few0", "many0", "many1", "many2", "many3"]);
  });

  it("asks whose thousands of runs are by few statements, and holds nothing for them", async () => {
    const runs = Array.from({ length: 2_000 }, (_, i) => of(`r${i}`, `p${i % 3}`));
    const { pace, entered, asked, enter, leave } = stage(8, runs);
    for (const { run } of runs) void enter(run);
    await settled();
    await settled();
    expect(asked.length).toBeLessThanOrEqual(3);
    expect([entered.length, pace.underWay]).toEqual([8, 8]);
    for (let i = 0; i < 1_992; i++) {
      leave();
      await settled();
    }
    await settled();
    expect(entered.length).toBe(2_000);
  });

  it("one that gave up waiting comes back to its place", async () => {
    const { pace, entered, enter, leave } = stage(1);
    void enter("first", of("first"));
    await settled();
    expect(await pace.enter("early", of("early"), 1)).toBeUndefined();
    for (const run of ["x", "y"]) {
      entered.push(`${run} came`);
      void enter(run, of(run));
    }
    void enter("early", of("early"));
    leave();
    await settled();
    expect(entered.at(-1)).toBe("early");
  });

  it("more room admits more; closing sends everything away", async () => {
    const { pace, entered, room, enter, leave } = stage(1);
    const all = ["a", "b", "c", "d"].map((run) => enter(run, of(run)));
    await settled();
    room.most = 3;
    leave();
    await settled();
    expect(entered).toEqual(["a", "b", "c", "d"].slice(0, 4));
    const late = enter("e", of("e"));
    pace.close();
    expect(await late).toBe(false);
    expect(await enter("f", of("f"))).toBe(false);
    await Promise.all(all);
  });

  it("a backlog of one project's begun runs does not stand before another project's new run", async () => {
    const { entered, enter, leave } = stage(1);
    void enter("first", of("first", "many", true));
    for (let i = 0; i < 2_000; i++) void enter(`woken${i}`, of(`woken${i}`, "many", true));
    void enter("new", of("new", "other"));
    await settled();
    leave();
    await settled();
    leave();
    await settled();
    expect(entered).toEqual(["first", "woken0", "new"]);
  });

  it("a project whose steps never end keeps no other project from its share", async () => {
    const { entered, enter } = stage(32);
    for (let i = 0; i < 2_000; i++) void enter(`hangs${i}`, of(`hangs${i}`, "hangs", true));
    await settled();
    for (let i = 0; i < 100; i++) void enter(`new${i}`, of(`new${i}`, "other"));
    await settled();
    const count = (name: string) => entered.filter((run) => run.startsWith(name)).length;
    expect([count("hangs"), count("new")]).toEqual([32, 16]);
    // A third and a fourth that hang too, and the next is still let in: the seats under way are bounded all the same.
    for (const name of ["third", "fourth", "fifth"])
      for (let i = 0; i < 100; i++) void enter(`${name}${i}`, of(`${name}${i}`, name));
    await settled();
    expect(["third", "fourth", "fifth"].map(count)).toEqual([10, 8, 6]);
  });

  it("what a project has beyond its share is not given to it again while others wait; alone, it has all", async () => {
    const { pace, entered, enter, leave } = stage(4);
    for (let i = 0; i < 20; i++) void enter(`many${i}`, of(`many${i}`, "many"));
    await settled();
    expect(pace.underWay).toBe(4);
    for (let i = 0; i < 4; i++) void enter(`few${i}`, of(`few${i}`, "few"));
    await settled();
    expect(pace.underWay).toBe(6);
    for (let i = 0; i < 2; i++) leave();
    await settled();
    expect([pace.underWay, entered.slice(4)]).toEqual([4, ["few0", "few1"]]);
    for (let i = 0; i < 6; i++) {
      leave();
      await settled();
      expect(pace.underWay).toBe(4);
    }
    for (let i = 0; i < 6; i++) {
      leave();
      await settled();
    }
    expect([pace.underWay, entered.filter((run) => run.startsWith("few")).length]).toEqual([4, 4]);
  });

  it("as many projects as there may be, all busy, have together no more than the seats there are", async () => {
    const { pace, entered, enter, leave } = stage(8);
    for (let i = 0; i < 600; i++) void enter(`r${i}`, of(`r${i}`, `p${i % 100}`));
    for (let i = 0; i < 100; i++) {
      await settled();
      expect(pace.underWay).toBe(8);
      leave();
    }
    await settled();
    expect(new Set(entered.map((run) => Number(run.slice(1)) % 100)).size).toBe(100);
  });

  it("a step with all that it waits for ends before the durable engine loses patience, and a turn before it is ten minutes old", () => {
    const stepMostMs = limits.paceWaitMs + limits.paceElsewhereWaitMs + limits.modelStepMs;
    expect(stepMostMs + 30_000).toBeLessThanOrEqual(limits.durableInactivityMs);
    expect(limits.durableInactivityMs + 30_000).toBeLessThanOrEqual(limits.durableAbortMs);
    expect(limits.turnMs + stepMostMs + 30_000).toBeLessThanOrEqual(600_000);
    expect(limits.mostToolSeconds * 1000).toBeLessThan(limits.modelStepMs);
  });
});
