// All calls, newest first. Filters and sorting are part of the address, new calls appear on top, and older ones are read on scrolling.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Call } from "../../contract/index.ts";
import { agentsQuery, callsQuery, enginesQuery, statusQuery, type CallFilter } from "../api/queries.ts";
import { full } from "../format.ts";
import { callStatuses } from "../addresses.ts";
import { FilterChip } from "../ui/filter.tsx";
import { useFresh } from "../ui/fresh.ts";
import { PageHead } from "../ui/page.tsx";
import { Empty, Failure, SkeletonRows } from "../ui/states.tsx";
import { Table } from "../ui/table.tsx";
import { shortId } from "../ui/text.tsx";
import { callColumns } from "./callList.tsx";

export function CallsScreen() {
  const { sort, ...filter } = useSearch({ from: "/calls" });
  const navigate = useNavigate({ from: "/calls" });
  const calls = useInfiniteQuery(callsQuery(filter as CallFilter));
  const status = useQuery(statusQuery).data;
  const engines = useQuery(enginesQuery).data;
  const agents = useQuery(agentsQuery).data;
  const fresh = useFresh("call");
  const rows = useMemo(() => calls.data?.pages.flatMap((page) => page.data) ?? [], [calls.data]);
  const columns = useMemo(() => callColumns(rows), [rows]);
  const models = [
    ...new Set([...(status?.deployments ?? []).map((each) => each.name), ...(engines ?? []).map((each) => each.name)]),
  ].toSorted();
  const set = (change: Partial<typeof filter> & { sort?: string | undefined }) =>
    void navigate({ search: (old) => ({ ...old, ...change }), replace: true });
  const filtered = Object.values(filter).some((value) => value !== undefined);

  return (
    <>
      <PageHead title="Calls" note="Every model request, newest first" />
      <div className="list-bar">
        <div className="chips">
          <FilterChip<Call["status"]>
            label="Status"
            value={filter.status}
            options={callStatuses}
            onChange={(value) => set({ status: value })}
          />
          <FilterChip label="Model" value={filter.model} options={models} onChange={(value) => set({ model: value })} />
          <FilterChip
            label="Agent"
            value={filter.agent}
            options={(agents ?? []).map((agent) => agent.name)}
            onChange={(value) => set({ agent: value })}
          />
          {filter.run === undefined ? null : (
            <FilterChip
              label="Run"
              value={filter.run}
              options={[{ value: filter.run, label: shortId(filter.run) }]}
              onChange={(value) => set({ run: value })}
            />
          )}
          {filter.batch === undefined ? null : (
            <FilterChip
              label="Batch"
              value={filter.batch}
              options={[{ value: filter.batch, label: shortId(filter.batch) }]}
              onChange={(value) => set({ batch: value })}
            />
          )}
        </div>
        {rows.length === 0 ? null : (
          <span className="list-note">
            {calls.hasNextPage ? `${full(rows.length)} newest read` : full(rows.length)}
            {calls.hasNextPage && sort !== undefined ? ", sorted among these" : ""}
          </span>
        )}
      </div>
      <div className="panel">
        {calls.isPending ? (
          <SkeletonRows rows={14} />
        ) : calls.isError && rows.length === 0 ? (
          <Failure error={calls.error} retry={() => void calls.refetch()} />
        ) : rows.length === 0 ? (
          filtered ? (
            <Empty
              title="No call fits these filters"
              action={
                <button type="button" className="button" onClick={() => void navigate({ search: {} })}>
                  Clear the filters
                </button>
              }
            />
          ) : (
            <Empty title="No calls yet" command={'npx lineshaft call "Name three metals."'}>
              Ask the served model something here in the chat, with any OpenAI client at /v1, or from a terminal. The
              call appears at once.
            </Empty>
          )
        ) : (
          <Table
            label="Calls"
            primary
            columns={columns}
            rows={rows}
            rowId={(call) => call.id}
            link={(call) => ({ to: "/calls/$id", params: { id: call.id } })}
            sort={sort}
            onSort={(value) => set({ sort: value })}
            fresh={fresh}
            more={{ has: calls.hasNextPage, loading: calls.isFetchingNextPage, load: () => void calls.fetchNextPage() }}
          />
        )}
      </div>
    </>
  );
}
