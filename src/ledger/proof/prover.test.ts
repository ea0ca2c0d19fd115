import { describe, expect, test } from "vitest";
import { LineshaftError } from "../../errors/index.ts";
import { dueProof, Prover } from "./prover.ts";
import type { ProofReport } from "./report.ts";

const at = (text: string) => new Date(`2026-11-${text}Z`);
const proof = (kind: ProofReport["kind"], text: string) => ({ kind, beganAt: at(text) });

describe("the proof that is due", () => {
  test.each([
    ["of a new ledger is of what is there", "03T12:00:00", [], "incremental"],
    [
      "after less than an hour is none",
      "03T12:59:59",
      [proof("whole", "03T03:00:00"), proof("incremental", "03T12:00:00")],
      undefined,
    ],
    [
      "after an hour is of what is new",
      "03T13:00:00",
      [proof("whole", "03T03:00:00"), proof("incremental", "03T12:00:00")],
      "incremental",
    ],
    ["after a whole proof within the hour is none", "03T03:40:00", [proof("whole", "03T03:00:05")], undefined],
    [
      "of the night is whole",
      "04T03:00:00",
      [proof("whole", "03T03:00:00"), proof("incremental", "04T02:59:00")],
      "whole",
    ],
    [
      "before the night's hour is not whole",
      "04T02:59:59",
      [proof("whole", "03T03:00:00"), proof("incremental", "04T02:30:00")],
      undefined,
    ],
    [
      "that was missed at night is made up for",
      "04T15:00:00",
      [proof("whole", "03T03:00:00"), proof("incremental", "04T14:59:00")],
      "whole",
    ],
    ["is whole where none was", "03T12:10:00", [proof("incremental", "03T12:00:00")], "whole"],
  ] as const)("%s", (_, now, newest, due) => {
    expect(dueProof(at(now), newest)).toBe(due);
  });
});

const report = (kind: ProofReport["kind"], beganAt: Date): ProofReport => ({
  kind,
  beganAt,
  endedAt: beganAt,
  compared: { settlements: 0, batches: 0, entries: 0, accounts: 0, budgets: 0, days: 0, suspense: 0 },
  discrepancyCount: 0,
  discrepancies: [],
});

/** A prover whose proofs are kept in a list. */
function prover(hold: () => Promise<() => Promise<void>>, kept: ProofReport[] = []) {
  const told: ProofReport[][] = [];
  const now = at("03T12:00:00");
  const made = new Prover({
    session: { hold },
    prove: async (kind) => {
      const of = report(kind, now);
      kept.push(of);
      return of;
    },
    newest: async () => [...kept],
    onProofs: (newest) => told.push(newest),
    now: () => now,
  });
  return { made, kept, told };
}

test("makes what is due under its lock, tells of it, and gives the lock back", async () => {
  let released = 0;
  const { made, kept, told } = prover(async () => async () => void released++);
  await made.look();
  expect(kept.map(({ kind }) => kind)).toEqual(["incremental"]);
  expect(told.map((newest) => newest.length)).toEqual([0, 1]);
  expect(released).toBe(1);
});

test("does nothing while another process proves", async () => {
  const { made, kept } = prover(() => Promise.reject(new LineshaftError({ code: "lock_taken", message: "Taken." })));
  await made.look();
  expect(kept).toEqual([]);
});

test("a proof that another process made meanwhile is not made again", async () => {
  const kept: ProofReport[] = [];
  const { made } = prover(async () => {
    kept.push(report("whole", at("03T12:00:00")));
    return async () => {};
  }, kept);
  await made.look();
  expect(kept.map(({ kind }) => kind)).toEqual(["whole"]);
});

test("a look that fails is repeated by the next one", async () => {
  let fails = true;
  const { made, kept } = prover(async () => {
    if (fails) throw new Error("away");
    return async () => {};
  });
  await made.look();
  expect(kept).toEqual([]);
  fails = false;
  await made.look();
  expect(kept).toHaveLength(1);
});
