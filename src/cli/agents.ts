// `lineshaft agents`: what was deployed. Deploying is `deploy`, running is `run`.
import type { Command } from "commander";
import type { AgentDetail, AgentSummary } from "../contract/index.ts";
import { AnsweredError } from "./client.ts";
import { group, verb, type Context } from "./context.ts";
import { count, pairs, relativeTime, table } from "./format.ts";
import { unknownName } from "./nearest.ts";
import { deployExample } from "./runs.ts";

const listCommand = "npx lineshaft agents list";

/** The parts of a manifest that the table shows; `--json` prints all of it. */
interface ShownManifest {
  description?: string;
  limits?: { steps?: number; seconds?: number; money?: string };
  tools?: { server: string; url: string; allow: Record<string, unknown> }[];
  outcome?: { contract: string; price: string };
}

export function registerAgents(program: Command, context: Context): void {
  const { terminal } = context;
  const agents = group(program, "agents", {
    about: "Agents that were deployed",
    examples: [listCommand, "npx lineshaft agents show maintenance-inspector"],
  });

  verb(agents, "list", {
    about: "List agents with their runs and outcomes",
    examples: [listCommand, "npx lineshaft agents list --json"],
  }).action(async (options: { json?: boolean }) => {
    const list = await context.client().list<AgentSummary>("/api/agents");
    if (options.json) return terminal.printJson({ data: list });
    const now = terminal.now();
    for (const line of table(list, [
      { title: "name", value: (row) => row.name },
      { title: "version", value: (row) => String(row.version), right: true },
      { title: "model", value: (row) => row.model },
      { title: "runs", value: (row) => count(row.runs.total), right: true },
      { title: "running", value: (row) => count(row.runs.running), right: true },
      { title: "waiting", value: (row) => count(row.runs.waiting), right: true },
      { title: "failed", value: (row) => count(row.runs.failed), right: true },
      { title: "passed", value: (row) => outcomes(row), right: true },
      { title: "made", value: (row) => relativeTime(row.created_at, now) },
    ]))
      terminal.print(line);
    if (list.length === 0) terminal.note(`No agents yet. Deploy one: ${deployExample}`);
    return undefined;
  });

  verb(agents, "show <name>", {
    about: "Show an agent: its model, limits, tools, outcome and versions; its manifest with --json",
    examples: [
      "npx lineshaft agents show maintenance-inspector",
      "npx lineshaft agents show maintenance-inspector --json",
    ],
  }).action(async (name: string, options: { json?: boolean }) => {
    const agent = await find(context, name);
    if (options.json) return terminal.printJson(agent);
    for (const line of lines(agent, terminal.now())) terminal.print(line);
    return undefined;
  });
}

async function find(context: Context, name: string): Promise<AgentDetail> {
  const client = context.client();
  try {
    return await client.get<AgentDetail>(`/api/agents/${encodeURIComponent(name)}`);
  } catch (error) {
    if (!(error instanceof AnsweredError) || error.status !== 404) throw error;
    const known = await client.list<AgentSummary>("/api/agents");
    throw unknownName(
      "agent",
      name,
      known.map((agent) => agent.name),
      listCommand,
      deployExample,
    );
  }
}

function lines(agent: AgentDetail, now: number): string[] {
  const { description, limits, tools = [], outcome } = (agent.manifest ?? {}) as ShownManifest;
  const { runs } = agent;
  const limited = [
    limits?.steps !== undefined && `${count(limits.steps)} steps`,
    limits?.seconds !== undefined && `${count(limits.seconds)} s`,
    limits?.money !== undefined && limits.money,
  ].filter((part) => typeof part === "string");
  const head = pairs([
    ["name", agent.name],
    ["id", agent.id],
    ["version", String(agent.version)],
    ...(description === undefined ? [] : [["about", description] as [string, string]]),
    ["model", agent.model],
    ["limits", limited.length > 0 ? limited.join(", ") : "-"],
    [
      "tools",
      tools.map(({ server, url, allow }) => `${Object.keys(allow).join(", ")} of ${server} (${url})`).join("; ") ||
        "none",
    ],
    ["outcome", outcome ? `${outcome.contract}, ${outcome.price} for each that passes` : "none"],
    [
      "runs",
      `${count(runs.total)}: ${count(runs.running)} running, ${count(runs.waiting)} waiting, ${count(runs.failed)} failed`,
    ],
    ["passed", outcomes(agent)],
    ["made", relativeTime(agent.created_at, now)],
  ]);
  const versions = table(agent.versions, [
    { title: "version", value: (row) => String(row.number), right: true },
    { title: "id", value: (row) => row.id },
    { title: "deployed", value: (row) => relativeTime(row.created_at, now) },
  ]);
  return [...head, "", ...versions];
}

const outcomes = ({ outcomes: { passed, failed } }: AgentSummary): string =>
  passed + failed === 0 ? "-" : `${count(passed)} of ${count(passed + failed)}`;
