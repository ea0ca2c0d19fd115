// `lineshaft budgets`: limits that no call can exceed. Scopes are given by name and resolved to ids here.
import type { Command } from "commander";
import type { AgentSummary, BudgetResource, KeyResource, Run, Status } from "../contract/index.ts";
import { nearest } from "../errors/index.ts";
import type { Client } from "./client.ts";
import { group, verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { money, moneyLeft, relativeTime, table } from "./format.ts";
import { liveKey } from "./keys.ts";
import { uniqueByPrefix, unknownName } from "./nearest.ts";
import { nano } from "./priceOptions.ts";

const kinds = ["organisation", "project", "key", "agent", "run"] as const;
type Kind = (typeof kinds)[number];
const periods = ["total", "month", "day"];

export function registerBudgets(program: Command, context: Context): void {
  const budgets = group(program, "budgets", {
    about: "Budgets: what an organisation, project, key, agent or run may spend",
    examples: ["npx lineshaft budgets list", "npx lineshaft budgets set project default --limit 5.00 --period month"],
  });

  verb(budgets, "list", {
    about:
      "List budgets, newest first, with what is spent, leased to gateway processes, lost with processes that died, and left",
    examples: ["npx lineshaft budgets list", "npx lineshaft budgets list --scope run --ended --json"],
  })
    .option("--scope <kinds>", `only these kinds, with commas between: ${kinds.join(", ")}`)
    .option("--of <name>", "only the budget of this scope: its id, or the name of an agent or a key")
    .option("--ended", "those of ended runs too")
    .action(async (options: { scope?: string; of?: string; ended?: boolean; json?: boolean }) => {
      const { terminal } = context;
      const wrong = options.scope?.split(",").find((kind) => !(kinds as readonly string[]).includes(kind));
      if (wrong !== undefined) throw wrongChoice("scope", wrong, kinds);
      const list = await context.client().list<BudgetResource>("/api/budgets", {
        scope: options.scope,
        of: options.of,
        ended: options.ended ? "true" : undefined,
      });
      if (options.json) return terminal.printJson({ data: list });
      const now = terminal.now();
      for (const line of table(list, [
        { title: "id", value: (row) => row.id },
        { title: "scope", value: (row) => `${row.scope.kind} ${row.scope.name ?? row.scope.id}` },
        { title: "period", value: (row) => row.period },
        { title: "limit", value: (row) => money(row.limit_nano, row.currency), right: true },
        { title: "spent", value: (row) => money(row.spent_nano, row.currency), right: true },
        { title: "leased", value: (row) => money(row.leased_nano, row.currency), right: true },
        {
          title: "lost",
          value: (row) => (row.lost_nano === "0" ? "-" : money(row.lost_nano, row.currency)),
          right: true,
        },
        { title: "left", value: (row) => moneyLeft(row.left_nano, row.currency), right: true },
        { title: "begins anew", value: (row) => beginsAnew(row, now) },
      ]))
        terminal.print(line);
      for (const { id, pending } of list)
        if (pending)
          terminal.note(`${id} is not known to every process yet: calls under way may still pass its limit.`);
      if (list.length === 0)
        terminal.note("No budgets yet. Set one: npx lineshaft budgets set project default --limit 5.00");
    });

  verb(budgets, "set <scope> [name]", {
    about: "Set the budget of a scope (organisation, project, key, agent or run); what was spent stands",
    examples: [
      "npx lineshaft budgets set project default --limit 5.00 --period month",
      "npx lineshaft budgets set organisation --limit 100",
    ],
  })
    .requiredOption("--limit <amount>", "the most that may be spent, in the organisation's currency")
    .option("--period <period>", "total, month or day (months and days begin at midnight UTC)", "total")
    .action(
      async (scope: string, name: string | undefined, options: { limit: string; period: string; json?: boolean }) => {
        const client = context.client();
        if (!periods.includes(options.period)) throw wrongChoice("period", options.period, periods);
        const limit = nano(options.limit, "--limit");
        const budget = await client.put<BudgetResource>("/api/budgets", {
          scope: await resolveScope(client, scope, name, context.terminal.now()),
          limit_nano: limit,
          period: options.period,
        });
        if (options.json) return context.terminal.printJson(budget);
        const per = budget.period === "total" ? "in total" : `a ${budget.period}`;
        context.terminal.print(
          `Budget of ${budget.scope.kind} ${budget.scope.name ?? budget.scope.id}: ${money(budget.limit_nano, budget.currency)} ${per}, ${moneyLeft(budget.left_nano, budget.currency)} left.`,
        );
      },
    );

  verb(budgets, "remove <id>", {
    about: "Remove a budget; a unique beginning of its id is enough",
    examples: ["npx lineshaft budgets remove bud_", "npx lineshaft budgets remove bud_ --json"],
  }).action(async (id: string, options: { json?: boolean }) => {
    const client = context.client();
    const ids = (await client.list<BudgetResource>("/api/budgets", { ended: "true" })).map((budget) => budget.id);
    const found = uniqueByPrefix("budget", id, ids, "npx lineshaft budgets list");
    await client.delete(`/api/budgets/${found}`);
    if (options.json) return context.terminal.printJson({ id: found, removed: true });
    context.terminal.print(`Budget ${found} is removed.`);
  });
}

function beginsAnew({ resets_at: resetsAt, ended_at: endedAt }: BudgetResource, now: number): string {
  if (endedAt !== null) return `ended ${relativeTime(endedAt, now)}`;
  return resetsAt === null ? "never" : relativeTime(resetsAt, now);
}

function wrongChoice(what: string, given: string, choices: readonly string[]): CliError {
  const meant = nearest(given, [...choices]);
  return new CliError({
    exitCode: 2,
    message: `${given} is no ${what}.`,
    why: `A ${what} is one of ${choices.join(", ")}.`,
    hint: meant ? `Did you mean ${meant}?` : "Choose one of these.",
  });
}

async function resolveScope(
  client: Client,
  kind: string,
  name: string | undefined,
  now: number,
): Promise<{ kind: Kind; id: string }> {
  if (!(kinds as readonly string[]).includes(kind)) throw wrongChoice("scope", kind, kinds);
  const scope = kind as Kind;
  if (scope === "organisation" || scope === "project") {
    const own = (await client.get<Status>("/api/status"))[scope];
    if (name !== undefined && name !== own.name && name !== own.id)
      throw unknownName(scope, name, [own.name], "npx lineshaft status");
    return { kind: scope, id: own.id };
  }
  if (name === undefined)
    throw new CliError({
      exitCode: 2,
      message: `Which ${scope}?`,
      hint: `Name it: npx lineshaft budgets set ${scope} NAME --limit 5.00`,
    });
  if (scope === "agent") {
    const agents = await client.list<AgentSummary>("/api/agents");
    const found = agents.find((agent) => agent.name === name || agent.id === name);
    if (!found)
      throw unknownName(
        "agent",
        name,
        agents.map((agent) => agent.name),
        "npx lineshaft agents list",
      );
    return { kind: scope, id: found.id };
  }
  if (scope === "key") {
    return { kind: scope, id: liveKey(await client.list<KeyResource>("/api/keys"), name, now).id };
  }
  const runs = await client.list<Run>("/api/runs", {}, 1000);
  return {
    kind: scope,
    id: uniqueByPrefix(
      "run",
      name,
      runs.map((run) => run.id),
      "npx lineshaft runs list",
    ),
  };
}
