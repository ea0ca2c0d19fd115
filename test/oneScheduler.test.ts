// The simulator's claim, checked: the scheduler that decides in the gateway decides in simulations too. Simulator code may drive the
// `Scheduler` by its three verbs and read its snapshot; it may not call a placement rule, a queue, the PD planner or the load view
// itself, since that would be a second dispatcher.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const scheduler = join(root, "src", "scheduler");
const simulator = join(root, "src", "simulator");

/** Values of the scheduler that the simulator may use beside its types: the machine, rules by name, capacity plans and constants. */
const allowed = new Set([
  ...["Scheduler", "makePolicy", "policyNames", "defaultPolicy", "Autoscaler", "planQuota"],
  ...["seededRng", "tiers", "ratePromptTokens"],
]);
/** Types that only a second dispatcher would need. */
const parts =
  /^(?:Endpoints|LoadView|LoadHandle|PdPlanner|PdCall|FairQueue|ClassedQueue|Programs|PrefixIndex|ViewBuilder)$/;
const verbs = new Set(["apply", "decide", "tick", "snapshot"]);
/** The one place that asks a rule: it wraps it for the scheduler, and forces what a counterfactual asks about. */
const wrapper = join("run", "forced.ts");

const files = readdirSync(simulator, { recursive: true, encoding: "utf8" }).filter(
  (name) => name.endsWith(".ts") && !name.endsWith(".test.ts"),
);

/** What is wrong with one file of the simulator. */
function faultsOf(name: string): string[] {
  const path = join(simulator, name);
  const text = readFileSync(path, "utf8");
  const faults: string[] = [];
  for (const [, kind, names, from] of text.matchAll(/import (type )?\{([^}]*)\} from "(\.{1,2}\/[^"]+)"/g)) {
    const target = resolve(dirname(path), from!);
    if (!target.startsWith(scheduler + sep)) continue;
    if (relative(scheduler, target) !== "index.ts")
      faults.push(`${name} imports ${from}: only the room's index is open`);
    for (const each of names!.split(",").map((part) => part.trim())) {
      if (each === "") continue;
      const isType = kind !== undefined || each.startsWith("type ");
      const imported = each.replace(/^type /, "").split(" as ")[0]!;
      if (parts.test(imported) || (!isType && !allowed.has(imported))) faults.push(`${name} imports ${imported}`);
    }
  }
  for (const [found] of text.matchAll(/import\("[^"]*scheduler\/[^"]*"\)|from "[^"]*scheduler\/(?!index\.ts")[^"]*"/g))
    faults.push(`${name} reaches into the scheduler: ${found}`);
  for (const [, verb] of text.matchAll(/\bscheduler[!?]?\.(\w+)/gi))
    if (!verbs.has(verb!) && verb !== "ts") faults.push(`${name} uses scheduler.${verb}`);
  if (name !== wrapper && /\.choose\(/.test(text)) faults.push(`${name} asks a placement rule itself`);
  return faults;
}

test("the simulator drives the production scheduler by apply, decide and tick alone", () => {
  expect(files.length).toBeGreaterThan(40);
  expect(files.flatMap(faultsOf)).toEqual([]);
});
