// Results for a terminal: aligned columns, no colour.
import type { FittedProfile, MeasuredRow } from "../calibrate.ts";
import type { Plan } from "../plan.ts";
import type { Experiment } from "../run/experiment.ts";
import type { RunSummary } from "./summary.ts";

/** One table a load, and what the sampled runner-ups would have cost. */
export function simulateText(experiment: Experiment): string {
  const { workload, fleet } = experiment;
  const lines = [
    `${workload.name}: ${workload.calls} calls on ${fleet.replicas.length} replicas; ideal token hit rate ${idealText(workload)}`,
    ...new Set(workload.notes),
  ];
  for (const load of experiment.loads) {
    const rows = experiment.points
      .filter((point) => point.load === load)
      .map(({ policy, summary: s }) => [
        policy,
        percent(s.tokenHitRate),
        ms(s.ttftMs.mean),
        ms(s.ttftMs.p99),
        `${s.timePerTokenMs.mean.toFixed(1)} ms`,
        percent(s.goodput),
        s.outputTokensPerSecond.toFixed(0),
        s.fairness.toFixed(3),
        percent(s.utilisation),
        s.chipHours.toFixed(1),
        s.costPerMillionTokens.toFixed(3),
      ]);
    const header = [
      "policy",
      "hits",
      "TTFT",
      "p99",
      "per token",
      "goodput",
      "out tok/s",
      "fairness",
      "busy",
      "chip-hours",
      `${fleet.currency}/M tokens`,
    ];
    lines.push("", `load ${load}`, columns([header, ...rows]));
    for (const { policy, summary } of experiment.points.filter((point) => point.load === load)) {
      for (const store of summary.stores ?? [])
        lines.push(
          `${policy}: ${percent(store.fetchedTokens / summary.promptTokens)} of prompt tokens came from ${store.name}, which holds ${millions(store.heldTokens)} of ${millions(store.capacityTokens)} tokens and evicted ${millions(store.evictedTokens)}`,
        );
      const { refused } = summary;
      if (refused > 0) lines.push(`${policy}: ${refused} calls were refused: ${refusalReasons(summary)}`);
      lines.push(...tenantLines(policy, summary));
      if (summary.replicas === undefined) continue;
      const { mean, peakReady } = summary.replicas;
      lines.push(
        `${policy}: ${mean.toFixed(1)} replicas paid for on average, at most ${peakReady} of scaled pools at once`,
      );
    }
  }
  for (const [policy, asked] of Object.entries(experiment.counterfactuals)) {
    if (asked.length === 0) continue;
    const right = asked.filter((c) => c.runnerUpTtftMs - c.ttftMs + c.othersTtftMs >= 0).length;
    const own = asked.reduce((sum, c) => sum + c.runnerUpTtftMs - c.ttftMs, 0) / asked.length;
    lines.push(
      "",
      `${policy}: of ${asked.length} sampled decisions ${right} were no worse than their runner-up; the runner-up would have cost the call ${signed(own)} on average`,
    );
  }
  return lines.join("\n");
}

/** Ideal hit rates, two decimals: with what outputs leave in cache, and by prompts alone. */
export function idealText({
  idealTokenHitRate,
  idealTokenHitRateOfPrompts,
  tellsOutputs,
}: Experiment["workload"]): string {
  const of = (share: number) => `${(share * 100).toFixed(2)} %`;
  if (!tellsOutputs)
    return `${of(idealTokenHitRate)} (the trace does not tell what outputs leave in cache, so they are not reused)`;
  return `${of(idealTokenHitRate)} with reusable outputs, as simulated, ${of(idealTokenHitRateOfPrompts)} by prompts alone`;
}

/** Why calls were refused: the number of each reason; empty where none was refused. */
export function refusalReasons({ refusals }: RunSummary): string {
  return Object.entries(refusals)
    .map(([code, count]) => `${count} ${code}`)
    .join(", ");
}

/** Tenants shown in full; of more, the range is told, and JSON has them all. */
const tenantsShown = 12;

/** Service by tenant: a table of few tenants, the range of many. */
function tenantLines(policy: string, { tenants }: RunSummary): string[] {
  if (tenants.length < 2) return [];
  if (tenants.length > tenantsShown) {
    const services = tenants.map(({ serviceTokens }) => serviceTokens).toSorted((a, b) => a - b);
    const [least, middle, most] = [services[0]!, services[services.length >> 1]!, services.at(-1)!];
    return [
      `${policy}: service of ${tenants.length} tenants ${thousands(least)} to ${thousands(most)} tokens, median ${thousands(middle)}`,
    ];
  }
  const rows = tenants.map(({ name, calls, served, serviceTokens, ttftMs, goodput }) => [
    name,
    `${served} of ${calls}`,
    thousands(serviceTokens),
    ms(ttftMs.mean),
    ms(ttftMs.p99),
    percent(goodput),
  ]);
  return [`${policy}, by tenant`, columns([["tenant", "served", "service", "TTFT", "p99", "goodput"], ...rows])];
}

/** Every measured row beside the fitted profile's time for it. */
export function calibrateText({ rows, error, profile }: FittedProfile): string {
  const header = ["measured", "ms", "profile says", "error"];
  const lines = rows.map(({ row, predictedMs }) => [
    rowText(row),
    row.ms.toFixed(1),
    predictedMs.toFixed(1),
    percent(predictedMs / row.ms - 1),
  ]);
  const { step, callOverheadMs } = profile;
  return [
    columns([header, ...lines]),
    "",
    `Mean error ${percent(error)}. A step takes ${step.baseMs.toFixed(2)} ms, ${step.tokenMs.toFixed(4)} ms a token beyond ${step.freeTokens}, ` +
      `${step.sequenceMs.toFixed(3)} ms a sequence; a call ${callOverheadMs.toFixed(1)} ms.`,
  ].join("\n");
}

function rowText(row: MeasuredRow): string {
  if (row.kind === "prefill") return `prompt of ${row.promptTokens}`;
  const batch = `${row.batch} decoding at ${Math.round(row.contextTokens)}`;
  return row.kind === "decode" ? `a token, ${batch}` : `prompt of ${row.promptTokens}, ${batch}`;
}

/** The recommended fleet, the others, and what moves the answer. */
export function planText(plan: Plan): string {
  const { currency } = plan.request;
  const best = plan.answers[0]!;
  const lines: string[] = [];
  if (best.failed === undefined) {
    const split =
      best.prefillReplicas > 0
        ? ` (${best.prefillReplicas} prefill, ${best.replicas - best.prefillReplicas} decode)`
        : "";
    lines.push(
      `Cheapest: ${best.candidate}, ${best.replicas} replicas${split}, ${best.chips} chips, ${best.pricePerHour.toFixed(2)} ${currency}/h`,
    );
  } else lines.push("No candidate meets the service levels.");
  const rows = plan.answers.map((answer) =>
    answer.failed === undefined
      ? [
          answer.candidate,
          String(answer.replicas),
          String(answer.chips),
          answer.pricePerHour.toFixed(2),
          percent(answer.summary!.goodput),
          ms(answer.summary!.ttftMs.p90),
          `${answer.summary!.timePerTokenMs.p90.toFixed(1)} ms`,
          percent(answer.summary!.tokenHitRate),
        ]
      : [answer.candidate, "-", "-", "-", "-", "-", "-", "-"],
  );
  lines.push(
    "",
    columns([
      ["candidate", "replicas", "chips", `${currency}/h`, "goodput", "p90 TTFT", "p90 per token", "hits"],
      ...rows,
    ]),
  );
  for (const answer of plan.answers)
    if (answer.failed !== undefined) lines.push(`${answer.candidate}: ${answer.failed}`);
  if (plan.sensitivity.length > 0) {
    const changes = plan.sensitivity.map((s) =>
      s.failed === undefined
        ? [s.change, String(s.replicas), s.pricePerHour.toFixed(2), `${s.relative.toFixed(2)}x`]
        : [s.change, "-", "-", s.failed],
    );
    lines.push("", "If", columns([["", "replicas", `${currency}/h`, "relative"], ...changes]));
  }
  lines.push("", `${plan.simulations} simulations.`);
  return lines.join("\n");
}

/** First column to the left, the others to the right. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) =>
    Math.max(...rows.map((row) => (row[column]!.length > 60 ? 0 : row[column]!.length))),
  );
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

const thousands = (tokens: number): string => `${(tokens / 1e3).toFixed(1)}k`;
const millions = (tokens: number): string => `${(tokens / 1e6).toFixed(1)}M`;
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
const ms = (value: number): string => (value >= 10_000 ? `${(value / 1000).toFixed(1)} s` : `${value.toFixed(0)} ms`);
const signed = (value: number): string => `${value < 0 ? "-" : "+"}${ms(Math.abs(value))}`;
