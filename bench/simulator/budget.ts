// Agent sessions under a KV budget: prompt tokens computed again by eviction rules that are told of the ends of sessions and by the same rules
// without, as a curve over the budget; the same on other starts and on generated sessions; and with a device budget within the total, where
// KV below the device is loaded back at a cost.
import { type BudgetWorkload, budgetWorkload } from "./cache/budgetWorkload.ts";
import { type BudgetRule, budgetRules } from "./cache/budgetRules.ts";
import { generatedKinds, generatedSessions } from "./cache/generatedSessions.ts";
import { runBudget } from "./cache/kvBudget.ts";
import { loadProfile } from "../../src/simulator/profiles/index.ts";
import { readAgentSessions, type AgentSession } from "../../src/simulator/traces/agentFiles.ts";
import { resolveTrace } from "../../src/simulator/traces/files.ts";
import { heading, printTable } from "./print.ts";

const shares = [0.1, 0.25, 0.5, 1];
const { untold, told, late, clairvoyant } = budgetRules;
const options = { seed: 1, alive: 32, meanStartGapS: 60 };
const otherSeeds = [2, 3];
const otherShares = [0.25, 0.5, 1];
const generatedCount = 250;
/** Generated sessions are shorter than recorded ones, so they start sooner after each other. */
const generatedStartGapS = 20;

const millions = (tokens: number): string => (tokens / 1e6).toFixed(1);
const percentOf = (share: number): string => `${share * 100} %`;

export async function budget() {
  const sessions: AgentSession[] = [];
  for await (const session of readAgentSessions(resolveTrace("claude-code-kvct/traces.compact.jsonl")))
    sessions.push(session);
  const workload = budgetWorkload(sessions, options);
  heading(
    `Agent sessions under a KV budget: ${sessions.length} sessions, ${workload.requests.length} requests, 32 alive`,
  );
  console.log(
    `Starts: exponential gaps (mean ${options.meanStartGapS} s, seed ${options.seed}) until 32 are alive, then each that ends is followed by the next after such a gap. ` +
      `Working set (peak sum of live contexts): ${millions(workload.workingSetTokens)}M tokens; prompts: ${millions(workload.promptTokens)}M tokens.`,
  );
  const unbounded = runBudget(workload, clairvoyant, 1e15).recomputedTokens;
  console.log(`Without any bound ${millions(unbounded)}M tokens must still be computed.`);

  console.log("\nPrompt tokens computed again, times clairvoyant; in the last column the clairvoyant's, millions:");
  const rules = [...untold, ...told, ...late];
  const curve = shares.map((share) => timesClairvoyant(workload, share, rules));
  printTable(
    ["budget", ...rules.map(({ name }) => name), "clairvoyant"],
    curve.map((row, i) => [percentOf(shares[i]!), ...row.times.map(times), millions(row.clairvoyantTokens)]),
  );

  console.log(`\nOther starts (seeds ${otherSeeds.join(", ")}, mean) and generated sessions, times clairvoyant:`);
  const compared = [...untold, ...told].filter(({ ttlS }) => ttlS === undefined);
  const loads: [string, BudgetWorkload[]][] = [
    ["recorded", otherSeeds.map((seed) => budgetWorkload(sessions, { ...options, seed }))],
    ...generatedKinds.map((kind): [string, BudgetWorkload[]] => [
      kind,
      otherSeeds.map((seed) => generated(kind, seed)),
    ]),
  ];
  const others = loads.flatMap(([name, workloads]) =>
    otherShares.map((share) => {
      const rows = workloads.map((one) => timesClairvoyant(one, share, compared).times);
      return { name, share, times: compared.map((_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / rows.length) };
    }),
  );
  printTable(
    ["sessions", "budget", ...compared.map(({ name }) => name)],
    others.map((row) => [row.name, percentOf(row.share), ...row.times.map(times)]),
  );

  const priced = quarterOnDevice(workload);
  return { options, workingSetTokens: workload.workingSetTokens, unbounded, curve, others, priced };
}

function quarterOnDevice(workload: BudgetWorkload) {
  const profile = loadProfile("h100-llama-3.1-70b-tp8");
  // KV of a token over a host link of 50 GB/s, and its computation on the same replica.
  const reloadMs = profile.kvBytesPerToken / 50e6;
  const computeMs = profile.step.tokenMs;
  console.log(
    `\nWith a quarter of the budget on the device: seconds of replica time for computing again (${computeMs.toFixed(4)} ms a token) ` +
      `and for bringing back from below (${reloadMs.toFixed(4)} ms a token, 50 GB/s):`,
  );
  const rules = [...untold, ...told.filter(({ ttlS }) => ttlS === undefined), clairvoyant];
  const priced = shares.map((share) =>
    rules.map((rule) => {
      const total = share * workload.workingSetTokens;
      const result = runBudget(workload, rule, total, total / 4);
      return { ...result, seconds: (result.recomputedTokens * computeMs + result.reloadedTokens * reloadMs) / 1000 };
    }),
  );
  printTable(
    ["budget", ...rules.map(({ name }) => name)],
    priced.map((results, i) => [percentOf(shares[i]!), ...results.map(({ seconds }) => Math.round(seconds))]),
  );
  return priced;
}

function generated(kind: (typeof generatedKinds)[number], seed: number): BudgetWorkload {
  const sessions = generatedSessions(kind, generatedCount, seed);
  return budgetWorkload(sessions, { seed, alive: options.alive, meanStartGapS: generatedStartGapS });
}

/** Tokens that each rule computes again, over those of the clairvoyant rule, at this share of the working set. */
function timesClairvoyant(workload: BudgetWorkload, share: number, rules: readonly BudgetRule[]) {
  const tokens = share * workload.workingSetTokens;
  const clairvoyantTokens = runBudget(workload, clairvoyant, tokens).recomputedTokens;
  const ratios = rules.map((rule) => runBudget(workload, rule, tokens).recomputedTokens / clairvoyantTokens);
  return { clairvoyantTokens, times: ratios };
}

const times = (ratio: number): string => `${ratio.toFixed(3)}x`;
