// Every reader on small files of our own making (test/data/traces), and the exact facts of real traces where they are at hand.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { infiniteStudy, tokenHitRate } from "../cache/sequence.ts";
import { readAgentSessions, type AgentSession } from "./agentFiles.ts";
import { leadingEqual, sessionsToWorkload } from "./agentSessions.ts";
import { detectFormat } from "./detect.ts";
import { findTrace } from "./files.ts";
import { openWorkload } from "./open.ts";
import { openOptions } from "./options.ts";
import { headOf, scaleWorkload } from "./scale.ts";
import { sharedPrefix } from "./sharedPrefix.ts";

const data = (name: string) => resolve(import.meta.dirname, "../../../test/data/traces", name);
const folder = mkdtempSync(join(tmpdir(), "traces-"));
afterAll(() => rmSync(folder, { recursive: true }));
const written = (name: string, text: string | Buffer) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const brief = (calls: readonly { promptTokens: number; after: readonly number[]; delayMs: number; then: string }[]) =>
  calls.map((call) => [call.promptTokens, call.after, call.delayMs, call.then]);

describe("formats", () => {
  it.each([
    ["mooncake.jsonl", "mooncake"],
    ["sessions.jsonl", "agent-sessions"],
    ["dynamo.jsonl", "dynamo"],
    ["azure.csv", "azure"],
    ["tiny-rates.csv", "servegen"],
    ["calls.jsonl", "calls"],
  ])("%s is recognised as %s", async (file, format) => {
    expect(await detectFormat(data(file))).toBe(format);
  });

  it("says what it cannot read, and what to do", async () => {
    await expect(openWorkload({ trace: "/nowhere/trace.jsonl" })).rejects.toMatchObject({ code: "trace_missing" });
    await expect(openWorkload({ trace: written("x.txt", "hello\n") })).rejects.toMatchObject({ code: "trace_unknown" });
    const broken = written("broken.jsonl", '{"timestamp": 0, "input_length": 5, "hash_ids": "no"}\n');
    await expect(openWorkload({ trace: broken })).rejects.toThrow(/Line 1 of .*not a Mooncake row/);
    const cut = written(
      "cut.jsonl",
      '{"timestamp": 0, "input_length": 5, "output_length": 1, "hash_ids": [1]}\n{"timest\n',
    );
    await expect(openWorkload({ trace: cut })).rejects.toThrow(/Line 2 of .* is not JSON/);
    await expect(openWorkload({ trace: written("a.csv", "TIMESTAMP,Tokens\n"), format: "azure" })).rejects.toThrow(
      /no column/,
    );
    const badRow = written("b.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\nnever,1,2\n");
    await expect(openWorkload({ trace: badRow })).rejects.toThrow(/Line 2/);
    for (const format of ["agent-sessions", "dynamo", "calls"] as const) {
      await expect(openWorkload({ trace: data("mooncake.jsonl"), format })).rejects.toMatchObject({
        code: "trace_unreadable",
      });
    }
    await expect(openWorkload({ trace: data("azure.csv"), format: "servegen" })).rejects.toMatchObject({
      code: "trace_unreadable",
    });
  });
});

describe("readers", () => {
  it("Mooncake: absolute arrivals, chained blocks, packed or not", async () => {
    const packed = written(
      "m.jsonl.gz",
      gzipSync('{"timestamp": 5, "input_length": 9, "output_length": 0, "hash_ids": [3]}\n'),
    );
    expect((await openWorkload({ trace: packed })).calls[0]).toMatchObject({ delayMs: 5, outputTokens: 1 });
    const workload = await openWorkload({ trace: data("mooncake.jsonl") });
    expect([workload.blockCount, workload.blockTokens, workload.programs]).toEqual([6, 512, 5]);
    expect([...workload.calls[4]!.blocks]).toEqual([0, 1, 2, 5]);
    expect(infiniteStudy(workload)).toMatchObject({ hitBlocks: 2 + 3 + 3, totalBlocks: 14 });
  });

  it("agent sessions: gaps kept, sub-agents wait for their parent and are waited for", async () => {
    const sessions: AgentSession[] = [];
    for await (const session of readAgentSessions(data("sessions.jsonl"))) sessions.push(session);
    const workload = sessionsToWorkload(sessions, { meanStartGapS: 0, seed: 1 });
    expect(brief(workload.calls)).toEqual([
      [200, [], 0, "tool"],
      [330, [0], 3000, "tool"],
      [140, [1], 1000, "tool"],
      [270, [2], 2000, "end"],
      [470, [1, 3], 6000, "end"],
      [128, [], 0, "turn"],
      [250, [5], 700_000, "end"],
    ]);
    expect([workload.tenants, workload.programs, workload.threads]).toEqual([2, 2, 3]);
    // Equal ids in different sessions are different content, unless the system prompt is said to be shared.
    const distinct = (calls: readonly { blocks: Int32Array }[]) =>
      new Set(calls.flatMap((call) => [...call.blocks])).size;
    expect(distinct(workload.calls)).toBe(5 + 4 + 2 + 3);
    const shared = sessionsToWorkload(sessions, { meanStartGapS: 0, seed: 1, shareSystemPrompt: true });
    expect(distinct(shared.calls)).toBe(5 + 4 + 2 + 3 - 2);
    expect(Math.max(...shared.calls.flatMap((call) => [...call.blocks]))).toBeLessThan(shared.blockCount);
    const cut = sessionsToWorkload(sessions, {
      meanStartGapS: 9,
      seed: 1,
      maxGapS: 4,
      maxContextTokens: 400,
      shrink: 2,
    });
    expect(cut.notes.join(" ")).toMatch(/1 of 2 sessions exceed 400 tokens .* cut/);
    expect(brief(cut.calls)).toEqual([
      [64, [], 0, "turn"],
      [125, [0], 4000, "end"],
    ]);
  });

  it("compares run-length lists without expanding them", () => {
    expect(leadingEqual([1, 5], [1, 3, 4, 2, 9, 1])).toBe(5);
    expect(leadingEqual([1, 5], [1, 3, 5, 2])).toBe(3);
    expect(leadingEqual([], [1, 2])).toBe(0);
    expect(leadingEqual([2, 1], [1, 2])).toBe(0);
  });

  it("Dynamo: sessions with parents, tools, 64-bit hashes", async () => {
    const workload = await openWorkload({ trace: data("dynamo.jsonl") });
    expect(brief(workload.calls)).toEqual([
      [40, [], 0, "tool"],
      [32, [0], 1000, "end"],
      [60, [0, 1], 2000, "end"],
    ]);
    expect(workload.programs).toBe(1);
    expect([...workload.calls[2]!.blocks.subarray(0, 2)]).toEqual([...workload.calls[0]!.blocks.subarray(0, 2)]);
  });

  it("Azure: arrivals to the millisecond, nothing shared", async () => {
    const workload = await openWorkload({ trace: data("azure.csv") });
    expect(brief(workload.calls)).toEqual([
      [374, [], 0, "end"],
      [1100, [], 4315, "end"],
      [879, [], 4542, "end"],
    ]);
    expect(infiniteStudy(workload).hitBlocks).toBe(0);
  });

  it("ServeGen: counts, laws and lengths by client, lengths borrowed where none are published", async () => {
    const workload = await openWorkload({ trace: data("tiny-rates.csv"), durationS: 1200, seed: 3 });
    expect(workload.calls.length).toBeGreaterThan(60);
    expect(workload.calls.length).toBeLessThanOrEqual(60 + 30 + 12);
    expect(workload.tenants).toBe(3);
    expect(workload.notes[0]).toMatch(/without published lengths/);
    const image = workload.calls.filter((call) => call.promptTokens >= 640);
    expect(image.every((call) => call.outputTokens === 30)).toBe(true);
    expect(workload.calls.every((call, i) => i === 0 || call.delayMs >= workload.calls[i - 1]!.delayMs)).toBe(true);
    expect(await openWorkload({ trace: data("tiny-rates.csv"), durationS: 1200, seed: 3 })).toEqual(workload);
  });

  it("call log: any order of lines, threads by name, prompts by salted hashes", async () => {
    const workload = await openWorkload({ trace: data("calls.jsonl") });
    expect(brief(workload.calls)).toEqual([
      [40, [], 0, "tool"],
      [30, [0], 1000, "end"],
      [300, [], 3000, "end"],
      [80, [0, 1], 2300, "end"],
    ]);
    expect(workload.notes.join(" ")).toMatch(/mixes block sizes/);
    expect([...workload.calls[3]!.blocks.subarray(0, 2)]).toEqual([...workload.calls[0]!.blocks]);
  });
});

describe("generated and scaled loads", () => {
  it("a shared-prefix ladder repeats its shuffled set and starts a stage when the one before has ended", () => {
    const { workload, stageOf } = sharedPrefix({
      name: "t",
      groups: 2,
      promptsPerGroup: 2,
      sharedTokens: 200,
      questionTokens: 100,
      outputTokens: 5,
      stages: [
        { ratePerS: 4, durationS: 1, arrivals: "constant" },
        { ratePerS: 2, durationS: 2, arrivals: "poisson" },
      ],
      seed: 1,
    });
    expect([...stageOf]).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    expect(workload.calls[4]!.after).toEqual([0, 1, 2, 3]);
    expect([...workload.calls[4]!.blocks]).toEqual([...workload.calls[0]!.blocks]);
    expect(workload.blockCount).toBe(2 * 2 + 4);
  });

  it("copies share nothing and keep dependencies among themselves", async () => {
    const workload = await openWorkload({ trace: data("sessions.jsonl"), startGapS: 0 });
    const scaled = scaleWorkload(workload, { speed: 2, copies: 2, seed: 1 });
    expect(scaled.calls).toHaveLength(14);
    expect(scaled.calls[8]!.after).toEqual([7]);
    expect(scaled.calls[8]!.delayMs).toBe(1500);
    expect(new Set(scaled.calls.flatMap((call) => [...call.blocks])).size).toBe(2 * 14);
    expect(headOf(scaled, 3).calls).toHaveLength(3);
    expect(scaleWorkload(workload, {})).toBe(workload);
  });
});

describe("options of a load", () => {
  it("arrivals are scaled alone where gaps are to be kept: a session that is under way lasts as long as it did", async () => {
    const delays = async (keepGaps: boolean) => {
      const load = { trace: data("sessions.jsonl"), startGapS: 10, seed: 1 };
      const [as, scaled] = [await openWorkload(load), await openWorkload({ ...load, speed: 4, keepGaps })];
      return { as: as.calls, scaled: scaled.calls, notes: scaled.notes.join(" ") };
    };
    const { as, scaled, notes } = await delays(true);
    expect(scaled.map(({ delayMs }) => delayMs)).toEqual(
      as.map(({ delayMs, after }) => (after.length === 0 ? delayMs / 4 : delayMs)),
    );
    expect(as.filter(({ after, delayMs }) => after.length === 0 && delayMs > 0)).toHaveLength(1);
    expect(notes).toContain("gaps inside sessions as they were");
    const whole = await delays(false);
    expect(whole.scaled.map(({ delayMs }) => delayMs)).toEqual(as.map(({ delayMs }) => delayMs / 4));
  });

  it("tenants are those of the trace, or programs dealt in turn; copies have tenants of their own", async () => {
    const rows = ["a", "b", "a"].map((tenant, i) =>
      JSON.stringify({ timestamp: i, input_length: 600, output_length: 1, hash_ids: [i, i + 10], tenant }),
    );
    const trace = written("tenants.jsonl", `${rows.join("\n")}\n`);
    const tenantsOf = async (options: { tenants?: number; copies?: number }) => {
      const { calls, tenants, tenantNames } = await openWorkload({ trace, ...options });
      expect(tenantNames).toHaveLength(tenants);
      return calls.map(({ tenant }) => tenantNames[tenant]);
    };
    expect(await tenantsOf({})).toEqual(["a", "b", "a"]);
    expect(await tenantsOf({ tenants: 2 })).toEqual(["tenant 1", "tenant 2", "tenant 1"]);
    expect((await tenantsOf({ copies: 2 })).slice(3)).toEqual(["a, copy 2", "b, copy 2", "a, copy 2"]);
  });

  it("a call log's class of service, priority and deadline are its calls'", async () => {
    const call = {
      schema: "lineshaft.call.v1",
      at: "2026-01-01T00:00:00Z",
      tenant: "a",
      promptTokens: 9,
      outputTokens: 2,
    };
    const rows = [
      { ...call, totalMs: 5, batch: true, priority: -3, deadlineMs: 800 },
      { ...call, totalMs: 5 },
    ];
    const trace = written("classes.jsonl", rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const { calls } = await openWorkload({ trace });
    expect(calls[0]).toMatchObject({ batch: true, priority: -3, deadlineMs: 800 });
    expect(calls[1]).not.toHaveProperty("batch");
  });

  it("a command's own options come before those of a description, and a wrong one is named", () => {
    const described = { trace: "described", startGapS: 5, tenants: 2 };
    expect(openOptions({ trace: "own", startGapS: undefined }, described)).toEqual({
      trace: "own",
      startGapS: 5,
      tenants: 2,
    });
    expect(() => openOptions({})).toThrow(/No trace is named/);
    expect(() => openOptions({ maxGapS: -1 }, described)).toThrow(/maxGapS/);
  });
});

const dynamo = findTrace("dynamo-agent-trace/pi_request_trace.jsonl.gz");
describe.skipIf(!dynamo)("real Dynamo trace (needs LINESHAFT_TRACES)", () => {
  it("has 17 calls in 5 threads and an ideal hit rate of 71.7 %", async () => {
    const workload = await openWorkload({ trace: dynamo! });
    expect([workload.calls.length, workload.threads]).toEqual([17, 5]);
    expect(tokenHitRate(infiniteStudy(workload))).toBeCloseTo(0.717, 3);
  });
});
