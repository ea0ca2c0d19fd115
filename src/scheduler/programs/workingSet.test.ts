import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Member, planWorkingSet } from "./workingSet.ts";

function member(id: string, startedMs: number, contextTokens: number, more: Partial<Member> = {}): Member {
  return { id, startedMs, contextTokens, atBoundary: true, pausedMs: undefined, immuneUntilMs: 0, ...more };
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

  it("settles: asked again and again about the same programs, it pauses none twice, and then nothing changes", () => {
    const any = fc.array(
      fc.record({ tokens: fc.integer({ min: 1, max: 500 }), boundary: fc.boolean(), paused: fc.boolean() }),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(any, (list) => {
        const members = list.map(({ tokens, boundary, paused }, at) =>
          member(`p${at}`, at, tokens, { atBoundary: boundary || paused, pausedMs: paused ? 0 : undefined }),
        );
        const pauses: string[] = [];
        let changes = 1;
        for (let round = 0; changes > 0; round++) {
          expect(round).toBeLessThan(25);
          const plan = planWorkingSet(members, 1000, 10 + round);
          expect(plan.pause.length === 0 || plan.resume.length === 0).toBe(true);
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
