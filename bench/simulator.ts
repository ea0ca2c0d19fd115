// What the simulator is worth: its speed, and how near it comes to published results. Prints tables; nothing is asserted here.
//
//   node bench/simulator.ts                      everything below
//   node bench/simulator.ts speed                simulated calls a second on the Mooncake conversation trace, 8 endpoints
//   node bench/simulator.ts policies             placement rules on a grid of fleets, loads, traces and seeds; its options are in
//                                                simulator/policies.ts
//   node bench/simulator.ts llmd                 llm-d's two tables: calibrate on one file's precise rows, predict the other
//   node bench/simulator.ts fig10                Mooncake FAST'25 Figure 10, conversation: local and global hit rates
//   node bench/simulator.ts budget               agent sessions under a KV budget: rules with and without the ends of sessions, other loads, two tiers
//   ... --json FILE                              the numbers
//
// Traces are found by LINESHAFT_TRACES.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { budget } from "./simulator/budget.ts";
import { fig10 } from "./simulator/fig10.ts";
import { llmd } from "./simulator/llmd.ts";
import { policies, policyOptions } from "./simulator/policies.ts";
import { speed } from "./simulator/speed.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "string" }, ...policyOptions },
});
const parts = { speed, policies: () => policies(values), llmd, fig10, budget };
const chosen = positionals.length === 0 ? Object.keys(parts) : positionals;
const results: Record<string, unknown> = {};
for (const name of chosen) {
  const part = Object.hasOwn(parts, name) ? parts[name as keyof typeof parts] : undefined;
  if (part === undefined) {
    console.error(`bench/simulator.ts: no part "${name}"; there are ${Object.keys(parts).join(", ")}.`);
    process.exit(2);
  }
  results[name] = await part();
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
