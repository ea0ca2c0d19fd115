// `lineshaft bill`: what was earned and spent, per agent, down to a verified outcome.
import type { Command } from "commander";
import type { Bill, BillLine } from "../contract/index.ts";
import { verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { count, money, percent, table } from "./format.ts";
import { standingLines } from "./prove.ts";
import { assertAgent } from "./runs.ts";

export function registerBill(program: Command, context: Context): void {
  verb(program, "bill", {
    about: "Revenue, cost of tokens, margin, pass rate and cost per verified outcome",
    examples: ["npx lineshaft bill", "npx lineshaft bill --from 2026-01-01 --json"],
  })
    .option(
      "--from <time>",
      "first moment included, such as 2026-01-01 or 2026-01-01T08:00:00Z; the beginning by default",
    )
    .option("--to <time>", "end of the range, not included; now by default")
    .option("--agent <name>", "only this agent")
    .action(async (options: { from?: string; to?: string; agent?: string; json?: boolean }) => {
      const { terminal } = context;
      const client = context.client();
      const bill = await client.get<Bill>("/api/bill", {
        from: options.from && timeOf(options.from, "--from"),
        to: options.to && timeOf(options.to, "--to"),
        agent: options.agent,
      });
      if (bill.lines.length === 0 && options.agent !== undefined) await assertAgent(client, options.agent);
      if (options.json) return terminal.printJson(bill);
      const suspended = bill.suspense.map(
        ({ model, attempts, amount_nano }) =>
          `${money(amount_nano, bill.currency)} in suspense: claimed by ${model} beyond what was held, in ${count(attempts)} attempts. Compare it with the provider's bill.`,
      );
      if (bill.lines.length === 0) return terminal.note("Nothing was spent or earned in this time.");
      const many = bill.lines.length > 1;
      const amount = (nano: string | null) => (nano === null ? "-" : money(nano, bill.currency));
      for (const line of table(many ? [...bill.lines, bill.total] : bill.lines, [
        { title: "agent", value: (row: BillLine) => (row === bill.total ? "total" : (row.agent ?? "(calls)")) },
        { title: "runs", value: (row) => count(row.runs), right: true },
        { title: "calls", value: (row) => count(row.calls), right: true },
        { title: "tokens in", value: (row) => count(row.prompt_tokens), right: true },
        { title: "cached", value: (row) => count(row.cached_tokens), right: true },
        { title: "out", value: (row) => count(row.output_tokens), right: true },
        { title: "revenue", value: (row) => amount(row.revenue_nano), right: true },
        { title: "token cost", value: (row) => amount(row.token_cost_nano), right: true },
        { title: "margin", value: (row) => amount(row.margin_nano), right: true },
        {
          title: "passed",
          value: (row) => passed(row),
          right: true,
        },
        { title: "pass rate", value: (row) => percent(row.pass_rate), right: true },
        { title: "cost / verified", value: (row) => amount(row.cost_per_verified_outcome_nano), right: true },
        { title: "verified / M tokens", value: (row) => rate(row.verified_outcomes_per_million_tokens), right: true },
      ]))
        terminal.print(line);
      for (const line of suspended) terminal.note(line);
      if (options.to !== undefined)
        terminal.note(
          bill.closed
            ? "This period is closed: everything of it is posted."
            : "This period is not closed: calls of it may still be posted.",
        );
      if (bill.standing && bill.standing.leased.length + bill.standing.suspense.length > 0)
        for (const line of standingLines(bill.standing, bill.currency, terminal.now())) terminal.note(line);
    });
}

function rate(value: number | null): string {
  if (value === null) return "-";
  return value >= 100 ? count(Math.round(value)) : value.toFixed(1);
}

function timeOf(text: string, option: string): string {
  const time = new Date(text);
  if (Number.isNaN(time.getTime()))
    throw new CliError({
      exitCode: 2,
      message: `${option} ${text} is not a time.`,
      hint: `Write it like ${option} 2026-01-01 or ${option} 2026-01-01T08:00:00Z`,
    });
  return time.toISOString();
}

/** "18 of 20", and the number of passed outcomes that rest on attested effects, if there are any. */
function passed({ outcomes_passed, outcomes_failed, outcomes_attested }: BillLine): string {
  const attested = outcomes_attested > 0 ? ` (${count(outcomes_attested)} attested)` : "";
  return `${count(outcomes_passed)} of ${count(outcomes_passed + outcomes_failed)}${attested}`;
}
