// Simulated calls a second, one core, production policies, the whole Mooncake conversation trace at 8 endpoints.
import { cpus } from "node:os";
import { makePolicy, policyNames } from "../../src/scheduler/index.ts";
import { parseFleet } from "../../src/simulator/fleet.ts";
import { summarise } from "../../src/simulator/report/summary.ts";
import { simulate } from "../../src/simulator/run/simulation.ts";
import { openWorkload } from "../../src/simulator/traces/open.ts";
import { heading, percent, printTable } from "./print.ts";

const repetitions = 7;

export async function speed() {
  const workload = await openWorkload({ trace: "mooncake/conversation_trace.jsonl" });
  const fleet = parseFleet({
    pools: [{ name: "a100", profile: "a100-llama-3.1-70b-tp8", replicas: 8, kvCapacityTokens: 3_000_000 }],
  });
  heading(
    `Simulated calls a second: ${workload.calls.length} calls, 8 endpoints, one core (${cpus()[0]!.model.trim()})`,
  );
  const rows = policyNames.map((name) => {
    const rates: number[] = [];
    let summary = summarise(simulate(workload, fleet, makePolicy(name)));
    for (let r = 0; r < repetitions; r++) {
      const started = process.cpuUsage();
      const result = simulate(workload, fleet, makePolicy(name));
      const used = process.cpuUsage(started);
      rates.push((workload.calls.length / (used.user + used.system)) * 1e6);
      if (r === 0) summary = summarise(result);
    }
    rates.sort((a, b) => a - b);
    const perSecond = rates[repetitions >> 1]!;
    return {
      policy: name,
      perSecond,
      slowest: rates[0]!,
      fastest: rates[repetitions - 1]!,
      hit: summary.tokenHitRate,
      ttftMs: summary.ttftMs.mean,
    };
  });
  printTable(
    ["policy", "calls/s (median)", "slowest", "fastest", "token hits", "mean TTFT ms"],
    rows.map((row) => [
      row.policy,
      Math.round(row.perSecond),
      Math.round(row.slowest),
      Math.round(row.fastest),
      percent(row.hit),
      Math.round(row.ttftMs),
    ]),
  );
  console.log(
    `By CPU time (user and system), ${repetitions} repetitions; the production scheduler decides, with exact knowledge of caches.`,
  );
  return rows;
}
