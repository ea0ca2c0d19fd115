// The bill: revenue, cost and margin of each agent, and the cost of a verified outcome.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Bill } from "../../contract/index.ts";
import { billQuery } from "../api/queries.ts";
import { definitions, type Figures } from "../definitions.ts";
import { compact, full, moment, moneyScale, percent, percentFixed } from "../format.ts";
import { billRanges, type BillRange } from "../addresses.ts";
import { Figure, moneyFigure } from "../ui/figure.tsx";
import { Segmented } from "../ui/filter.tsx";
import { DownloadIcon } from "../ui/icons.tsx";
import { useNarrow } from "../ui/media.ts";
import { PageHead, PartsBar, TopTools } from "../ui/page.tsx";
import { Empty, Failure, SkeletonFigures, SkeletonRows } from "../ui/states.tsx";
import { Table } from "../ui/table.tsx";
import { Command, Money } from "../ui/text.tsx";
import { columnsOf, download } from "./billLines.tsx";
import { ProofPanel } from "./proof.tsx";
import "./bill.css";

const names: Record<BillRange, string> = {
  "24h": "Last 24 hours",
  "7d": "Last 7 days",
  "30d": "Last 30 days",
  all: "From the beginning",
};
const lengths: Record<BillRange, number | undefined> = {
  "24h": 86_400_000,
  "7d": 7 * 86_400_000,
  "30d": 30 * 86_400_000,
  all: undefined,
};

/** The first moment of a range, cut to a minute, so that the same request is cached while the page is open. */
function startOf(range: BillRange): { from?: string } {
  const length = lengths[range];
  return length === undefined
    ? {}
    : { from: new Date(Math.floor((Date.now() - length) / 60_000) * 60_000).toISOString() };
}

export function BillScreen() {
  const { range = "30d", sort } = useSearch({ from: "/bill" });
  const navigate = useNavigate({ from: "/bill" });
  const period = useMemo(() => startOf(range), [range]);
  const { data, error, refetch } = useQuery({ ...billQuery(period), placeholderData: (old) => old });
  return (
    <>
      <TopTools>
        <Segmented
          label="Time range"
          value={range}
          options={billRanges.map((value) => ({ value, label: value === "all" ? "All" : value, tip: names[value] }))}
          onChange={(value) =>
            void navigate({
              search: (old) => ({
                ...(old.sort === undefined ? {} : { sort: old.sort }),
                ...(value === "30d" ? {} : { range: value }),
              }),
              replace: true,
            })
          }
        />
      </TopTools>
      <PageHead title="Bill" note={data === undefined ? names[range] : `${moment(data.from)} to ${moment(data.to)}`}>
        {data === undefined || data.lines.length === 0 ? null : (
          <button type="button" className="button" onClick={() => download(data)}>
            <DownloadIcon />
            CSV
          </button>
        )}
      </PageHead>
      {data !== undefined ? (
        <BillBody
          bill={data}
          sort={sort}
          onSort={(value) =>
            void navigate({
              search: (old) => ({
                ...(old.range === undefined ? {} : { range: old.range }),
                ...(value === undefined ? {} : { sort: value }),
              }),
              replace: true,
            })
          }
        />
      ) : error === null ? (
        <div className="stack">
          <SkeletonFigures count={4} />
          <div className="panel">
            <SkeletonRows rows={4} />
          </div>
        </div>
      ) : (
        <Failure error={error} retry={() => void refetch()} />
      )}
    </>
  );
}

/** Amounts that engines claimed beyond the hold. No budget pays them and no line counts them: they are to be settled with the provider. */
function Suspense({ bill }: { bill: Bill }) {
  const scale = moneyScale(bill.suspense.map((line) => line.amount_nano));
  return (
    <section className="panel" aria-labelledby="suspense">
      <div className="panel-head">
        <h2 id="suspense">In suspense</h2>
        <span className="aside">in no line above</span>
      </div>
      <div className="panel-body">
        <p className="soft">
          Engines claimed more tokens than were held for these calls. No budget pays for them: compare the amounts with
          the provider's bill.
        </p>
        <table className="mini">
          <thead>
            <tr>
              <th scope="col">Model</th>
              <th scope="col">Attempts</th>
              <th scope="col">Claimed beyond the hold</th>
            </tr>
          </thead>
          <tbody>
            {bill.suspense.map((line) => (
              <tr key={line.model}>
                <th scope="row">{line.model}</th>
                <td>{full(line.attempts)}</td>
                <td>
                  <Money nano={line.amount_nano} currency={bill.currency} scale={scale} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function BillBody({
  bill,
  sort,
  onSort,
}: {
  bill: Bill;
  sort: string | undefined;
  onSort: (sort: string | undefined) => void;
}) {
  const narrow = useNarrow();
  const { total, currency } = bill;
  const amount = (nano: string | null) => (nano === null ? { value: "–" } : moneyFigure(nano, currency));
  const columns = useMemo(() => columnsOf(bill), [bill]);
  const judged = total.outcomes_passed + total.outcomes_failed;
  const revenue = BigInt(total.revenue_nano);
  const share = revenue === 0n ? null : Number((BigInt(total.margin_nano) * 100_000n) / revenue) / 100_000;
  return (
    <div className="stack">
      <div className="figures of-six">
        <Figure
          of="revenue"
          {...amount(total.revenue_nano)}
          note={`${full(total.outcomes_passed)} outcomes sold${total.outcomes_attested > 0 ? `, ${full(total.outcomes_attested)} attested` : ""}`}
        />
        <Figure of="token_cost" {...amount(total.token_cost_nano)} note={`${compact(total.calls)} calls`} />
        <Figure
          of="margin"
          {...amount(total.margin_nano)}
          note={share === null ? "no revenue" : `${percentFixed(share)} of revenue`}
        />
        <Figure
          of="pass_rate"
          value={percent(total.pass_rate)}
          note={judged === 0 ? "nothing was judged" : `${full(total.outcomes_passed)} of ${full(judged)} outcomes`}
        />
        <Figure
          of="cost_per_outcome"
          label="Cost per outcome"
          {...amount(total.cost_per_verified_outcome_nano)}
          note="failed runs included"
        />
        <Figure
          of="outcomes_per_million"
          label="Outcomes / M tokens"
          value={
            total.verified_outcomes_per_million_tokens === null
              ? "–"
              : compact(Math.round(total.verified_outcomes_per_million_tokens * 10) / 10)
          }
          note="of judged agents"
        />
      </div>
      <section className="panel" aria-labelledby="lines">
        <div className="panel-head">
          <h2 id="lines">By agent</h2>
        </div>
        {bill.lines.length === 0 ? (
          <Empty title="Nothing in this period" command="npm run demo">
            A bill has a line for each agent that worked, and one for calls outside runs. The demo makes the first.
          </Empty>
        ) : (
          <>
            <Table
              label="Bill by agent"
              primary
              columns={columns}
              rows={bill.lines}
              rowId={(line) => line.agent ?? ""}
              link={(line) =>
                line.agent === null ? { to: "/calls" } : { to: "/agents/$name", params: { name: line.agent } }
              }
              sort={sort}
              onSort={onSort}
              footer={
                <tr>
                  {columns.map((column) => (
                    <td
                      key={column.id}
                      className={column.align === "right" ? "right" : undefined}
                      data-from={column.from}
                    >
                      {column.id === "agent" ? "Total" : column.cell(total)}
                    </td>
                  ))}
                </tr>
              }
            />
            {narrow ? (
              <div className="bill-total">
                <span>Total</span>
                <Money nano={total.margin_nano} currency={currency} />
              </div>
            ) : null}
          </>
        )}
      </section>
      {bill.suspense.length === 0 ? null : <Suspense bill={bill} />}
      <ProofPanel currency={currency} />
      <section className="panel" aria-labelledby="where-tokens">
        <div className="panel-head">
          <h2 id="where-tokens">Tokens of the period</h2>
          <span className="aside num">{full(total.prompt_tokens + total.output_tokens)}</span>
        </div>
        <div className="panel-body">
          <PartsBar
            label="Tokens by kind"
            parts={[
              { label: "cached", value: total.cached_tokens, tone: "--chip", text: full(total.cached_tokens) },
              {
                label: "computed",
                value: total.prompt_tokens - total.cached_tokens,
                tone: "--model",
                text: full(total.prompt_tokens - total.cached_tokens),
              },
              { label: "output", value: total.output_tokens, tone: "--model-light", text: full(total.output_tokens) },
            ]}
          />
        </div>
      </section>
      <section className="panel" aria-labelledby="how">
        <div className="panel-head">
          <h2 id="how">How each figure is computed</h2>
        </div>
        <dl className="how">
          {(
            [
              "revenue",
              "token_cost",
              "margin",
              "pass_rate",
              "cost_per_outcome",
              "outcomes_per_million",
            ] satisfies Figures[]
          ).map((name) => (
            <div key={name}>
              <dt>{definitions[name].name}</dt>
              <dd>{definitions[name].formula}</dd>
            </div>
          ))}
        </dl>
        <div className="how-foot">
          <span className="muted">The same in a terminal, or as JSON with --json</span>
          <Command>npx lineshaft bill</Command>
        </div>
      </section>
    </div>
  );
}
