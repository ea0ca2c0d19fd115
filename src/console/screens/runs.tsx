// All runs of all agents, newest first. Filters and sorting are part of the address, and runs change on the page as they happen.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Run } from "../../contract/index.ts";
import { agentsQuery, runsQuery, type RunFilter } from "../api/queries.ts";
import { full } from "../format.ts";
import { runStatuses } from "../addresses.ts";
import { FilterChip } from "../ui/filter.tsx";
import { useFresh } from "../ui/fresh.ts";
import { PageHead } from "../ui/page.tsx";
import { Empty, Failure, SkeletonRows } from "../ui/states.tsx";
import { Table } from "../ui/table.tsx";
import { runColumns } from "./runList.tsx";

export function RunsScreen() {
  const { sort, ...filter } = useSearch({ from: "/runs" });
  const navigate = useNavigate({ from: "/runs" });
  const runs = useInfiniteQuery(runsQuery(filter as RunFilter));
  const agents = useQuery(agentsQuery).data;
  const fresh = useFresh("run");
  const rows = useMemo(() => runs.data?.pages.flatMap((page) => page.data) ?? [], [runs.data]);
  const columns = useMemo(() => runColumns(rows), [rows]);
  const set = (change: Partial<typeof filter> & { sort?: string | undefined }) =>
    void navigate({ search: (old) => ({ ...old, ...change }), replace: true });
  const filtered = filter.status !== undefined || filter.agent !== undefined;

  return (
    <>
      <PageHead title="Runs" note="The work of agents" />
      <div className="list-bar">
        <div className="chips">
          <FilterChip<Run["status"]>
            label="Status"
            value={filter.status}
            options={runStatuses}
            onChange={(value) => set({ status: value })}
          />
          <FilterChip
            label="Agent"
            value={filter.agent}
            options={(agents ?? []).map((agent) => agent.name)}
            onChange={(value) => set({ agent: value })}
          />
        </div>
        {rows.length === 0 ? null : (
          <span className="list-note">
            {runs.hasNextPage ? `${full(rows.length)} newest read` : full(rows.length)}
            {runs.hasNextPage && sort !== undefined ? ", sorted among these" : ""}
          </span>
        )}
      </div>
      <div className="panel">
        {runs.isPending ? (
          <SkeletonRows rows={14} />
        ) : runs.isError && rows.length === 0 ? (
          <Failure error={runs.error} retry={() => void runs.refetch()} />
        ) : rows.length === 0 ? (
          filtered ? (
            <Empty
              title="No run fits these filters"
              action={
                <button type="button" className="button" onClick={() => void navigate({ search: {} })}>
                  Clear the filters
                </button>
              }
            />
          ) : (
            <Empty title="No runs yet" command="npm run demo">
              The demo publishes the maintenance inspector and lets it look at twenty machines. Each run appears here
              with its steps, its cost and its verdict.
            </Empty>
          )
        ) : (
          <Table
            label="Runs"
            primary
            columns={columns}
            rows={rows}
            rowId={(run) => run.id}
            link={(run) => ({ to: "/runs/$id", params: { id: run.id } })}
            sort={sort}
            onSort={(value) => set({ sort: value })}
            fresh={fresh}
            more={{ has: runs.hasNextPage, loading: runs.isFetchingNextPage, load: () => void runs.fetchNextPage() }}
          />
        )}
      </div>
    </>
  );
}
