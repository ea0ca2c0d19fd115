// Experiments, runner-ups, reports, plans and the two commands, on small load.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makePolicy, type Policy } from "../../scheduler/index.ts";
import { runPlanCommand, runSimulateCommand } from "../commands.ts";
import { profileSchema } from "../engine/profile.ts";
import { parseFleet } from "../fleet.ts";
import { loadProfile, profileNames } from "../profiles/index.ts";
import { lineChart } from "../report/svg.ts";
import { distribution, jainIndex, percentile } from "../report/statistics.ts";
import { WorkloadBuilder } from "../traces/builder.ts";
import { counterfactuals } from "./counterfactual.ts";
import { simulate } from "./simulation.ts";

const folder = mkdtempSync(join(tmpdir(), "simulator-"));
afterAll(() => rmSync(folder, { recursive: true }));
const sessions = resolve(import.meta.dirname, "../../../test/data/traces/sessions.jsonl");
const raw = resolve(import.meta.dirname, "../../../test/data/traces/kv-cache-tester.json");
const mooncake = resolve(import.meta.dirname, "../../../test/data/traces/mooncake.jsonl");
const profile = profileSchema.parse({
  name: "test",
  model: "toy",
  chip: "toy",
  step: { baseMs: 10, tokenMs: 0.1 },
  maxBatchTokens: 512,
  maxSequences: 16,
  kvCapacityTokens: 20_000,
  kvBytesPerToken: 1000,
  pricePerChipHour: 2,
  source: "made up for tests",
});

describe("runner-ups", () => {
  it("a decision is worth what the run with the other choice shows", () => {
    const builder = new WorkloadBuilder("two calls", 100);
    const blocks = Int32Array.from({ length: 40 }, () => builder.freshBlock());
    builder.add({ program: "a", promptTokens: 4000, outputTokens: 2, blocks, delayMs: 0 });
    builder.add({ program: "a", promptTokens: 4000, outputTokens: 2, blocks, delayMs: 5000 });
    const workload = builder.build();
    const fleet = parseFleet({ pools: [{ name: "a", profile, replicas: 2 }] });
    const baseline = simulate(workload, fleet, makePolicy("two-tier"));
    const [asked] = counterfactuals(baseline, () => makePolicy("two-tier"), { calls: [1] });
    expect(asked!.chosen).not.toBe(asked!.runnerUp);
    expect([asked!.cachedTokens, asked!.runnerUpCachedTokens]).toEqual([3999, 0]);
    expect(asked!.computedTokens).toBe(3999);
    // Eight chunks of 512 at 10 + 51.2 ms, less what is cached.
    expect(asked!.runnerUpTtftMs - asked!.ttftMs).toBeCloseTo(8 * 10 + 400 - 10.1, 6);
    expect(asked!.othersTtftMs).toBe(0);
    expect(counterfactuals(baseline, () => makePolicy("two-tier"), { samples: 5 })).toHaveLength(2);
  });

  it("are not asked where there was none", () => {
    const builder = new WorkloadBuilder("one", 100);
    builder.add({ program: "a", promptTokens: 10, outputTokens: 1, blocks: new Int32Array(0), delayMs: 0 });
    const fleet = parseFleet({ pools: [{ name: "a", profile, replicas: 1 }] });
    const alone: () => Policy = () => makePolicy("two-tier");
    expect(counterfactuals(simulate(builder.build(), fleet, alone()), alone, { samples: 3 })).toEqual([]);
  });
});

describe("simulate command", () => {
  it("runs policies over loads and writes JSON and one self-contained page", async () => {
    const seen: number[] = [];
    const { result, text, files } = await runSimulateCommand({
      trace: sessions,
      fleet: { pools: [{ name: "a", profile, replicas: 2 }] },
      policies: ["two-tier", "round-robin"],
      loads: [1, 2],
      counterfactuals: 2,
      maxGapS: 10,
      json: join(folder, "r.json"),
      html: join(folder, "r.html"),
      onProgress: (_what, share) => void seen.push(share),
    });
    expect(result.points.map((point) => [point.policy, point.load])).toEqual([
      ["two-tier", 1],
      ["round-robin", 1],
      ["two-tier", 2],
      ["round-robin", 2],
    ]);
    expect(result.counterfactuals["two-tier"]).toHaveLength(2);
    expect(seen.at(-1)).toBe(1);
    expect(seen.every((share, i) => i === 0 || share >= seen[i - 1]! - 1e-9)).toBe(true);
    expect(files).toEqual([join(folder, "r.json"), join(folder, "r.html")]);
    expect(JSON.parse(readFileSync(files[0]!, "utf8")).points).toHaveLength(4);
    const page = readFileSync(files[1]!, "utf8");
    expect(page).not.toMatch(/<script|src=|href=|url\(|@import/);
    expect(page.match(/<svg/g)!.length).toBe(8);
    expect(page).toContain("What the runner-up would have cost");
    expect(text).toContain("load 2");
  });

  it("says which ideal counts outputs, what each tenant got, and which calls were refused why", async () => {
    const fleet = { pools: [{ name: "a", profile, replicas: 1, kvCapacityTokens: 300 }] };
    const run = { trace: raw, fleet, policies: ["least-delay"], loads: [1], counterfactuals: 0, maxGapS: 10 };
    const { result, text } = await runSimulateCommand({ ...run, copies: 2, html: join(folder, "t.html") });
    const { workload, points } = result;
    expect(workload.idealTokenHitRate).toBeGreaterThan(workload.idealTokenHitRateOfPrompts);
    expect(text).toMatch(
      /ideal token hit rate \d+\.\d\d % with reusable outputs, as simulated, \d+\.\d\d % by prompts alone/,
    );
    const { refused, refusals, tenants, served } = points[0]!.summary;
    expect(refusals).toEqual({ too_long: refused });
    expect(refused).toBeGreaterThan(0);
    expect(text).toContain(`least-delay: ${refused} calls were refused: ${refused} too_long`);
    expect(tenants.map(({ name }) => name)).toEqual(["trace_0001", "trace_0001, copy 2"]);
    expect(tenants.reduce((sum, tenant) => sum + tenant.served, 0)).toBe(served);
    expect(text).toMatch(/least-delay, by tenant\ntenant +served +service/);
    expect(readFileSync(join(folder, "t.html"), "utf8")).toContain("Tenants at load 1");
    const open = await runSimulateCommand({ ...run, trace: mooncake });
    expect(open.text).toContain("the trace does not tell what outputs leave in cache");
  });

  it("takes the load from the fleet's description where the command names none", async () => {
    const described = (workload?: object) => {
      return { pools: [{ name: "a", profile, replicas: 1 }], ...(workload && { workload }) };
    };
    const run = { policies: ["random"], loads: [1], counterfactuals: 0 };
    const { result } = await runSimulateCommand({
      ...run,
      fleet: described({ trace: sessions, maxContextTokens: 400 }),
    });
    expect(result.workload.calls).toBe(2);
    await expect(runSimulateCommand({ ...run, fleet: described() })).rejects.toMatchObject({
      code: "workload_invalid",
    });
    await expect(runSimulateCommand({ ...run, fleet: described({ trcae: "x" }) })).rejects.toMatchObject({
      code: "fleet_invalid",
    });
  });

  it("names what is wrong", async () => {
    const fleet = { pools: [{ name: "a", profile, replicas: 1 }] };
    await expect(runSimulateCommand({ trace: sessions, fleet, policies: ["best"] })).rejects.toMatchObject({
      code: "policy_unknown",
    });
    await expect(runSimulateCommand({ trace: sessions, fleet, policies: ["random"], limit: 0 })).rejects.toMatchObject({
      code: "workload_empty",
    });
    await expect(runSimulateCommand({ trace: sessions, fleet: "/none.yaml", policies: [] })).rejects.toMatchObject({
      code: "fleet_unreadable",
    });
    const where = { trace: sessions, fleet, policies: ["random"], loads: [1], counterfactuals: 0 };
    await expect(runSimulateCommand({ ...where, json: "/nowhere/x.json" })).rejects.toMatchObject({
      code: "report_unwritable",
    });
  });

  it("reads fleets from YAML", async () => {
    const path = join(folder, "fleet.yaml");
    writeFileSync(
      path,
      "pools:\n  - {name: cpu, profile: cpu-smollm2-135m, replicas: 2}\nqueue: fair\nmaxInFlightPerEndpoint: 4\n",
    );
    const { result } = await runSimulateCommand({ trace: mooncake, fleet: path, policies: ["random"], loads: [1] });
    expect(result.points[0]!.summary.served).toBe(5);
  });
});

describe("plan command", () => {
  it("finds the fewest replicas of each candidate, orders by price, and says what moves the answer", async () => {
    const builder: object = {
      slo: { ttftMs: 400, timePerTokenMs: 40 },
      goodput: 0.9,
      maxReplicas: 8,
      candidates: [
        { name: "dear", profile, pricePerChipHour: 50 },
        { name: "cheap", profile },
        { name: "slow", profile: { ...profile, step: { baseMs: 500, tokenMs: 5 } } },
      ],
    };
    const { result, text } = await runPlanCommand({
      trace: mooncake,
      copies: 6,
      plan: builder,
      json: join(folder, "p.json"),
    });
    expect(result.answers.map((answer) => answer.candidate)).toEqual(["cheap", "dear", "slow"]);
    const [cheap, dear, slow] = result.answers;
    expect(cheap!.replicas).toBe(dear!.replicas);
    expect(dear!.pricePerHour / cheap!.pricePerHour).toBeCloseTo(25, 9);
    expect(slow!.failed).toMatch(/time to first token|time per token/);
    expect(cheap!.summary!.goodput).toBeGreaterThanOrEqual(0.9);
    expect(result.sensitivity.length).toBeGreaterThan(5);
    expect(text).toContain("Cheapest: cheap");
  });

  it("names what is wrong with a plan", async () => {
    await expect(runPlanCommand({ trace: mooncake, plan: { candidates: [] } })).rejects.toThrow(/candidates/);
    await expect(
      runPlanCommand({ trace: mooncake, plan: { policy: "x", candidates: [{ name: "a", profile }] } }),
    ).rejects.toMatchObject({ code: "policy_unknown" });
    await expect(runPlanCommand({ trace: mooncake, plan: "/none.yaml" })).rejects.toMatchObject({
      code: "plan_unreadable",
    });
  });
});

describe("profiles", () => {
  it("all built-in ones are valid and say where they come from", () => {
    expect(profileNames().length).toBeGreaterThanOrEqual(5);
    for (const name of profileNames()) expect(loadProfile(name).source.length).toBeGreaterThan(20);
  });
});

describe("statistics and charts", () => {
  it("percentiles interpolate, Jain's index is 1 for equals", () => {
    expect(percentile([1, 2, 3, 4], 50)).toBe(2.5);
    expect(distribution([3, 1, NaN, 2])).toMatchObject({ count: 3, mean: 2, p50: 2, max: 3 });
    expect(jainIndex([5, 5, 5])).toBe(1);
    expect(jainIndex([1, 0, 0, 0])).toBe(0.25);
  });

  it("charts escape names, take single points and empty data", () => {
    const options = { title: "a < b", xLabel: "x", yLabel: "y", logFrom: 20 };
    const svg = lineChart([{ name: '<i>"', points: [{ x: 1, y: 3 }] }], options);
    expect(svg).toContain("a &lt; b");
    expect(svg).toContain("&lt;i&gt;&quot;");
    expect(svg).not.toContain("NaN");
    expect(lineChart([], options)).toContain("nothing to show");
    const wide = lineChart([{ name: "s", points: [1, 10, 1000].map((y, x) => ({ x, y })) }], options);
    expect(wide).toContain("(log)");
  });
});
