// The headline figures and charts of the overview, for the chosen range.
import { useMemo } from "react";
import type { Overview } from "../../contract/index.ts";
import { type OverviewRange } from "../api/queries.ts";
import {
  compact,
  duration,
  full,
  money,
  moneyFull,
  moneyNumber,
  moneyScale,
  moneyUnit,
  percent,
  plural,
} from "../format.ts";
import { TimeChart } from "../ui/chart.tsx";
import { Delta, Figure, moneyFigure, Sparkline } from "../ui/figure.tsx";
import { Empty } from "../ui/states.tsx";

const before: Record<OverviewRange, string> = {
  "1h": "the hour before",
  "24h": "the 24 hours before",
  "7d": "the 7 days before",
  "30d": "the 30 days before",
};
export function Figures({ data, range }: { data: Overview; range: OverviewRange }) {
  const tokens = data.tokens.uncached + data.tokens.cached + data.tokens.output;
  const against = before[range];
  const cost = moneyNumber(data.money.cost_nano);
  const amount = (nano: string) => moneyFigure(nano, data.currency);
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
            data-tip={`${moneyFull(data.saved.nano)} ${data.currency} against the uncached price${data.saved.prefill_ms === null ? "" : `, and ${duration(data.saved.prefill_ms)} of prefill`}. Answers of identical calls saved ${data.saved.tokens} tokens.`}
          >
            saved {money(data.saved.nano, data.currency)}
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
        note={`margin ${money(data.money.margin_nano, data.currency)}`}
      />
      <Figure
        of="token_cost"
        {...amount(data.money.cost_nano)}
        delta={<Delta now={cost} before={moneyNumber(data.previous.cost_nano)} against={against} />}
        spark={<Sparkline values={data.series.map((point) => moneyNumber(point.cost_nano))} tone="var(--agent)" />}
        note={
          tokens === 0 ? "–" : `${money(String(Math.round((cost * 1e15) / tokens)), data.currency)} a million tokens`
        }
      />
    </div>
  );
}

export function Charts({ data }: { data: Overview }) {
  const times = useMemo(() => data.series.map((point) => Date.parse(point.time) / 1000), [data]);
  const costScale = useMemo(
    () => moneyScale([String(data.series.reduce((sum, point) => sum + BigInt(point.cost_nano), 0n))]),
    [data],
  );
  const series = useMemo(() => {
    const values = (pick: (point: Overview["series"][number]) => number) => data.series.map(pick);
    return {
      tokens: [
        { label: "cached", tone: "--chip", values: values((point) => point.cached_tokens) },
        { label: "computed", tone: "--model", values: values((point) => point.uncached_tokens) },
        { label: "output", tone: "--model-light", values: values((point) => point.output_tokens) },
      ],
      calls: [{ label: "calls", tone: "--cloud", values: values((point) => point.calls) }],
      cost: [
        {
          label: "cost of tokens",
          tone: "--agent",
          values: values((point) => moneyNumber(point.cost_nano, costScale)),
        },
      ],
    };
  }, [data, costScale]);
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
          unit={moneyUnit(costScale, data.currency)}
          times={times}
          series={series.cost}
          group="overview"
          format={compact}
          height={104}
        />
      </div>
    </div>
  );
}
