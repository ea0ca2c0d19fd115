import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { programPauseMs } from "../limits.ts";
import { type Member, planWorkingSet } from "./workingSet.ts";

function member(id: string, startedMs: number, contextTokens: number, more: Partial<Member> = {}): Member {
  return {
    id,
    tenant: "t",
    waitsSinceMs: more.pausedMs,
    startedMs,
    contextTokens,
    atBoundary: true,
    pausedMs: undefined,
    immuneUntilMs: 0,
    ...more,
  };
}

describe("working-set admission", () => {
  it("does nothing while programs fit", () => {
    const members = [member("a", 0, 500), member("b", 1, 400)];
    expect(planWorkingSet(members, 1000, 10)).toMatchObject({ pause: [], resume: [], load: 0.9 });
  });

  it("pauses the newest at a step boundary until there is room, and never one that computes", () => {
    const members = [
      member("old", 0, 300),
      member("mid", 1, 300),
      member("busy", 3, 200, { atBoundary: false }),
      member("new", 2, 200),
    ];
    expect(planWorkingSet(members, 1000, 10)).toMatchObject({ pause: ["new"], load: 0.8 });
  });

  it("resumes the oldest first, with a gap below the mark at which it pauses", () => {
    const paused = [member("late", 5, 100, { pausedMs: 6 }), member("early", 4, 100, { pausedMs: 7 })];
    const running = (tokens: number) => [member("run", 0, tokens), ...paused];
    expect(planWorkingSet(running(800), 1000, 10).resume).toEqual([]);
    expect(planWorkingSet(running(700), 1000, 10).resume).toEqual([{ id: "early", forced: false }]);
    expect(planWorkingSet(running(600), 1000, 10).resume).toHaveLength(2);
  });

  it("lets a program go on after the longest pause, whatever the load, and not be paused again at once", () => {
    const members = [member("run", 0, 990, { atBoundary: false }), member("waits", 1, 100, { pausedMs: 0 })];
    expect(planWorkingSet(members, 1000, 1_800_000)).toMatchObject({
      resume: [{ id: "waits", forced: true }],
      pause: [],
    });
    const after = [member("run", 0, 990, { atBoundary: false }), member("waits", 1, 100, { immuneUntilMs: 2_000_000 })];
    expect(planWorkingSet(after, 1000, 1_800_001).pause).toEqual([]);
  });

  it("runs a program that is too large by itself when nothing else runs", () => {
    expect(planWorkingSet([member("huge", 0, 5000, { pausedMs: 0 })], 1000, 10).resume).toEqual([
      { id: "huge", forced: false },
    ]);
  });

  it("never pauses the last one", () => {
    const members = [member("old", 0, 990), member("new", 1, 90)];
    expect(planWorkingSet(members, 1000, 10).pause).toEqual(["new"]);
    expect(planWorkingSet([members[0]!], 1000, 10).pause).toEqual([]);
  });

  it("of a tenant within its part pauses none, whatever another one invents", () => {
    const invented = Array.from({ length: 10_000 }, (_, at) => member(`x${at}`, at, 1, { tenant: "hostile" }));
    const honest = [member("a", 20_000, 300, { tenant: "honest" }), member("b", 20_001, 90, { tenant: "honest" })];
    const plan = planWorkingSet([...invented, ...honest], 1000, 30_000);
    expect(plan.pause.filter((id) => !id.startsWith("x"))).toEqual([]);
    expect(plan.load).toBeLessThanOrEqual(0.8);
  });

  it("of a tenant within its part makes room for a program that waits, by those of tenants beyond theirs", () => {
    const lent = Array.from({ length: 8 }, (_, at) => member(`x${at}`, at, 100, { tenant: "hostile" }));
    const waits = member("waits", 9, 200, { tenant: "honest", pausedMs: 5 });
    expect(planWorkingSet([...lent, waits], 1000, 10)).toMatchObject({
      pause: ["x7", "x6"],
      resume: [{ id: "waits", forced: false }],
    });
    const alone = planWorkingSet([...lent, { ...waits, tenant: "hostile" }], 1000, 10);
    expect(alone).toMatchObject({ pause: [], resume: [] });
  });

  it("keeps room for a program within its tenant's part, and lets others pass one that is larger than the part", () => {
    const running = [member("run", 0, 500, { tenant: "a" })];
    const giant = member("giant", 1, 700, { tenant: "b", pausedMs: 2 });
    const small = member("small", 3, 100, { tenant: "c", pausedMs: 4 });
    const plan = planWorkingSet([...running, giant, small], 1000, 10);
    expect(plan.resume).toEqual([{ id: "small", forced: false }]);
    expect(plan).toMatchObject({ room: 250, queues: new Set(["b"]) });
    // It has its turn after the longest pause, and pays for it with its own tenant's part.
    const later = planWorkingSet([...running, giant], 1000, 2 + programPauseMs);
    expect(later.resume).toEqual([{ id: "giant", forced: true }]);
  });

  it("lends what a tenant does not use, and pauses none for it while programs fit", () => {
    const members = Array.from({ length: 9 }, (_, at) => member(`x${at}`, at, 100, { tenant: "busy" }));
    expect(planWorkingSet([...members, member("y", 9, 10, { tenant: "idle" })], 1000, 10)).toMatchObject({ pause: [] });
  });

  it("lets programs whose time is up go on as far as their tenant's part goes, longest waiting first, and names the others", () => {
    const due = Array.from({ length: 30 }, (_, at) =>
      member(`x${at}`, at, 100, { tenant: "hostile", pausedMs: 30 - at }),
    );
    const honest = member("honest", 50, 300, { tenant: "honest", atBoundary: false });
    const plan = planWorkingSet([...due, honest], 1000, 30 + programPauseMs);
    expect(plan.resume).toEqual(["x29", "x28", "x27", "x26", "x25"].map((id) => ({ id, forced: true })));
    expect(plan.overdue).toHaveLength(25);
  });

  it("counts the bound from the first call that waits: a program that was paused during a long tool is not let go at once", () => {
    const run = member("run", 0, 990, { atBoundary: false });
    const back = member("back", 1, 100, { pausedMs: 0, waitsSinceMs: programPauseMs });
    expect(planWorkingSet([run, back], 1000, programPauseMs)).toMatchObject({ resume: [], overdue: [] });
    expect(planWorkingSet([run, back], 1000, 2 * programPauseMs).resume).toEqual([{ id: "back", forced: true }]);
  });

  it("lets a program whose time is up go on where it fits, whatever its tenant's part", () => {
    const forced = member("forced", 0, 600, { immuneUntilMs: programPauseMs + 1, atBoundary: false });
    const other = member("other", 2, 900, { tenant: "u", pausedMs: programPauseMs - 1 });
    const fits = member("fits", 1, 150, { pausedMs: 0 });
    const plan = planWorkingSet([forced, other, fits], 1000, programPauseMs);
    expect(plan).toMatchObject({ resume: [{ id: "fits", forced: false }], overdue: [] });
  });

  it("looks at every program a few times, however many are made room for in one plan", () => {
    const looks = (waiting: number): number => {
      let read = 0;
      const counted = (made: Member): Member =>
        new Proxy(made, {
          get: (target, name) => {
            read++;
            return Reflect.get(target, name) as unknown;
          },
        });
      const running = Array.from({ length: 2 * waiting }, (_, at) => counted(member(`x${at}`, at, 1, { tenant: "x" })));
      const back = Array.from({ length: waiting }, (_, at) =>
        member(`y${at}`, 1e6 + at, 1, { tenant: "y", pausedMs: 1 }),
      );
      const plan = planWorkingSet([...running, ...back], 2.2 * waiting, 10);
      expect(plan.resume.length + plan.pause.length).toBeGreaterThan(waiting / 2);
      return read;
    };
    // The programs are sorted once: n log n.
    expect(looks(800)).toBeLessThan(2.5 * looks(400));
  });

  it("needs no room for a paused program without a call that waits", () => {
    const members = [member("run", 0, 500), member("away", 1, 400, { pausedMs: 2, waitsSinceMs: undefined })];
    expect(planWorkingSet([...members, member("here", 3, 300, { pausedMs: 4 })], 1000, 10).resume).toEqual([
      { id: "here", forced: false },
    ]);
  });

  it("settles: asked again and again about the same programs, it pauses none twice, and then nothing changes", () => {
    const any = fc.array(
      fc.record({
        tokens: fc.integer({ min: 1, max: 500 }),
        boundary: fc.boolean(),
        paused: fc.boolean(),
        tenant: fc.constantFrom("t", "u", "v"),
      }),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(any, (list) => {
        const members = list.map(({ tokens, boundary, paused, tenant }, at) =>
          member(`p${at}`, at, tokens, {
            tenant,
            atBoundary: boundary || paused,
            pausedMs: paused ? 0 : undefined,
          }),
        );
        const pauses: string[] = [];
        let changes = 1;
        for (let round = 0; changes > 0; round++) {
          expect(round).toBeLessThan(25);
          const plan = planWorkingSet(members, 1000, 10 + round);
          pauses.push(...plan.pause);
          for (const member of members) {
            if (plan.pause.includes(member.id)) member.pausedMs = 10;
            if (plan.resume.some((resumed) => resumed.id === member.id)) member.pausedMs = undefined;
          }
          changes = plan.pause.length + plan.resume.length;
        }
        expect(new Set(pauses).size).toBe(pauses.length);
        if (members.length > 0) expect(members.some((member) => member.pausedMs === undefined)).toBe(true);
      }),
    );
  });
});
