// The runs that have not ended, and the newest failures. Each row links to its run or call.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Call, Run } from "../../contract/index.ts";
import { callsQuery, runsQuery } from "../api/queries.ts";
import { full } from "../format.ts";
import { Empty, SkeletonRows } from "../ui/states.tsx";
import { Table, type Column } from "../ui/table.tsx";
import { Ago, Money, shortId, StateMark } from "../ui/text.tsx";
import { RunLength } from "./runList.tsx";
import { wordOf } from "./words.ts";

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

export function Alive() {
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

/** The newest failures: calls and runs that failed or were refused, and runs whose outcome did not pass. */
export function Wrong() {
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
        <p className="panel-note">No call or run failed or was refused.</p>
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
