// The columns of calls in a list, shared by all screens that list calls.
import type { ReactNode } from "react";
import type { Call } from "../../contract/index.ts";
import { durationScale, full, moneyScale, percentFixed } from "../format.ts";
import type { Column } from "../ui/table.tsx";
import { Ago, Count, Money, shortId, StateMark } from "../ui/text.tsx";
import { Link } from "@tanstack/react-router";
import { remedyOf, wordOf } from "./words.ts";

const share = (call: Call) => (call.prompt_tokens === 0 ? null : call.cached_tokens / call.prompt_tokens);

/** Columns for these rows, whose amounts and durations decide the number of digits of each column. */
export function callColumns(rows: Call[]): Column<Call>[] {
  const reasons = rows.some((call) => call.error_code !== null);
  const scale = moneyScale(rows.map((row) => row.price_nano));
  const length = durationScale(rows.map((row) => row.duration_ms));
  const first = durationScale(rows.map((row) => row.first_token_ms));
  const columns: Column<Call>[] = [
    {
      id: "status",
      head: "Call",
      card: "title",
      cell: (call) => (
        <StateMark state={call.status} label={<span className="mono">{shortId(call.id)}</span>} tip={stateTip(call)} />
      ),
      width: "170px",
    },
    { id: "model", head: "Model", card: "note", cell: (call) => call.model, sort: (call) => call.model },
    {
      id: "origin",
      head: "Agent",
      from: reasons ? 1080 : 900,
      cell: (call): ReactNode =>
        call.agent === null ? (
          <span className="muted">–</span>
        ) : (
          <Link to="/agents/$name" params={{ name: call.agent }} className="quiet-link">
            {call.agent}
          </Link>
        ),
      sort: (call) => call.agent,
    },
    ...(reasons ? [reasonColumn] : []),
    {
      id: "prompt",
      head: "Prompt",
      align: "right",
      from: 620,
      cell: (call) => <Count value={call.prompt_tokens} unit="prompt tokens" />,
      sort: (call) => call.prompt_tokens,
    },
    {
      id: "cached",
      head: "Cached",
      align: "right",
      from: reasons ? 1080 : 760,
      cell: (call) => (
        <span className="num" data-tip={`${full(call.cached_tokens)} of ${full(call.prompt_tokens)} prompt tokens`}>
          {share(call) === null ? "–" : percentFixed(share(call))}
        </span>
      ),
      sort: share,
    },
    {
      id: "output",
      head: "Output",
      align: "right",
      from: 620,
      card: "note",
      word: "output",
      cell: (call) =>
        call.error_code !== null && call.output_tokens === 0 ? null : (
          <Count value={call.output_tokens} unit="output tokens" />
        ),
      sort: (call) => call.output_tokens,
    },
    {
      id: "first",
      head: "First token",
      align: "right",
      from: 1080,
      cell: (call) => <span className="num">{first(call.first_token_ms)}</span>,
      sort: (call) => call.first_token_ms,
    },
    {
      id: "duration",
      head: "Duration",
      align: "right",
      card: "note",
      cell: (call) => <span className="num">{length(call.duration_ms)}</span>,
      sort: (call) => call.duration_ms,
    },
    {
      id: "price",
      head: "Price",
      align: "right",
      card: "value",
      cell: (call) => <Money nano={call.price_nano} currency={call.currency} scale={scale} />,
      sort: (call) => BigInt(call.price_nano),
    },
    {
      id: "started",
      head: "Started",
      align: "right",
      card: "note",
      from: 900,
      cell: (call) => <Ago time={call.started_at} />,
      sort: (call) => call.started_at,
    },
  ];
  return columns;
}

/** Why a call did not complete, and what to do. Only lists with such a call have this column. */
const reasonColumn: Column<Call> = {
  id: "reason",
  head: "Reason",
  card: "note",
  grow: true,
  cell: (call) => (call.error_code === null ? null : <Reason code={call.error_code} />),
  sort: (call) => call.error_code,
};

function Reason({ code }: { code: string }) {
  const remedy = remedyOf(code);
  return (
    <span data-tip={[code, remedy].filter(Boolean).join("\n")}>
      {wordOf(code)}
      {remedy === undefined ? null : <span className="muted reason-remedy">. {remedy}</span>}
    </span>
  );
}

function stateTip(call: Call): string {
  const why = call.error_code === null ? "" : `: ${wordOf(call.error_code)}`;
  return `${call.status}${why}\n${call.id}`;
}
