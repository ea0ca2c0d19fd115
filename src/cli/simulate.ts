// `lineshaft simulate` and `lineshaft plan`: what a fleet would do with a load, and the cheapest fleet that carries it. Both run in
// this process and need no running instance.
import type { Command } from "commander";
import { withExamples, type Context } from "./context.ts";
import { number, numberOf, shownProgress, words } from "./options.ts";

interface TraceOptions {
  trace?: string;
  format?: string;
  limit?: number;
  speed?: number;
  keepGaps?: boolean;
  copies?: number;
  tenants?: number;
  seed?: number;
  startGap?: number;
  maxGap?: number;
  maxContext?: number;
  shrink?: number;
  json?: string | true;
}

interface SimulateVerbOptions extends TraceOptions {
  fleet: string;
  policy: string;
  load?: string;
  counterfactuals?: number;
  html?: string;
}

export function registerSimulate(program: Command, context: Context): void {
  const simulate = withExamples(
    program.command("simulate").description("Run a trace through a modelled fleet, by the scheduler's own code"),
    [
      "npx lineshaft simulate --trace test/data/traces/sessions.jsonl --fleet examples/simulator/fleet.yaml --policy two-tier,round-robin",
      "npx lineshaft simulate --trace llm-d-37pct --limit 500 --fleet examples/simulator/fleet.yaml --policy least-delay --html report.html --json report.json",
    ],
  )
    .requiredOption("--fleet <file>", "YAML or JSON that describes pools, profiles and replicas")
    .requiredOption("--policy <names>", "placement policies to compare, separated by commas")
    .option("--load <factors>", "multiples of the trace's own speed, separated by commas: one curve per policy", "1")
    .addOption(number("--counterfactuals <number>", "decisions per policy whose runner-up is simulated too"))
    .option("--html <file>", "write a page with plots");
  traceOptions(simulate).action(async (options: SimulateVerbOptions) => {
    const { runSimulateCommand } = await import("../simulator/index.ts");
    const { progress, done } = shownProgress(context);
    const { json, html } = options;
    const { result, text, files } = await runSimulateCommand({
      ...workload(options),
      fleet: options.fleet,
      policies: words(options.policy),
      loads: words(options.load ?? "1").map((factor) => numberOf(factor, "--load")),
      counterfactuals: options.counterfactuals,
      ...(typeof json === "string" && { json }),
      ...(html !== undefined && { html }),
      onProgress: progress,
    });
    done();
    await report(context, json, result, text, files);
  });

  const plan = withExamples(
    program.command("plan").description("Find the cheapest fleet that carries a load within its service levels"),
    [
      "npx lineshaft plan --plan examples/simulator/plan.yaml --trace test/data/traces/sessions.jsonl",
      "npx lineshaft plan --plan examples/simulator/plan.yaml --trace llm-d-37pct --limit 300 --json plan.json",
    ],
  ).requiredOption("--plan <file>", "YAML or JSON with the candidates, their prices and the service levels");
  traceOptions(plan).action(async (options: TraceOptions & { plan: string }) => {
    const { runPlanCommand } = await import("../simulator/index.ts");
    const { progress, done } = shownProgress(context);
    const { json } = options;
    const { result, text, files } = await runPlanCommand({
      ...workload(options),
      plan: options.plan,
      ...(typeof json === "string" && { json }),
      onProgress: progress,
    });
    done();
    await report(context, json, result, text, files);
  });
}

function traceOptions(command: Command): Command {
  return command
    .option(
      "--trace <file>",
      "a trace's file, or a generated load (llm-d-37pct, llm-d-73pct, long-prompts, agent-trees, tenant-chats); by default `workload` of the description",
    )
    .option(
      "--format <name>",
      "mooncake, agent-sessions, dynamo, azure, servegen or calls; told from the file by default",
    )
    .addOption(number("--limit <number>", "at most this many calls (sessions, for agent sessions)"))
    .addOption(number("--speed <factor>", "arrivals this much faster, and gaps inside sessions as much shorter"))
    .option("--keep-gaps", "scale only arrivals: people think and tools run as long as they did")
    .addOption(number("--copies <number>", "the load this many times, shifted"))
    .addOption(number("--tenants <number>", "deal sessions to so many tenants in turn"))
    .addOption(number("--start-gap <seconds>", "mean time between the starts of agent sessions; 60 by default"))
    .addOption(number("--max-gap <seconds>", "gaps in agent sessions are cut to it"))
    .addOption(number("--max-context <tokens>", "agent sessions with longer prompts are left out"))
    .addOption(number("--shrink <factor>", "lengths divided by this (agent sessions)"))
    .addOption(number("--seed <number>", "seed of everything drawn"))
    .option("--json [file]", "write JSON to a file, or print it when no file is named");
}

function workload(options: TraceOptions) {
  const { trace, format, limit, speed, keepGaps, copies, tenants, shrink, seed } = options;
  return {
    trace,
    // The format's name is checked where formats are known.
    format: format as "mooncake" | undefined,
    limit,
    speed,
    keepGaps,
    copies,
    tenants,
    shrink,
    seed,
    startGapS: options.startGap,
    maxGapS: options.maxGap,
    maxContextTokens: options.maxContext,
  };
}

async function report(
  { terminal }: Context,
  json: string | true | undefined,
  result: object,
  text: string,
  files: string[],
): Promise<void> {
  if (json === true) {
    const { jsonReport } = await import("../simulator/index.ts");
    terminal.print(jsonReport(result as Parameters<typeof jsonReport>[0]).trimEnd());
  } else terminal.print(text);
  for (const file of files) terminal.note(`Written: ${file}`);
}
