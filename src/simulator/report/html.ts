// The report of an experiment as one HTML file that needs nothing else: plots over load, tables with every number that the plots
// show, what runner-ups would have cost, and the definitions of all figures.
import type { Experiment } from "../run/experiment.ts";
import { compact, escape, legend, lineChart, type ChartOptions } from "./svg.ts";
import { style } from "./style.ts";
import type { RunSummary } from "./summary.ts";
import { idealText, refusalReasons } from "./text.ts";

/** Renders the page. The same experiment gives the same bytes. */
export function htmlReport(experiment: Experiment): string {
  const { workload, fleet } = experiment;
  const chips = fleet.replicas.reduce((sum, replica) => sum + replica.chips, 0);
  const title = `${workload.name} on ${fleet.replicas.length} replicas`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(title)} – Lineshaft simulation</title>
<style>${style}</style>
</head>
<body>
<main>
<header>
<h1>${escape(title)}</h1>
<p>${compact(workload.calls)} calls of ${compact(workload.programs)} programs, ${compact(workload.meanPromptTokens)} prompt and ${compact(workload.meanOutputTokens)} output tokens on average, placed by the gateway's own policy code on ${chips} modelled chips. Seed ${experiment.seed}.</p>
${[...new Set(workload.notes)].map((note) => `<p class="note">${escape(note)}</p>`).join("\n")}
</header>
${findings(experiment)}
<section>
<h2>Over load</h2>
<p>Load 1 is the workload as recorded; 2 sends it twice as fast.</p>
${legend(experiment.policies)}
<div class="charts">
${charts(experiment).join("\n")}
</div>
</section>
<section>
<h2>Every number</h2>
${experiment.loads.map((load) => loadTable(experiment, load)).join("\n")}
</section>
${tenantSection(experiment)}
${counterfactualSection(experiment)}
<section>
<h2>Fleet</h2>
${fleetTable(experiment)}
${fleet.stores.map((store) => `<p>${escape(describeStore(store))}</p>`).join("\n")}
<p>Caches are known to the router: ${escape(describeKnowledge(experiment))}. Service levels: first token within ${compact(fleet.slo.ttftMs)} ms, ${compact(fleet.slo.timePerTokenMs)} ms a token.</p>
</section>
<section>
<h2>Definitions</h2>
<dl>${Object.entries(experiment.definitions)
    .map(([name, text]) => `<dt>${escape(name)}</dt><dd>${escape(text)}</dd>`)
    .join("")}</dl>
</section>
</main>
</body>
</html>
`;
}

/** The first answer a planner looks for: which policy, by how much, at the load as recorded. */
function findings(experiment: Experiment): string {
  const load = nearestToOne(experiment.loads);
  const at = experiment.points.filter((point) => point.load === load);
  const best = at.reduce((a, b) =>
    b.summary.goodput > a.summary.goodput ||
    (b.summary.goodput === a.summary.goodput && b.summary.ttftMs.mean < a.summary.ttftMs.mean)
      ? b
      : a,
  );
  const worst = at.reduce((a, b) => (b.summary.ttftMs.mean > a.summary.ttftMs.mean ? b : a));
  const s = best.summary;
  const lines = [
    figure("best at load " + compact(load), best.policy, "by goodput, then by mean time to first token"),
    figure("goodput", percent(s.goodput), `${compact(s.goodputPerSecond)} calls/s within both bounds`),
    figure("token hits", percent(s.tokenHitRate), `ideal ${idealText(experiment.workload)}`),
    figure(
      "time to first token",
      `${compact(s.ttftMs.mean)} ms`,
      `p99 ${compact(s.ttftMs.p99)} ms; ${worst.policy}: ${compact(worst.summary.ttftMs.mean)} ms`,
    ),
    figure("time per token", `${compact(s.timePerTokenMs.mean)} ms`, `p99 ${compact(s.timePerTokenMs.p99)} ms`),
    figure(
      `cost per million tokens`,
      `${s.costPerMillionTokens.toFixed(3)} ${experiment.fleet.currency}`,
      `${compact(s.chipHours)} chip-hours`,
    ),
  ];
  return `<section class="figures">${lines.join("")}</section>`;
}

function figure(name: string, value: string, note: string): string {
  return `<div class="figure"><span class="name">${escape(name)}</span><span class="value">${escape(value)}</span><span class="under">${escape(note)}</span></div>`;
}

function charts(experiment: Experiment): string[] {
  const { slo, currency } = experiment.fleet;
  const chart = (of: (summary: RunSummary) => number, options: Omit<ChartOptions, "xLabel">) =>
    lineChart(
      experiment.policies.map((policy) => ({
        name: policy,
        points: experiment.points
          .filter((point) => point.policy === policy)
          .map((point) => ({ x: point.load, y: of(point.summary) })),
      })),
      { ...options, xLabel: "load" },
    );
  return [
    chart((s) => s.ttftMs.mean, { title: "Mean time to first token", yLabel: "ms", logFrom: 20 }),
    chart((s) => s.ttftMs.p99, {
      title: "99th percentile of time to first token",
      yLabel: "ms",
      logFrom: 20,
      mark: { y: slo.ttftMs, name: "SLO" },
    }),
    chart((s) => s.timePerTokenMs.mean, {
      title: "Mean time per token",
      yLabel: "ms",
      logFrom: 20,
      mark: { y: slo.timePerTokenMs, name: "SLO" },
    }),
    chart((s) => s.goodput * 100, { title: "Goodput: calls within both service levels", yLabel: "%" }),
    chart((s) => s.tokenHitRate * 100, {
      title: "Prompt tokens found in cache",
      yLabel: "%",
      mark: { y: experiment.points[0]!.summary.idealTokenHitRate * 100, name: "ideal" },
    }),
    chart((s) => s.outputTokensPerSecond, { title: "Output tokens per second", yLabel: "tokens/s" }),
    chart((s) => s.costPerMillionTokens, { title: "Cost per million tokens", yLabel: currency }),
    ...(experiment.workload.tenants < 2
      ? []
      : [chart((s) => s.fairness, { title: "Fairness between tenants (Jain)", yLabel: "1 is equal" })]),
  ];
}

function loadTable(experiment: Experiment, load: number): string {
  const rows = experiment.points.filter((point) => point.load === load);
  const columns: [string, (s: RunSummary) => string][] = [
    ["served", (s) => `${s.served} of ${s.calls}`],
    ["refused", (s) => refusalReasons(s) || "0"],
    ["token hits", (s) => percent(s.tokenHitRate)],
    ["TTFT mean", (s) => ms(s.ttftMs.mean)],
    ["p50", (s) => ms(s.ttftMs.p50)],
    ["p90", (s) => ms(s.ttftMs.p90)],
    ["p99", (s) => ms(s.ttftMs.p99)],
    ["per token", (s) => `${s.timePerTokenMs.mean.toFixed(1)} ms`],
    ["p99", (s) => `${s.timePerTokenMs.p99.toFixed(1)} ms`],
    ["goodput", (s) => percent(s.goodput)],
    ["out tok/s", (s) => compact(s.outputTokensPerSecond)],
    ["fairness", (s) => s.fairness.toFixed(3)],
    ["imbalance", (s) => s.imbalance.toFixed(2)],
    ["busy", (s) => percent(s.utilisation)],
    ["chip-hours", (s) => compact(s.chipHours)],
    [`${experiment.fleet.currency}/M tokens`, (s) => s.costPerMillionTokens.toFixed(3)],
  ];
  const head = columns.map(([name]) => `<th scope="col">${escape(name)}</th>`).join("");
  const body = rows.map(
    ({ policy, summary }) =>
      `<tr><th scope="row">${escape(policy)}</th>${columns.map(([, of]) => `<td>${escape(of(summary))}</td>`).join("")}</tr>`,
  );
  return `<h3>Load ${compact(load)}</h3><div class="scroll"><table><thead><tr><th scope="col">policy</th>${head}</tr></thead><tbody>${body.join("")}</tbody></table></div>`;
}

/** Tenants in one table of the page at most. */
const tenantsShown = 50;

/** What each tenant got, at the load nearest to the workload's own; nothing where there is one tenant. */
function tenantSection(experiment: Experiment): string {
  if (experiment.workload.tenants < 2) return "";
  const load = nearestToOne(experiment.loads);
  const rows = experiment.points
    .filter((point) => point.load === load)
    .flatMap(({ policy, summary: { tenants } }) =>
      tenants.slice(0, tenantsShown).map(({ name, calls, served, serviceTokens, ttftMs, goodput }) => {
        const cells = [
          `${served} of ${calls}`,
          compact(serviceTokens),
          ms(ttftMs.mean),
          ms(ttftMs.p99),
          percent(goodput),
        ];
        return `<tr><th scope="row">${escape(policy)}</th><td class="text">${escape(name)}</td>${cells.map((cell) => `<td>${escape(cell)}</td>`).join("")}</tr>`;
      }),
    );
  const head = ["served", "service, tokens", "TTFT", "p99", "goodput"]
    .map((name) => `<th scope="col">${name}</th>`)
    .join("");
  const most =
    experiment.workload.tenants > tenantsShown ? ` The first ${tenantsShown} of ${experiment.workload.tenants}.` : "";
  return `<section><h2>Tenants at load ${compact(load)}</h2><p>Service is what the fair queue charges: uncached prompt and output tokens.${most}</p>
<div class="scroll"><table><thead><tr><th scope="col">policy</th><th scope="col" class="text">tenant</th>${head}</tr></thead><tbody>${rows.join("")}</tbody></table></div></section>`;
}

function counterfactualSection(experiment: Experiment): string {
  const entries = Object.entries(experiment.counterfactuals).filter(([, list]) => list.length > 0);
  if (entries.length === 0) return "";
  const rows = entries.flatMap(([policy, list]) =>
    list.map((c) => {
      const own = c.runnerUpTtftMs - c.ttftMs;
      const cells = [
        `#${c.call}`,
        `${(c.atMs / 1000).toFixed(1)} s`,
        c.chosen,
        c.runnerUp,
        ms(c.ttftMs),
        ms(c.runnerUpTtftMs),
        signed(own),
        signed(c.othersTtftMs),
        compact(c.computedTokens),
      ];
      return `<tr><th scope="row">${escape(policy)}</th>${cells.map((cell) => `<td>${escape(cell)}</td>`).join("")}</tr>`;
    }),
  );
  return `<section><h2>What the runner-up would have cost</h2>
<p>Sampled decisions, each simulated again with the second choice and everything after it unfolding anew. Positive differences: the decision was right.</p>
<div class="scroll"><table><thead><tr><th scope="col">policy</th><th scope="col">call</th><th scope="col">at</th><th scope="col">chosen</th><th scope="col">runner-up</th><th scope="col">TTFT</th><th scope="col">with runner-up</th><th scope="col">for the call</th><th scope="col">for all others</th><th scope="col">prompt tokens saved</th></tr></thead><tbody>${rows.join("")}</tbody></table></div></section>`;
}

function fleetTable(experiment: Experiment): string {
  const groups = new Map<string, { count: number; replica: Experiment["fleet"]["replicas"][number] }>();
  for (const replica of experiment.fleet.replicas) {
    const key = `${replica.profile} ${replica.role}`;
    groups.set(key, { count: (groups.get(key)?.count ?? 0) + 1, replica });
  }
  const rows = [...groups.values()].map(
    ({ count, replica }) =>
      `<tr><td>${count}</td><td class="text">${escape(replica.profile)}</td><td class="text">${escape(replica.role)}</td><td>${replica.chips}</td><td class="text">${escape(replica.source)}</td></tr>`,
  );
  return `<div class="scroll"><table><thead><tr><th scope="col">replicas</th><th scope="col" class="text">profile</th><th scope="col" class="text">role</th><th scope="col">chips each</th><th scope="col" class="text">where the profile comes from</th></tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
}

function describeStore({
  name,
  tier,
  replicas,
  capacityTokens,
  writes,
}: Experiment["fleet"]["stores"][number]): string {
  const when = writes === "computed" ? "as soon as a prompt is computed" : "when it leaves a replica's own memory";
  return `Store ${name}: ${compact(capacityTokens)} tokens of KV that ${replicas} replicas share, ${tier} to each of them, written ${when}.`;
}

function describeKnowledge({ fleet }: Experiment): string {
  switch (fleet.knowledge.kind) {
    case "exact":
      return "exactly and at once";
    case "events":
      return `by events ${fleet.knowledge.lagMs} ms late, own placements believed for ${fleet.knowledge.believeMs} ms`;
    case "estimated":
      return `by an estimate, an LRU of ${compact(fleet.knowledge.capacityTokens)} tokens over its own placements`;
    case "none":
      return "not at all";
  }
}

function nearestToOne(loads: readonly number[]): number {
  return loads.reduce((best, load) => (Math.abs(Math.log(load)) < Math.abs(Math.log(best)) ? load : best));
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
const ms = (value: number): string => (value >= 10_000 ? `${(value / 1000).toFixed(1)} s` : `${value.toFixed(0)} ms`);
const signed = (value: number): string => `${value >= 0 ? "+" : "−"}${ms(Math.abs(value))}`;
