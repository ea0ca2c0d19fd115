// The columns of runs in a list, shared by all screens that list runs.
import { Link } from "@tanstack/react-router";
import type { Run } from "../../contract/index.ts";
import { compact, duration, durationScale, full, moneyScale } from "../format.ts";
import type { Column } from "../ui/table.tsx";
import { Ago, Money, shortId, StateMark, useNow } from "../ui/text.tsx";
import { wordOf } from "./words.ts";

/** Milliseconds from the start of the first step to the end of the run, or to now. */
export function runLength(run: Run, now: number): number | null {
  if (run.started_at === null) return null;
  return Math.max(0, (run.ended_at === null ? now : Date.parse(run.ended_at)) - Date.parse(run.started_at));
}

export function RunLength({ run, format = duration }: { run: Run; format?: (ms: number | null) => string }) {
  const now = useNow();
  return <span className="num">{format(runLength(run, now))}</span>;
}

export const isAlive = (run: Run): boolean =>
  run.status === "queued" || run.status === "running" || run.status === "waiting";

function Verdict({ run }: { run: Run }) {
  if (run.outcome !== null) return <StateMark state={run.outcome.verdict} tip={run.outcome.reason} />;
  if (run.error_code !== null)
    return (
      <span className="soft" data-tip={run.error_message ?? undefined}>
        {wordOf(run.error_code)}
      </span>
    );
  return <span className="muted">{isAlive(run) ? "not yet" : "not judged"}</span>;
}

/** Columns for these rows, whose amounts and durations decide the number of digits of each column. */
export function runColumns(rows: Run[], options: { agent?: boolean } = {}): Column<Run>[] {
  const scale = moneyScale(rows.map((row) => row.cost_nano));
  const length = durationScale(rows.map((row) => runLength(row, Date.now())));
  const columns: (Column<Run> | undefined)[] = [
    {
      id: "status",
      head: "Run",
      card: "title",
      cell: (run) => (
        <StateMark
          state={run.status}
          label={<span className="mono">{shortId(run.id)}</span>}
          tip={`${run.status}\n${run.id}`}
        />
      ),
      width: "170px",
    },
    options.agent === false
      ? undefined
      : {
          id: "agent",
          head: "Agent",
          card: "note",
          cell: (run) => (
            <Link to="/agents/$name" params={{ name: run.agent }} className="quiet-link">
              {run.agent} <span className="muted num">v{run.version}</span>
            </Link>
          ),
          sort: (run) => run.agent,
        },
    {
      id: "outcome",
      head: "Outcome",
      card: "value",
      cell: (run) => <Verdict run={run} />,
      sort: (run) => run.outcome?.verdict ?? null,
    },
    {
      id: "steps",
      head: "Steps",
      align: "right",
      from: 760,
      cell: (run) => <span className="num">{full(run.steps)}</span>,
      sort: (run) => run.steps,
    },
    {
      id: "tokens",
      head: "Tokens",
      align: "right",
      from: 900,
      cell: (run) => (
        <span
          className="num"
          data-tip={`${full(run.prompt_tokens)} prompt (${full(run.cached_tokens)} cached), ${full(run.output_tokens)} output`}
        >
          {compact(run.prompt_tokens + run.output_tokens)}
        </span>
      ),
      sort: (run) => run.prompt_tokens + run.output_tokens,
    },
    {
      id: "cost",
      head: "Cost",
      align: "right",
      card: "note",
      cell: (run) => <Money nano={run.cost_nano} currency={run.currency} scale={scale} />,
      sort: (run) => BigInt(run.cost_nano),
    },
    {
      id: "duration",
      head: "Duration",
      align: "right",
      from: 620,
      cell: (run) => <RunLength run={run} format={length} />,
      sort: (run) => runLength(run, Date.now()),
    },
    {
      id: "started",
      head: "Began",
      align: "right",
      card: "note",
      cell: (run) => <Ago time={run.created_at} />,
      sort: (run) => run.created_at,
    },
  ];
  return columns.filter((column) => column !== undefined);
}
