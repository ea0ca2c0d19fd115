// The five questions at a glance: is it healthy, what are the agents doing, what does it cost and earn, what went wrong. Each
// answer leads one click deeper.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Call, Overview, Run } from "../../gateway/api/schemas.ts";
import { callsQuery, overviewQuery, runsQuery, type OverviewRange } from "../api/queries.ts";
import { compact, duration, full, money, moneyFull, moneyNumber, percent, plural } from "../format.ts";
import { overviewRanges } from "../router.tsx";
import { TimeChart } from "../ui/chart.tsx";
import { Delta, Figure, Sparkline } from "../ui/figure.tsx";
import { Segmented } from "../ui/filter.tsx";
import { PageHead, TopTools } from "../ui/page.tsx";
import { Empty, Failure, SkeletonFigures, SkeletonRows } from "../ui/states.tsx";
import { Table, type Column } from "../ui/table.tsx";
import { Ago, Money, shortId, StateMark } from "../ui/text.tsx";
import { Health } from "./health.tsx";
import { RunLength } from "./run-list.tsx";
import { wordOf } from "./words.ts";
import "./overview.css";

const before: Record<OverviewRange, string> = {
  "1h": "the hour before",
  "24h": "the 24 hours before",
  "7d": "the 7 days before",
  "30d": "the 30 days before",
};
const rangeNames: Record<OverviewRange, string> = {
  "1h": "Last hour",
  "24h": "Last 24 hours",
  "7d": "Last 7 days",
  "30d": "Last 30 days",
};

export function OverviewScreen() {
  const range = useSearch({ from: "/" }).range ?? "24h";
  const navigate = useNavigate({ from: "/" });
  const { data, error, refetch } = useQuery({ ...overviewQuery(range), placeholderData: (old) => old });
  return (
    <>
      <TopTools>
        <Segmented
          label="Time range"
          value={range}
          options={overviewRanges.map((value) => ({ value, label: value, tip: rangeNames[value] }))}
          onChange={(value) => void navigate({ search: value === "24h" ? {} : { range: value }, replace: true })}
        />
      </TopTools>
      <PageHead title="Overview" note={rangeNames[range]} />
      <div className="stack">
        <Health />
        {data !== undefined ? (
          <Figures data={data} range={range} />
        ) : error === null ? (
          <SkeletonFigures count={8} />
        ) : (
          <Failure error={error} retry={() => void refetch()} />
        )}
        {data === undefined ? null : <Charts data={data} />}
        <div className="pair">
          <Alive />
          <Wrong />
        </div>
      </div>
    </>
  );
}

function Figures({ data, range }: { data: Overview; range: OverviewRange }) {
  const tokens = data.tokens.uncached + data.tokens.cached + data.tokens.output;
  const against = before[range];
  const cost = moneyNumber(data.money.cost_nano);
  const amount = (nano: string) => ({
    value: money(nano),
    unit: data.currency,
    tip: `${moneyFull(nano)} ${data.currency}`,
  });
  return (
    <div className="figures of-four">
      <Figure
        of="tokens"
        value={compact(tokens)}
        tip={`${full(tokens)} tokens`}
        delta={<Delta now={tokens} before={data.previous.tokens} against={against} />}
        spark={
          <Sparkline
            values={data.series.map((point) => point.uncached_tokens + point.cached_tokens + point.output_tokens)}
            tone="var(--model)"
          />
        }
        note={`${compact(data.tokens.uncached + data.tokens.cached)} prompt, ${compact(data.tokens.output)} output`}
      />
      <Figure
        of="calls"
        value={compact(data.calls.total)}
        tip={`${full(data.calls.total)} calls`}
        delta={<Delta now={data.calls.total} before={data.previous.calls} against={against} />}
        spark={<Sparkline values={data.series.map((point) => point.calls)} tone="var(--cloud)" />}
        note={`${full(data.calls.failed)} failed, ${full(data.calls.refused)} refused`}
      />
      <Figure
        of="cached_share"
        value={percent(data.cached_share)}
        spark={
          <Sparkline
            values={data.series.map((point) =>
              point.cached_tokens + point.uncached_tokens === 0
                ? 0
                : point.cached_tokens / (point.cached_tokens + point.uncached_tokens),
            )}
            tone="var(--chip)"
          />
        }
        note={
          <span
            data-tip={`${moneyFull(data.saved.nano)} ${data.currency} against the uncached price${data.saved.prefill_ms === null ? "" : `, and ${duration(data.saved.prefill_ms)} of prefill`}`}
          >
            saved {money(data.saved.nano)} {data.currency}
            {data.saved.prefill_ms === null ? "" : `, ${duration(data.saved.prefill_ms)}`}
          </span>
        }
      />
      <Figure
        of="first_token"
        value={duration(data.first_token_ms.p50)}
        unit="median"
        note={`p90 ${duration(data.first_token_ms.p90)}, p99 ${duration(data.first_token_ms.p99)}`}
      />
      <Figure
        of="runs"
        label="Runs alive"
        value={full(data.runs.running + data.runs.waiting)}
        note={`${full(data.runs.waiting)} waiting; ${full(data.runs.completed)} completed, ${full(data.runs.failed)} failed`}
      />
      <Figure
        of="pass_rate"
        value={percent(data.outcomes.pass_rate)}
        note={
          data.outcomes.passed + data.outcomes.failed === 0
            ? "nothing was judged"
            : `${full(data.outcomes.passed)} of ${plural(data.outcomes.passed + data.outcomes.failed, "outcome")}`
        }
      />
      <Figure
        of="revenue"
        {...amount(data.money.revenue_nano)}
        delta={
          <Delta
            now={moneyNumber(data.money.revenue_nano)}
            before={moneyNumber(data.previous.revenue_nano)}
            good="up"
            against={against}
          />
        }
        note={`margin ${money(data.money.margin_nano)} ${data.currency}`}
      />
      <Figure
        of="token_cost"
        {...amount(data.money.cost_nano)}
        delta={<Delta now={cost} before={moneyNumber(data.previous.cost_nano)} good="down" against={against} />}
        spark={<Sparkline values={data.series.map((point) => moneyNumber(point.cost_nano))} tone="var(--agent)" />}
        note={
          tokens === 0 ? "–" : `${money(String(Math.round((cost * 1e15) / tokens)))} ${data.currency} a million tokens`
        }
      />
    </div>
  );
}

function Charts({ data }: { data: Overview }) {
  const times = useMemo(() => data.series.map((point) => Date.parse(point.time) / 1000), [data]);
  const series = useMemo(() => {
    const values = (pick: (point: Overview["series"][number]) => number) => data.series.map(pick);
    return {
      tokens: [
        { label: "cached", tone: "--chip", values: values((point) => point.cached_tokens) },
        { label: "computed", tone: "--model", values: values((point) => point.uncached_tokens) },
        { label: "output", tone: "--model-light", values: values((point) => point.output_tokens) },
      ],
      calls: [{ label: "calls", tone: "--cloud", values: values((point) => point.calls) }],
      cost: [{ label: "cost of tokens", tone: "--agent", values: values((point) => moneyNumber(point.cost_nano)) }],
    };
  }, [data]);
  if (data.calls.total === 0 && data.previous.calls === 0) {
    return (
      <div className="panel">
        <Empty title="No calls in this period" command={'npx lineshaft call "Name three metals."'}>
          Ask the served model from a terminal, from the chat here, or with any OpenAI client at /v1. Figures and charts
          fill as calls end.
        </Empty>
      </div>
    );
  }
  return (
    <div className="charts">
      <TimeChart
        of="tokens"
        title="Tokens"
        unit="tokens"
        times={times}
        series={series.tokens}
        group="overview"
        format={compact}
        height={300}
      />
      <div className="stack">
        <TimeChart
          of="calls"
          title="Calls"
          unit="calls"
          times={times}
          series={series.calls}
          group="overview"
          format={compact}
          height={104}
        />
        <TimeChart
          of="token_cost"
          title="Cost of tokens"
          unit={data.currency}
          times={times}
          series={series.cost}
          group="overview"
          format={moneyTick}
          height={104}
        />
      </div>
    </div>
  );
}

const moneyTick = (value: number) => (value === 0 ? "0" : money(String(Math.round(value * 1e9))));

const aliveLimit = 6;
const aliveColumns: Column<Run>[] = [
  {
    id: "agent",
    head: "Agent",
    card: "title",
    cell: (run) => <StateMark state={run.status} label={run.agent} tip={`${run.status}\n${run.id}`} />,
  },
  {
    id: "steps",
    head: "Steps",
    align: "right",
    card: "note",
    word: "steps",
    cell: (run) => <span className="num">{full(run.steps)}</span>,
  },
  {
    id: "cost",
    head: "Cost so far",
    align: "right",
    card: "value",
    cell: (run) => <Money nano={run.cost_nano} currency={run.currency} />,
  },
  { id: "alive", head: "For", align: "right", card: "note", cell: (run) => <RunLength run={run} /> },
];

function Alive() {
  const running = useInfiniteQuery(runsQuery({ status: "running" }, 20));
  const waiting = useInfiniteQuery(runsQuery({ status: "waiting" }, 20));
  const newest = useInfiniteQuery(runsQuery({}, 20));
  const rows = [...(running.data?.pages[0]?.data ?? []), ...(waiting.data?.pages[0]?.data ?? [])].slice(0, aliveLimit);
  const last = newest.data?.pages[0]?.data[0];
  return (
    <section className="panel" aria-labelledby="alive">
      <div className="panel-head">
        <h2 id="alive">Alive now</h2>
        <span className="aside">
          <Link to="/runs" className="text">
            All runs
          </Link>
        </span>
      </div>
      {running.isPending || waiting.isPending ? (
        <SkeletonRows rows={3} />
      ) : rows.length === 0 ? (
        last === undefined ? (
          <Empty title="No runs yet" command="npm run demo">
            The demo publishes an agent and lets it inspect twenty machines.
          </Empty>
        ) : (
          <p className="panel-note">
            No run is alive. The last one, of {last.agent}, began <Ago time={last.created_at} /> and {last.status}.
          </p>
        )
      ) : (
        <Table
          label="Runs alive now"
          columns={aliveColumns}
          rows={rows}
          rowId={(run) => run.id}
          link={(run) => ({ to: "/runs/$id", params: { id: run.id } })}
        />
      )}
    </section>
  );
}

type Trouble = { kind: "call"; at: string; call: Call } | { kind: "run"; at: string; run: Run };
const troubleColumns: Column<Trouble>[] = [
  {
    id: "what",
    head: "What",
    card: "title",
    cell: (row) =>
      row.kind === "run" ? (
        <StateMark state={row.run.status === "failed" ? "failed" : "refused"} label={row.run.agent} tip={row.run.id} />
      ) : (
        <StateMark
          state={row.call.status}
          label={<span className="mono">{shortId(row.call.id)}</span>}
          tip={row.call.id}
        />
      ),
  },
  {
    id: "why",
    head: "Why",
    card: "note",
    grow: true,
    cell: (row) => (
      <span className="soft">
        {row.kind === "run" ? runTrouble(row.run) : `${row.call.status}: ${wordOf(row.call.error_code ?? "unknown")}`}
      </span>
    ),
  },
  { id: "when", head: "When", align: "right", card: "value", cell: (row) => <Ago time={row.at} /> },
];
const runTrouble = (run: Run) =>
  run.outcome?.verdict === "failed"
    ? `did not pass: ${run.outcome.reason}`
    : `failed: ${wordOf(run.error_code ?? "unknown")}`;

/** The newest failures of any kind: calls, runs, and runs whose outcome did not pass. */
function Wrong() {
  const failed = useInfiniteQuery(callsQuery({ status: "failed" }, 20));
  const refused = useInfiniteQuery(callsQuery({ status: "refused" }, 20));
  const runs = useInfiniteQuery(runsQuery({ status: "failed" }, 20));
  const all = useInfiniteQuery(runsQuery({ status: "completed" }, 20));
  const rows: Trouble[] = [
    ...[...(failed.data?.pages[0]?.data ?? []), ...(refused.data?.pages[0]?.data ?? [])].map((call): Trouble => ({
      kind: "call",
      at: call.started_at,
      call,
    })),
    ...[
      ...(runs.data?.pages[0]?.data ?? []),
      ...(all.data?.pages[0]?.data ?? []).filter((run) => run.outcome?.verdict === "failed"),
    ].map((run): Trouble => ({ kind: "run", at: run.ended_at ?? run.created_at, run })),
  ];
  rows.sort((a, b) => (a.at < b.at ? 1 : -1));
  return (
    <section className="panel" aria-labelledby="wrong">
      <div className="panel-head">
        <h2 id="wrong">Went wrong lately</h2>
        <span className="aside">
          <Link to="/calls" search={{ status: "failed" }} className="text">
            Failed calls
          </Link>
        </span>
      </div>
      {failed.isPending || refused.isPending || runs.isPending ? (
        <SkeletonRows rows={3} />
      ) : rows.length === 0 ? (
        <p className="panel-note">Nothing: no call was refused or failed, and no run.</p>
      ) : (
        <Table
          label="What went wrong lately"
          columns={troubleColumns}
          rows={rows.slice(0, aliveLimit)}
          rowId={(row) => (row.kind === "run" ? row.run.id : row.call.id)}
          link={(row) =>
            row.kind === "run"
              ? { to: "/runs/$id", params: { id: row.run.id } }
              : { to: "/calls/$id", params: { id: row.call.id } }
          }
        />
      )}
    </section>
  );
}
