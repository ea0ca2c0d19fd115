// What the generated loads promise: lengths, shared beginnings, gaps, sub-agents that are waited for, and the same load from the same seed.
import { expect, test } from "vitest";
import { infiniteStudy, tokenHitRate } from "../../cache/sequence.ts";
import type { SimCall, Workload } from "../../types.ts";
import { openWorkload } from "../open.ts";
import { agentTrees } from "./agentTrees.ts";
import { longPrompts } from "./longPrompts.ts";
import { tenantChats } from "./tenantChats.ts";

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

function variationOf(times: readonly number[]): number {
  const gaps = times.slice(1).map((at, i) => at - times[i]!);
  const mean = meanOf(gaps);
  return Math.sqrt(meanOf(gaps.map((gap) => (gap - mean) ** 2))) / mean;
}

const roots = ({ calls }: Workload): SimCall[] => calls.filter(({ after }) => after.length === 0);

test("long prompts have the mean length, the shareable part and the gaps that were asked for", () => {
  const workload = longPrompts({ seed: 1, prompts: 6000, documents: 600, meanTokens: 15_000, sharedShare: 0.65 });
  const mean = meanOf(workload.calls.map(({ promptTokens }) => promptTokens));
  expect(Math.abs(mean / 15_000 - 1)).toBeLessThan(0.05);
  // A tenth of the prompts is the first about its document.
  const ideal = tokenHitRate(infiniteStudy(workload));
  expect(ideal).toBeGreaterThan(0.55);
  expect(ideal).toBeLessThan(0.66);
  expect(variationOf(workload.calls.map(({ delayMs }) => delayMs))).toBeCloseTo(1, 1);
});

test("bursts have the coefficient of variation that was asked for, and belong mostly to one tenant", () => {
  const workload = tenantChats({ seed: 2, chats: 8000, startCv: 3, sameTenant: 0.6 });
  const starts = roots(workload);
  const variation = variationOf(starts.map(({ delayMs }) => delayMs));
  expect(variation).toBeGreaterThan(2.6);
  expect(variation).toBeLessThan(3.4);
  const same = starts.filter(({ tenant }, i) => i > 0 && tenant === starts[i - 1]!.tenant).length / starts.length;
  expect(same).toBeGreaterThan(0.6);
  expect(workload.tenants).toBe(20);
});

test("a main thread goes on when all of its sub-agents have ended", () => {
  const workload = agentTrees({ seed: 3, runs: 60 });
  const joins = workload.calls.filter(({ after }) => after.length > 1);
  expect(joins.length).toBeGreaterThan(10);
  for (const { after, thread, program } of joins) {
    const [own, ...others] = after.map((index) => workload.calls[index]!);
    expect(own!.thread).toBe(thread);
    for (const other of others) {
      expect(other.then).toBe("end");
      expect(other.program).toBe(program);
      expect(other.thread).not.toBe(thread);
    }
  }
});

test("every prompt of a thread begins with the prompt before it and that one's answer", () => {
  const { calls, blockTokens } = agentTrees({ seed: 4, runs: 20 });
  const latest = new Map<number, SimCall>();
  for (const call of calls) {
    const before = latest.get(call.thread);
    if (before !== undefined) {
      const whole = [...before.blocks, ...(before.outputBlocks ?? [])];
      expect([...call.blocks.subarray(0, whole.length)]).toEqual(whole);
      expect(whole.length).toBe(Math.floor((before.promptTokens + before.outputTokens) / blockTokens));
    }
    latest.set(call.thread, call);
  }
});

test.each(["long-prompts", "agent-trees", "tenant-chats"])(
  "%s is opened by its name, and is a function of its seed",
  async (trace) => {
    const first = await openWorkload({ trace, seed: 5, limit: 20 });
    expect(await openWorkload({ trace, seed: 5, limit: 20 })).toEqual(first);
    expect((await openWorkload({ trace, seed: 6, limit: 20 })).calls).not.toEqual(first.calls);
  },
);
