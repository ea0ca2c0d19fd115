// The lines of a bill: as columns of a table, and as a spreadsheet reads them.
import type { Bill, BillLine } from "../../gateway/api/schemas.ts";
import { type Figures } from "../definitions.ts";
import { columnDecimals, compact, decimalsFor, full, moneyFull, percent } from "../format.ts";
import { FigureName } from "../ui/figure.tsx";
import { type Column } from "../ui/table.tsx";
import { Money } from "../ui/text.tsx";

export function columnsOf(bill: Bill): Column<BillLine>[] {
  const { currency } = bill;
  const all = [...bill.lines, bill.total];
  const decimals = Math.min(6, decimalsFor(all.flatMap((line) => [line.token_cost_nano, line.revenue_nano])) + 2);
  const unitDecimals = columnDecimals(all.flatMap((line) => line.cost_per_verified_outcome_nano ?? []));
  const sum = (nano: string) => <Money nano={nano} currency={currency} decimals={decimals} bare />;
  const head = (of: Figures, label?: string) => <FigureName of={of} {...(label === undefined ? {} : { label })} />;
  return [
    {
      id: "agent",
      head: "Agent",
      card: "title",
      cell: (line) => line.agent ?? <span className="soft">Calls outside runs</span>,
    },
    {
      id: "runs",
      head: "Runs",
      align: "right",
      from: 760,
      cell: (line) => <span className="num">{full(line.runs)}</span>,
    },
    {
      id: "calls",
      head: "Calls",
      align: "right",
      from: 900,
      cell: (line) => <span className="num">{full(line.calls)}</span>,
    },
    {
      id: "tokens",
      head: "Tokens",
      align: "right",
      from: 900,
      cell: (line) => (
        <span className="num" data-tip={full(line.prompt_tokens + line.output_tokens)}>
          {compact(line.prompt_tokens + line.output_tokens)}
        </span>
      ),
    },
    {
      id: "passed",
      head: head("pass_rate"),
      align: "right",
      card: "note",
      word: "passed",
      cell: (line) => (
        <span className="num" data-tip={`${full(line.outcomes_passed)} passed, ${full(line.outcomes_failed)} did not`}>
          {percent(line.pass_rate)}
        </span>
      ),
    },
    {
      id: "unit",
      head: head("cost_per_outcome", "Cost per outcome"),
      align: "right",
      from: 760,
      cell: (line) =>
        line.cost_per_verified_outcome_nano === null ? (
          <span className="muted">–</span>
        ) : (
          <Money nano={line.cost_per_verified_outcome_nano} currency={currency} decimals={unitDecimals} bare />
        ),
    },
    {
      id: "revenue",
      head: head("revenue"),
      align: "right",
      card: "note",
      word: "revenue",
      cell: (line) => sum(line.revenue_nano),
    },
    { id: "cost", head: head("token_cost", "Cost"), align: "right", cell: (line) => sum(line.token_cost_nano) },
    {
      id: "margin",
      head: head("margin"),
      align: "right",
      card: "value",
      cell: (line) => <b className={line.margin_nano.startsWith("-") ? "bad" : ""}>{sum(line.margin_nano)}</b>,
    },
  ];
}

/** The lines as a spreadsheet reads them: exact amounts, one column per field of the API. */
export function download(bill: Bill): void {
  const fields = Object.keys(bill.total) as (keyof BillLine)[];
  const cell = (field: keyof BillLine, line: BillLine) => {
    const value = line[field];
    if (value === null) return "";
    if (field.endsWith("_nano")) return moneyFull(String(value)).replaceAll(",", "").replace("−", "-");
    const text = String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const rows = [["from", "to", "currency", ...fields.map((field) => field.replace(/_nano$/, ""))].join(",")];
  for (const line of bill.lines)
    rows.push([bill.from, bill.to, bill.currency, ...fields.map((field) => cell(field, line))].join(","));
  const url = URL.createObjectURL(new Blob([`${rows.join("\n")}\n`], { type: "text/csv" }));
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = `lineshaft-bill-${bill.from.slice(0, 10)}-${bill.to.slice(0, 10)}.csv`;
  anchor.click();
  URL.revokeObjectURL(url);
}
