// Everything that the console reads, as query options: paths, cache keys and page sizes stand here only. No query polls: `live.ts` writes
// into these caches or marks them stale when an event says that something changed.
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import type {
  AgentDetail,
  AgentSummary,
  BatchResource,
  BatchStatus,
  Bill,
  BudgetResource,
  Call,
  CallDetail,
  EngineResource,
  KeyResource,
  LimitResource,
  ModelRouteResource,
  Overview,
  Proofs,
  Run,
  RunDetail,
  Status,
} from "../../contract/index.ts";
import { getJson, withQuery } from "./client.ts";

export type Page<T> = { data: T[]; next_cursor: string | null };
export type OverviewRange = "1h" | "24h" | "7d" | "30d";
export type CallFilter = { status?: Call["status"]; model?: string; run?: string; agent?: string; batch?: string };
export type RunFilter = { status?: Run["status"]; agent?: string };

/** Rows of one request. A list reads further pages as it is scrolled. */
const pageLimit = 200;

export const statusQuery = queryOptions({
  queryKey: ["status"],
  queryFn: ({ signal }) => getJson<Status>("/api/status", { signal }),
});

/** Names of the models that write text, for screens that talk to one. */
export const textModels = (status: Status | undefined): string[] =>
  (status?.deployments ?? []).filter(({ kind = "generate" }) => kind === "generate").map(({ name }) => name);

export const overviewQuery = (range: OverviewRange) =>
  queryOptions({
    queryKey: ["overview", range],
    queryFn: ({ signal }) => getJson<Overview>(withQuery("/api/overview", { range }), { signal }),
  });

export const callsQuery = (filter: CallFilter, limit = pageLimit) =>
  infiniteQueryOptions({
    queryKey: ["calls", filter, limit] as const,
    queryFn: ({ pageParam, signal }) =>
      getJson<Page<Call>>(withQuery("/api/calls", { ...filter, cursor: pageParam, limit }), { signal }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last: Page<Call>) => last.next_cursor ?? undefined,
  });

export const callQuery = (id: string) =>
  queryOptions({
    queryKey: ["call", id],
    queryFn: ({ signal }) => getJson<CallDetail>(`/api/calls/${encodeURIComponent(id)}`, { signal }),
  });

export const batchesQuery = (status: BatchStatus | undefined) =>
  infiniteQueryOptions({
    queryKey: ["batches", status] as const,
    queryFn: ({ pageParam, signal }) =>
      getJson<Page<BatchResource>>(withQuery("/api/batches", { status, cursor: pageParam, limit: pageLimit }), {
        signal,
      }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last: Page<BatchResource>) => last.next_cursor ?? undefined,
  });

export const batchQuery = (id: string) =>
  queryOptions({
    queryKey: ["batch", id],
    queryFn: ({ signal }) => getJson<BatchResource>(`/api/batches/${encodeURIComponent(id)}`, { signal }),
  });

export const runsQuery = (filter: RunFilter, limit = pageLimit) =>
  infiniteQueryOptions({
    queryKey: ["runs", filter, limit] as const,
    queryFn: ({ pageParam, signal }) =>
      getJson<Page<Run>>(withQuery("/api/runs", { ...filter, cursor: pageParam, limit }), { signal }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last: Page<Run>) => last.next_cursor ?? undefined,
  });

export const runQuery = (id: string) =>
  queryOptions({
    queryKey: ["run", id],
    queryFn: ({ signal }) => getJson<RunDetail>(`/api/runs/${encodeURIComponent(id)}`, { signal }),
  });

export const agentsQuery = queryOptions({
  queryKey: ["agents"],
  queryFn: async ({ signal }) => (await getJson<Page<AgentSummary>>("/api/agents?limit=200", { signal })).data,
});

export const agentQuery = (name: string) =>
  queryOptions({
    queryKey: ["agent", name],
    queryFn: ({ signal }) => getJson<AgentDetail>(`/api/agents/${encodeURIComponent(name)}`, { signal }),
  });

export const billQuery = (range: { from?: string; to?: string }) =>
  queryOptions({
    queryKey: ["bill", range],
    queryFn: ({ signal }) => getJson<Bill>(withQuery("/api/bill", range), { signal }),
  });

export const proofsQuery = queryOptions({
  queryKey: ["proofs"],
  queryFn: ({ signal }) => getJson<Proofs>("/api/proofs", { signal }),
});

export interface Found {
  kind: "model" | "agent" | "run" | "call" | "key";
  id: string;
  name: string;
}

export const searchQuery = (text: string) =>
  queryOptions({
    queryKey: ["search", text],
    queryFn: async ({ signal }) =>
      (await getJson<{ data: Found[] }>(withQuery("/api/search", { q: text.slice(0, 100) }), { signal })).data,
    retry: false,
  });

export const enginesQuery = queryOptions({
  queryKey: ["engines"],
  queryFn: async ({ signal }) => (await getJson<Page<EngineResource>>("/api/engines?limit=200", { signal })).data,
});

export const routesQuery = queryOptions({
  queryKey: ["routes"],
  queryFn: async ({ signal }) => (await getJson<Page<ModelRouteResource>>("/api/routes", { signal })).data,
});

export const keysQuery = queryOptions({
  queryKey: ["keys"],
  queryFn: async ({ signal }) => (await getJson<Page<KeyResource>>("/api/keys?limit=200", { signal })).data,
});

/** Budgets of these kinds of scope, with commas between. Those of ended runs are left out. */
export const budgetsQuery = (scope: string) =>
  infiniteQueryOptions({
    queryKey: ["budgets", scope] as const,
    queryFn: ({ pageParam, signal }) =>
      getJson<Page<BudgetResource>>(withQuery("/api/budgets", { scope, cursor: pageParam, limit: pageLimit }), {
        signal,
      }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last: Page<BudgetResource>) => last.next_cursor ?? undefined,
  });

/** Milliseconds after which use of the last minute has left its window. */
const useLeavesMs = 61_000;

/** Limits on use. Use leaves its window without an event, so a list that shows some is read again once that has happened. */
export const limitsQuery = infiniteQueryOptions({
  queryKey: ["limits"] as const,
  queryFn: ({ pageParam, signal }) =>
    getJson<Page<LimitResource>>(withQuery("/api/limits", { cursor: pageParam, limit: pageLimit }), { signal }),
  initialPageParam: undefined as string | undefined,
  getNextPageParam: (last: Page<LimitResource>) => last.next_cursor ?? undefined,
  refetchInterval: ({ state }) =>
    state.data?.pages.some(({ data }) => data.some(({ used }) => used > 0)) === true ? useLeavesMs : false,
});
