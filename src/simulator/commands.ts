// What `lineshaft simulate`, `lineshaft plan` and `lineshaft calibrate` do, without the command line: plain options in, a result
// and printable lines out.
import { readFileSync, writeFileSync } from "node:fs";
import { parse } from "yaml";
import { z } from "zod";
import {
  fitProfile,
  measureEndpoint,
  type FittedProfile,
  type MeasureOptions,
  type ProfileFrame,
  type Send,
} from "./calibrate.ts";
import { profileSchema } from "./engine/profile.ts";
import { parseFleet, readFleet, type Fleet } from "./fleet.ts";
import { parsePlan, planFleet, type Plan } from "./plan.ts";
import { htmlReport } from "./report/html.ts";
import { jsonReport } from "./report/json.ts";
import { loadProfile } from "./profiles/index.ts";
import { calibrateText, planText, simulateText } from "./report/text.ts";
import { runExperiment, type Experiment } from "./run/experiment.ts";
import { openWorkload } from "./traces/open.ts";
import { openOptions, openOptionsSchema, type WorkloadOptions } from "./traces/options.ts";
import { SimulatorError } from "./types.ts";

/** Called with what is running and the share done, 0 to 1; at most some hundred times a command. */
type Progress = (what: string, share: number) => void;

interface SimulateOptions extends WorkloadOptions {
  /** Path of a fleet description (YAML or JSON), or the description itself; its `workload` is the load where the options name none. */
  fleet: string | object;
  /** Names of placement policies. */
  policies: readonly string[];
  /** Multiples of the workload's own arrival speed. */
  loads?: readonly number[];
  /** Decisions per policy whose runner-up is simulated. */
  counterfactuals?: number;
  /** Where to write the numbers and the page; nowhere when absent. */
  json?: string;
  html?: string;
  onProgress?: Progress;
}

interface CommandResult<T> {
  result: T;
  /** For a person, without trailing newline. */
  text: string;
  /** Files that were written. */
  files: string[];
}

/** Simulates, writes what was asked for, and answers with the experiment and its text. Throws SimulatorError. */
export async function runSimulateCommand(options: SimulateOptions): Promise<CommandResult<Experiment>> {
  const fleet: Fleet = typeof options.fleet === "string" ? readFleet(options.fleet) : parseFleet(options.fleet);
  options.onProgress?.("reading the trace", 0);
  const load = openOptions(workloadOf(options), fleet.workload);
  const workload = await openWorkload(load);
  const result = await runExperiment(workload, fleet, {
    policies: options.policies,
    loads: options.loads,
    keepGaps: load.keepGaps,
    seed: load.seed,
    counterfactuals: options.counterfactuals,
    onProgress: options.onProgress,
  });
  const files: string[] = [];
  if (options.json !== undefined) write(options.json, jsonReport(result), files);
  if (options.html !== undefined) write(options.html, htmlReport(result), files);
  return { result, text: simulateText(result), files };
}

/** Of a command's options those of the load. */
function workloadOf(options: WorkloadOptions): WorkloadOptions {
  const known = Object.entries(options).filter(([key]) => key in openOptionsSchema.shape);
  return Object.fromEntries(known);
}

interface PlanOptions extends WorkloadOptions {
  /** Path of a plan description (YAML or JSON), or the description itself. */
  plan: string | object;
  json?: string;
  onProgress?: Progress;
}

/** Plans the cheapest fleet for a workload. Throws SimulatorError. */
export async function runPlanCommand(options: PlanOptions): Promise<CommandResult<Plan>> {
  const request =
    typeof options.plan === "string" ? parsePlan(readDescription(options.plan), options.plan) : parsePlan(options.plan);
  options.onProgress?.("reading the trace", 0);
  const load = openOptions(workloadOf(options), { seed: request.seed, ...request.workload });
  const workload = await openWorkload(load);
  const result = await planFleet(workload, request, { keepGaps: load.keepGaps, onProgress: options.onProgress });
  const files: string[] = [];
  if (options.json !== undefined) write(options.json, jsonReport(result), files);
  return { result, text: planText(result), files };
}

interface CalibrateOptions extends MeasureOptions {
  /** How the endpoint is asked. */
  send: Send;
  /** The model's name there. */
  model: string;
  /** Built-in profile, or a path of one: what cannot be measured from outside is taken from it (tiers, network, price, ...). */
  like: string;
  /** What differs from it. */
  overrides: Partial<ProfileFrame>;
  /** Where the profile is written. */
  out: string;
}

/** Measures an endpoint, fits a profile and writes it. Throws SimulatorError. */
export async function runCalibrateCommand(options: CalibrateOptions): Promise<CommandResult<FittedProfile>> {
  const source = `measured by lineshaft calibrate on ${new Date().toISOString().slice(0, 10)}`;
  const named = { name: options.model, model: options.model, source, ...options.overrides };
  // Before anything is measured: that takes a minute.
  const frame = profileSchema.safeParse({ ...loadProfile(options.like), ...named });
  if (!frame.success) {
    throw new SimulatorError(
      "profile_invalid",
      `The profile would not be valid:\n${z.prettifyError(frame.error)}`,
      "Counts are whole numbers above 0; see docs/simulator.md for what a profile holds.",
    );
  }
  const rows = await measureEndpoint(options.send, options);
  const result = fitProfile(rows, frame.data);
  const files: string[] = [];
  write(options.out, `${JSON.stringify(result.profile, null, 2)}\n`, files);
  return { result, text: calibrateText(result), files };
}

function readDescription(path: string): unknown {
  try {
    return parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new SimulatorError(
      "plan_unreadable",
      `Cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`,
      "Give the path of a YAML or JSON file that describes what to plan for.",
    );
  }
}

function write(path: string, text: string, files: string[]): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new SimulatorError(
      "report_unwritable",
      `Cannot write ${path}: ${error instanceof Error ? error.message : String(error)}`,
      "Give a path in a folder that exists and that you may write to.",
    );
  }
  files.push(path);
}
