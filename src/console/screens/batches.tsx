// Batches of the project, newest first: how far each is, and what it has cost.
import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import type { BatchResource } from "../../contract/index.ts";
import { batchesQuery } from "../api/queries.ts";
import { batchStatuses } from "../addresses.ts";
import { full, moneyScale } from "../format.ts";
import { FilterChip } from "../ui/filter.tsx";
import { FigureName } from "../ui/figure.tsx";
import { PageHead } from "../ui/page.tsx";
import { Empty, Failure, SkeletonRows } from "../ui/states.tsx";
import { Table, type Column } from "../ui/table.tsx";
import { Ago, Money, shortId, StateMark } from "../ui/text.tsx";
import { batchState } from "./batchState.ts";
import { CancelBatch } from "./cancelBatch.tsx";
import "./batch.css";

const columnsOf = (rows: BatchResource[]): Column<BatchResource>[] => {
  const scale = moneyScale(rows.map((row) => row.price_nano));
  return [
    {
      id: "id",
      head: "Batch",
      card: "title",
      cell: (batch) => (
        <span className="mono" data-tip={batch.id}>
          {shortId(batch.id)}
        </span>
      ),
    },
    {
      id: "status",
      head: "State",
      card: "note",
      cell: (batch) => <StateMark state={batch.status} label={batchState(batch.status)} />,
    },
    { id: "endpoint", head: "Calls", from: 760, cell: (batch) => <span className="mono soft">{batch.endpoint}</span> },
    { id: "progress", head: "Done", from: 900, cell: (batch) => <Progress batch={batch} /> },
    {
      id: "served",
      head: <FigureName of="batch_served" />,
      align: "right",
      card: "note",
      cell: ({ completed, total }) => (
        // Whole numbers: 49,988 of 50,000 must not read as all of them.
        <span className="num">
          {full(completed)} of {full(total)}
        </span>
      ),
    },
    {
      id: "failed",
      head: "Failed",
      align: "right",
      card: "note",
      word: "failed",
      cell: ({ failed }) => <span className={failed === 0 ? "num muted" : "num bad"}>{full(failed)}</span>,
    },
    {
      id: "price",
      head: <FigureName of="batch_price" />,
      align: "right",
      card: "value",
      cell: (batch) => <Money nano={batch.price_nano} currency={batch.currency} scale={scale} />,
    },
    { id: "made", head: "Made", align: "right", from: 620, cell: (batch) => <Ago time={batch.created_at} /> },
    {
      id: "cancel",
      head: <span className="spoken">Actions</span>,
      align: "right",
      card: "note",
      cell: (batch) => <CancelBatch batch={batch} small />,
    },
  ];
};

export function BatchesScreen() {
  const { status } = useSearch({ from: "/batches" });
  const navigate = useNavigate({ from: "/batches" });
  const batches = useInfiniteQuery(batchesQuery(status));
  const rows = batches.data?.pages.flatMap((page) => page.data) ?? [];
  const set = (value: BatchResource["status"] | undefined) =>
    void navigate({ search: value === undefined ? {} : { status: value }, replace: true });
  return (
    <>
      <PageHead title="Batches" note="Calls of a file, served where engines have room, at batch prices" />
      <div className="list-bar">
        <div className="chips">
          <FilterChip
            label="State"
            value={status}
            options={batchStatuses.map((value) => ({ value, label: batchState(value) }))}
            onChange={set}
          />
        </div>
      </div>
      <div className="panel">
        {batches.isPending ? (
          <SkeletonRows rows={6} />
        ) : batches.isError && rows.length === 0 ? (
          <Failure error={batches.error} retry={() => void batches.refetch()} />
        ) : rows.length > 0 ? (
          <Table
            label="Batches"
            primary
            columns={columnsOf(rows)}
            rows={rows}
            rowId={(batch) => batch.id}
            link={(batch) => ({ to: "/batches/$id", params: { id: batch.id } })}
            more={{
              has: batches.hasNextPage,
              loading: batches.isFetchingNextPage,
              load: () => void batches.fetchNextPage(),
            }}
          />
        ) : status === undefined ? (
          <Empty title="No batches yet" command="npx lineshaft batches create calls.jsonl --follow">
            A file has a call in each line. A batch serves them within 24 hours, after the calls that people wait for,
            and pays batch prices.
          </Empty>
        ) : (
          <Empty
            title={`No batch is ${batchState(status)}`}
            action={
              <button type="button" className="button" onClick={() => set(undefined)}>
                Clear the filter
              </button>
            }
          />
        )}
      </div>
    </>
  );
}

/** Lines that have ended, served and failed, of all lines. */
function Progress({ batch: { completed, failed, total } }: { batch: BatchResource }) {
  const part = (count: number) => ({ width: `${total === 0 ? 0 : (count / total) * 100}%` });
  return (
    <span className="batch-bar" aria-hidden="true" data-tip={`${full(completed)} served, ${full(failed)} failed`}>
      <i className="good" style={part(completed)} />
      <i className="bad" style={part(failed)} />
    </span>
  );
}
