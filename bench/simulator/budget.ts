// Agent sessions under a KV budget: prompt tokens computed again under four rules, as a curve over the budget; and a second curve with a
// device budget within the total, where KV below the device is loaded back at a cost.
import { budgetWorkload } from "./cache/budgetWorkload.ts";
import { budgetRules } from "./cache/budgetRules.ts";
import { runBudget, type BudgetResult } from "./cache/kvBudget.ts";
import { loadProfile } from "../../src/simulator/profiles/index.ts";
import { readAgentSessions, type AgentSession } from "../../src/simulator/traces/agentFiles.ts";
import { resolveTrace } from "../../src/simulator/traces/files.ts";
import { heading, printTable } from "./print.ts";

const shares = [0.1, 0.25, 0.5, 1];
const millions = (tokens: number): string => (tokens / 1e6).toFixed(1);

export async function budget() {
  const sessions: AgentSession[] = [];
  for await (const session of readAgentSessions(resolveTrace("claude-code-kvct/traces.compact.jsonl")))
    sessions.push(session);
  const options = { seed: 1, alive: 32, meanStartGapS: 60 };
  const workload = budgetWorkload(sessions, options);
  heading(
    `Agent sessions under a KV budget: ${sessions.length} sessions, ${workload.requests.length} requests, 32 alive`,
  );
  console.log(
    `Starts: exponential gaps (mean ${options.meanStartGapS} s, seed ${options.seed}) until 32 are alive, then each that ends is followed by the next after such a gap. ` +
      `Working set (peak sum of live contexts): ${millions(workload.workingSetTokens)}M tokens; prompts: ${millions(workload.promptTokens)}M tokens.`,
  );
  const unbounded = runBudget(workload, budgetRules[0]!, 1e15);
  console.log(`Without any bound ${millions(unbounded.recomputedTokens)}M tokens must still be computed.`);
  const curve = shares.map((share) =>
    budgetRules.map((rule) => runBudget(workload, rule, share * workload.workingSetTokens)),
  );
  const names = budgetRules.map((rule) => rule.name);
  console.log("\nPrompt tokens computed again, millions (and times clairvoyant):");
  printTable(
    ["budget", ...names],
    curve.map((results, i) => [`${shares[i]! * 100} %`, ...withRatio(results, (r) => r.recomputedTokens)]),
  );

  const profile = loadProfile("h100-llama-3.1-70b-tp8");
  // KV of a token over a host link of 50 GB/s, and its computation on the same replica.
  const reloadMs = profile.kvBytesPerToken / 50e6;
  const computeMs = profile.step.tokenMs;
  console.log(
    `\nWith a quarter of the budget on the device: seconds of replica time for computing again (${computeMs.toFixed(4)} ms a token) ` +
      `and for bringing back from below (${reloadMs.toFixed(4)} ms a token, 50 GB/s):`,
  );
  const priced = shares.map((share) =>
    budgetRules.map((rule) => {
      const total = share * workload.workingSetTokens;
      const result = runBudget(workload, rule, total, total / 4);
      return { ...result, seconds: (result.recomputedTokens * computeMs + result.reloadedTokens * reloadMs) / 1000 };
    }),
  );
  printTable(
    ["budget", ...names.flatMap((name) => [name, "of it reload"])],
    priced.map((results, i) => [
      `${shares[i]! * 100} %`,
      ...results.flatMap((r) => [Math.round(r.seconds), Math.round((r.reloadedTokens * reloadMs) / 1000)]),
    ]),
  );
  return { options, workingSetTokens: workload.workingSetTokens, unbounded, curve, priced };
}

function withRatio(results: readonly BudgetResult[], of: (result: BudgetResult) => number): string[] {
  const best = of(results.find((result) => result.rule === "clairvoyant")!);
  return results.map((result) => `${millions(of(result))} (${(of(result) / best).toFixed(3)}x)`);
}
