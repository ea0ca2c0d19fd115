import { describe, expect, it } from "vitest";
import { Pace, type PaceEntry } from "./pace.ts";

const of = (run: string, project = "p", begun = false): PaceEntry => ({ run, project, begun });

/** A pace of `most`, and the order in which runs entered. */
function stage(most: number, rows: PaceEntry[] = []) {
  const entered: string[] = [];
  const asked: string[][] = [];
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
    pace.enter(run, known, 60_000).then((got) => {
      if (got) entered.push(run);
      return got;
    });
  return { pace, entered, asked, room, enter };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("pace", () => {
  it("admits as many as there is room for, and the next when one has left", async () => {
    const { pace, entered, enter } = stage(2);
    for (const run of ["a", "b", "c", "d"]) void enter(run, of(run));
    await settled();
    expect([entered, pace.underWay, pace.waiting]).toEqual([["a", "b"], 2, 2]);
    pace.leave();
    await settled();
    expect([entered, pace.underWay]).toEqual([["a", "b", "c"], 2]);
  });

  it("lets what has begun go before what has not, and projects take turns", async () => {
    const { pace, entered, enter } = stage(1);
    void enter("first", of("first"));
    for (let i = 0; i < 4; i++) void enter(`many${i}`, of(`many${i}`, "many"));
    void enter("few0", of("few0", "few"));
    void enter("begun", of("begun", "many", true));
    for (let i = 0; i < 7; i++) {
      await settled();
      pace.leave();
    }
    await settled();
    expect(entered).toEqual(["first", "begun", "many0", "few0", "many1", "many2", "many3"]);
  });

  it("asks whose thousands of runs are by few statements, and holds nothing for them", async () => {
    const runs = Array.from({ length: 2_000 }, (_, i) => of(`r${i}`, `p${i % 3}`));
    const { pace, entered, asked, enter } = stage(8, runs);
    for (const { run } of runs) void enter(run);
    await settled();
    await settled();
    expect(asked.length).toBeLessThanOrEqual(3);
    expect([entered.length, pace.underWay]).toEqual([8, 8]);
    for (let i = 0; i < 1_992; i++) {
      pace.leave();
      await Promise.resolve();
    }
    await settled();
    expect(entered.length).toBe(2_000);
  });

  it("one that gave up waiting comes back to its place", async () => {
    const { pace, entered, enter } = stage(1);
    void enter("first", of("first"));
    await settled();
    expect(await pace.enter("early", of("early"), 1)).toBe(false);
    for (const run of ["x", "y"]) {
      entered.push(`${run} came`);
      void enter(run, of(run));
    }
    void enter("early", of("early"));
    pace.leave();
    await settled();
    expect(entered.at(-1)).toBe("early");
  });

  it("more room admits more; closing sends everything away", async () => {
    const { pace, entered, room, enter } = stage(1);
    const all = ["a", "b", "c", "d"].map((run) => enter(run, of(run)));
    await settled();
    room.most = 3;
    pace.leave();
    await settled();
    expect(entered).toEqual(["a", "b", "c", "d"].slice(0, 4));
    const late = enter("e", of("e"));
    pace.close();
    expect(await late).toBe(false);
    expect(await enter("f", of("f"))).toBe(false);
    await Promise.all(all);
  });
});
