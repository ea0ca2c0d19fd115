// How many chips serve 63 trillion tokens a day, under which placement policy? The whole day is too large to simulate. Slices of it
// are simulated, and this program shows how they compose. docs/internet-scale.md explains and quotes its output.
//
//   node bench/internetScale.ts [--json FILE]
//
// Three steps: (1) for each slice of real traffic and each policy, the smallest cell of 8-chip replicas that keeps the service
// levels; (2) how the size grows when 2, 4, 8 copies of a slice are pooled; (3) the sum over a mix, times the daily peak.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { makePolicy } from "../src/scheduler/index.ts";
import { parseFleet, parsePlan, simulate, smallestFleet } from "../src/simulator/index.ts";
import { infiniteStudy, tokenHitRate } from "../src/simulator/cache/sequence.ts";
import { readLines, resolveTrace } from "../src/simulator/traces/files.ts";
import { openWorkload, type OpenOptions } from "../src/simulator/traces/open.ts";
import { scaleWorkload } from "../src/simulator/traces/scale.ts";
import type { Workload } from "../src/simulator/types.ts";
import { heading, percent, printTable } from "./simulator/print.ts";

const tokensPerDay = 63e12;
const policies = ["least-delay", "two-tier", "lmetric", "llm-d", "consistent-hash", "round-robin"] as const;
const profile = "h100-llama-3.1-70b-tp8";
const hostTier = { tier: "host" as const, capacityTokens: 6_000_000, latencyMs: 1, msPerToken: 0.0066 };

interface Slice {
  name: string;
  open: OpenOptions;
  /** Levels that suit the slice: long prompts cannot have their first token as soon as short ones. */
  slo: { ttftMs: number; timePerTokenMs: number };
  /** Share of a day's tokens, for the mix. */
  share: number;
}

const slices: Slice[] = [
  {
    name: "chat with long context (Mooncake conversation)",
    open: { trace: "mooncake/conversation_trace.jsonl", limit: 6000, copies: 2 },
    slo: { ttftMs: 5000, timePerTokenMs: 100 },
    share: 0.35,
  },
  {
    name: "coding agents (Claude Code sessions, gaps cut to 10 min)",
    open: {
      trace: "claude-code-kvct/traces.compact.jsonl",
      limit: 150,
      startGapS: 8,
      maxGapS: 600,
      maxContextTokens: 200_000,
    },
    slo: { ttftMs: 5000, timePerTokenMs: 100 },
    share: 0.5,
  },
  {
    name: "API calls (ServeGen m-large, no shared prefixes)",
    open: { trace: "servegen/m-large-rates.csv", fromS: 36_000, durationS: 600, limit: 12_000 },
    slo: { ttftMs: 2000, timePerTokenMs: 100 },
    share: 0.15,
  },
];

const { values } = parseArgs({ options: { json: { type: "string" } } });

/**
 * Tokens asked for a second in the middle of a run: between the 10th and the 90th percentile of the times at which calls were
 * sent, so that neither the ramp of a closed loop nor the tail of its longest session counts as demand.
 */
function demand(workload: Workload, sentMs: Float64Array): number {
  const sorted = sentMs.toSorted();
  const from = sorted[Math.floor(sorted.length * 0.1)]!;
  const to = sorted[Math.floor(sorted.length * 0.9)]!;
  let tokens = 0;
  for (const call of workload.calls) {
    const at = sentMs[call.index]!;
    if (at >= from && at < to) tokens += call.promptTokens + call.outputTokens;
  }
  return (tokens / (to - from)) * 1000;
}

async function size(workload: Workload, slo: Slice["slo"], policy: string) {
  const request = parsePlan({
    slo,
    policy,
    goodput: 0.95,
    maxReplicas: 256,
    candidates: [{ name: "cell", profile, tiers: [hostTier] }],
  });
  const answer = await smallestFleet(workload, request);
  if (answer.summary === undefined) return { policy, failed: answer.failed };
  const fleet = parseFleet({ slo, pools: [{ name: "cell", profile, replicas: answer.replicas, tiers: [hostTier] }] });
  const perS = demand(workload, simulate(workload, fleet, makePolicy(policy), { seed: 1 }).records.sentMs);
  return {
    policy,
    replicas: answer.replicas,
    chips: answer.chips,
    tokensPerS: perS,
    tokensPerChipDay: (perS * 86_400) / answer.chips,
    hits: answer.summary.tokenHitRate,
    goodput: answer.summary.goodput,
    busy: answer.summary.utilisation,
  };
}

const chipsText = (chips: number): string => (Number.isFinite(chips) ? Math.round(chips).toLocaleString("en") : "none");
const billions = (value: number): string => (value / 1e9).toFixed(3);

heading("1. The smallest cell for each slice and policy (95 % of calls within the slice's service levels)");
const sized: { slice: Slice; ideal: number; results: Awaited<ReturnType<typeof size>>[] }[] = [];
for (const slice of slices) {
  const workload = await openWorkload(slice.open);
  const results = [];
  for (const policy of policies) results.push(await size(workload, slice.slo, policy));
  const ideal = tokenHitRate(infiniteStudy(workload));
  sized.push({ slice, ideal, results });
  console.log(
    `\n${slice.name}: ${workload.calls.length} calls, first token within ${slice.slo.ttftMs} ms, ${slice.slo.timePerTokenMs} ms a token, ideal hits ${percent(ideal)}`,
  );
  printTable(
    ["policy", "replicas", "chips", "tokens/s", "10^9 tokens per chip and day", "hits", "goodput", "busy"],
    results.map((r) =>
      r.failed === undefined
        ? [
            r.policy,
            r.replicas!,
            r.chips!,
            Math.round(r.tokensPerS!),
            billions(r.tokensPerChipDay!),
            percent(r.hits!),
            percent(r.goodput!),
            percent(r.busy!),
          ]
        : [r.policy, "none", "none", "-", "-", "-", "-", "-"],
    ),
  );
  for (const r of results) if (r.failed !== undefined) console.log(`${r.policy}: ${r.failed}`);
}

heading("2. How cells compose: copies of the chat slice pooled, placed by least-delay");
const base = await openWorkload({ ...slices[0]!.open, limit: 1500, copies: 1 });
const pooled = [];
for (const copies of [1, 2, 4, 8]) {
  const workload = scaleWorkload(base, { copies, seed: 1, shiftMs: 120_000 });
  const answer = await size(workload, slices[0]!.slo, "least-delay");
  pooled.push({ copies, ...answer, perCopy: answer.replicas! / copies });
}
printTable(
  ["copies", "replicas", "replicas a copy", "hits", "busy"],
  pooled.map((row) => [row.copies, row.replicas!, row.perCopy.toFixed(2), percent(row.hits!), percent(row.busy!)]),
);

heading("3. Demand over a day");
const peaks = [];
for (const model of ["m-large", "m-mid", "m-small", "deepseek-r1"]) peaks.push({ model, ...(await peak(model)) });
printTable(
  ["model", "peak hour / mean hour", "hours"],
  peaks.map((row) => [row.model, row.ratio.toFixed(2), row.hours]),
);
const peakFactor = peaks.find((row) => row.model === "m-large")!.ratio;

heading(`4. ${tokensPerDay / 1e12} trillion tokens a day`);
const mixed = policies.map((policy) => {
  const chipsBySlice = sized.map(({ slice, results }) => {
    const found = results.find((r) => r.policy === policy)!;
    return found.failed === undefined ? (tokensPerDay * slice.share) / found.tokensPerChipDay! : NaN;
  });
  const mean = chipsBySlice.reduce((a, b) => a + b, 0);
  return { policy, chipsBySlice, mean, peak: mean * peakFactor };
});
printTable(
  [
    "policy",
    ...slices.map((slice) => `${percent(slice.share, 0)} ${slice.name.split(" (")[0]!}`),
    "chips at mean load",
    "chips at the peak hour",
    "against least-delay",
  ],
  mixed.map((row) => [
    row.policy,
    ...[...row.chipsBySlice, row.mean, row.peak].map(chipsText),
    Number.isFinite(row.mean) ? `${(row.mean / mixed[0]!.mean).toFixed(2)}x` : "no size does",
  ]),
);
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify({ sized, pooled, peaks, mixed }, null, 2)}\n`);

/** Busiest hour of all clients together over the mean hour. */
async function peak(model: string): Promise<{ ratio: number; hours: number }> {
  const hours = new Map<number, number>();
  let first = true;
  for await (const line of readLines(resolveTrace(`servegen/${model}-rates.csv`))) {
    if (first) {
      first = false;
      continue;
    }
    const [, start, rate] = line.split(",");
    const hour = Math.floor(Number(start) / 3600);
    hours.set(hour, (hours.get(hour) ?? 0) + Number(rate));
  }
  const rates = [...hours.values()];
  const mean = rates.reduce((a, b) => a + b, 0) / rates.length;
  return { ratio: Math.max(...rates) / mean, hours: rates.length };
}
