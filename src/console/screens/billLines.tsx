// The lines of a bill, as columns of a table and as a CSV file.
import type { Bill, BillLine } from "../../contract/index.ts";
import { type Figures } from "../definitions.ts";
import { compact, full, moneyFull, moneyScale, percentFixed } from "../format.ts";
import { FigureName } from "../ui/figure.tsx";
import { saveFile } from "../ui/saveFile.ts";
import { type Column } from "../ui/table.tsx";
import { Money } from "../ui/text.tsx";

export function columnsOf(bill: Bill): Column<BillLine>[] {
  const { currency } = bill;
  const all = [...bill.lines, bill.total];
  const amounts = (of: (line: BillLine) => string | null) => {
    const scale = moneyScale(all.flatMap((line) => of(line) ?? []));
    return (line: BillLine) => {
      const nano = of(line);
      return nano === null ? <span className="muted">–</span> : <Money nano={nano} currency={currency} scale={scale} />;
    };
  };
  const margin = amounts((line) => line.margin_nano);
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
        <span
          className="num"
          data-tip={`${full(line.outcomes_passed)} passed${line.outcomes_attested > 0 ? ` (${full(line.outcomes_attested)} on a person's word)` : ""}, ${full(line.outcomes_failed)} did not`}
        >
          {percentFixed(line.pass_rate)}
        </span>
      ),
    },
    {
      id: "unit",
      head: head("cost_per_outcome", "Cost per outcome"),
      align: "right",
      from: 760,
      cell: amounts((line) => line.cost_per_verified_outcome_nano),
    },
    {
      id: "revenue",
      head: head("revenue"),
      align: "right",
      card: "note",
      word: "revenue",
      cell: amounts((line) => line.revenue_nano),
    },
    {
      id: "cost",
      head: head("token_cost", "Cost"),
      align: "right",
      cell: amounts((line) => line.token_cost_nano),
    },
    {
      id: "margin",
      head: head("margin"),
      align: "right",
      card: "value",
      cell: (line) => <b className={line.margin_nano.startsWith("-") ? "bad" : ""}>{margin(line)}</b>,
    },
  ];
}

/** Saves the lines as a CSV file with exact amounts and one column for each field of the API. */
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
  const name = `lineshaft-bill-${bill.from.slice(0, 10)}-${bill.to.slice(0, 10)}.csv`;
  saveFile(new Blob([`${rows.join("\n")}\n`], { type: "text/csv" }), name);
}
