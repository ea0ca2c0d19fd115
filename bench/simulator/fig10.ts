// Mooncake FAST'25 Figure 10, conversation workload: 10 prefill nodes with 3M tokens of cache each, every node alone (local)
// against one pool of all (global).
import { makePolicy, policyNames } from "../../src/scheduler/index.ts";
import { infiniteStudy, lruStudy, tokenHitRate } from "../../src/simulator/cache/sequence.ts";
import { parseFleet } from "../../src/simulator/fleet.ts";
import { summarise } from "../../src/simulator/report/summary.ts";
import { simulate } from "../../src/simulator/run/simulation.ts";
import { openWorkload } from "../../src/simulator/traces/open.ts";
import { heading, percent, printTable } from "./print.ts";

const nodes = 10;
const tokensPerNode = 3_000_000;
const published = { local: 0.1691, global: 0.3747 };

export async function fig10() {
  const workload = await openWorkload({ trace: "mooncake/conversation_trace.jsonl" });
  const pooled = tokenHitRate(lruStudy(workload, Math.floor((nodes * tokensPerNode) / workload.blockTokens)));
  const ideal = tokenHitRate(infiniteStudy(workload));
  heading("Mooncake FAST'25 Figure 10, conversation: 10 nodes x 3M tokens");
  const gap = (pooled - published.global) * 100;
  console.log(
    `global pool, LRU 30M tokens: ${percent(pooled, 2)} (published ${percent(published.global, 2)}: ${gap.toFixed(2)} points); without bound ${percent(ideal, 2)}`,
  );
  const fleet = parseFleet({
    pools: [{ name: "node", profile: "a100-llama-3.1-70b-tp8", replicas: nodes, kvCapacityTokens: tokensPerNode }],
  });
  const rows = policyNames.map((name) => {
    const summary = summarise(simulate(workload, fleet, makePolicy(name)));
    return {
      policy: name,
      hit: summary.tokenHitRate,
      ttftMs: summary.ttftMs.mean,
      prefillMs: summary.prefillMsPerCall,
    };
  });
  console.log(
    `local caches, by placement (published, placement not stated in the figure: ${percent(published.local, 2)}):`,
  );
  printTable(
    ["policy", "token hits", "mean TTFT ms", "prefill time a call ms"],
    rows.map((row) => [row.policy, percent(row.hit, 2), Math.round(row.ttftMs), Math.round(row.prefillMs)]),
  );
  return { pooled, ideal, published, rows };
}
