// The simulator's claim, checked: the scheduler that decides in the gateway decides in simulations too. Simulator code may drive the
// `Scheduler` by its three verbs and read its snapshot; it may not call a placement rule, a queue, the PD planner or the load view
// itself, since that would be a second dispatcher. Both worlds make the scheduler by one function, and with the same settings.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { specOf } from "../src/gateway/scheduling/specs.ts";
import { stage } from "../src/gateway/scheduling/testing.ts";
import { makePolicy, seededRng } from "../src/scheduler/index.ts";
import { EventQueue } from "../src/simulator/events.ts";
import { type FleetInput, parseFleet } from "../src/simulator/fleet.ts";
import { endpointSpec } from "../src/simulator/run/endpointSpec.ts";
import { createWorld } from "../src/simulator/run/world.ts";
import { WorkloadBuilder } from "../src/simulator/traces/builder.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const scheduler = join(root, "src", "scheduler");
const simulator = join(root, "src", "simulator");

/** Values of the scheduler that the simulator may use beside its types: the machine, rules by name, capacity plans and constants. */
const allowed = new Set([
  ...["createScheduler", "makePolicy", "policyNames", "defaultPolicy", "Autoscaler", "planQuota"],
  ...[
    "seededRng",
    "tiers",
    "ratePromptTokens",
    "tickMs",
    "attemptsMost",
    "firstSpeed",
    "maxInFlightOf",
    "ExpectedOutputs",
  ],
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

test("the scheduler is made in one place for both worlds, and only the simulator names a rival", () => {
  const folder = join(root, "src");
  const texts = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !/(?:\.test|testing|conformance)\.ts$/.test(name))
    .map((name) => [name.split(sep).join("/"), readFileSync(join(folder, name), "utf8")] as const);
  const filesWith = (pattern: RegExp) => texts.filter(([, text]) => pattern.test(text)).map(([name]) => name);
  expect(filesWith(/new Scheduler\(/)).toEqual(["scheduler/production.ts"]);
  expect(filesWith(/createScheduler\(/).toSorted()).toEqual([
    "gateway/scheduling/dispatcher.ts",
    "scheduler/production.ts",
    "simulator/run/world.ts",
  ]);
  expect(filesWith(/\brival: rivalOf\(/)).toEqual(["simulator/run/world.ts"]);
});

const pool: FleetInput["pools"][number] = { name: "a", profile: "h100-llama-3.1-70b-tp8", replicas: 1 };

/** Settings of the scheduler of a simulated fleet, without what is a fact of its chips. */
function simulatedSettings(more: Partial<FleetInput> = {}) {
  const fleet = parseFleet({ pools: [pool], ...more });
  const workload = new WorkloadBuilder("none", 16).build();
  const host = { admitted() {}, prefilled() {}, finished() {} };
  const policyOf = () => makePolicy("least-delay");
  const { schedulers } = createWorld(workload, fleet, policyOf, () => seededRng(1), new EventQueue(), host);
  const { queue, pd, programs } = schedulers[0]!.snapshot().settings;
  return { queue, programs, pd: { ...pd, kvBytesPerToken: undefined } };
}

test("a fleet that names no other router has the settings of the gateway", () => {
  using gateway = stage();
  const { queue, pd, programs } = gateway.dispatcher.snapshot().settings;
  expect(simulatedSettings()).toEqual({ queue, programs, pd: { ...pd, kvBytesPerToken: undefined } });
  for (const rival of [{ queue: "fifo" as const }, { pauses: false }, { splitFromUncachedTokens: 1 }])
    expect(simulatedSettings(rival)).not.toEqual(simulatedSettings());
});

test("an endpoint with as many slots takes as many calls at once in both worlds", () => {
  using gateway = stage();
  gateway.add("e", { slots: 7 });
  const live = specOf(gateway.engines.get("e")!);
  const fleet = parseFleet({ pools: [{ ...pool, maxSequences: 7 }] });
  const simulated = endpointSpec(fleet.replicas[0]!, fleet, 16, 0);
  expect([simulated.slots, simulated.maxInFlight]).toEqual([live.slots, live.maxInFlight]);
});
