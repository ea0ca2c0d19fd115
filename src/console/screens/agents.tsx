// All agents with their running and waiting runs and their pass rates.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import type { AgentSummary } from "../../contract/index.ts";
import { agentsQuery } from "../api/queries.ts";
import { compact, full, percentFixed } from "../format.ts";
import { PageHead } from "../ui/page.tsx";
import { Empty, Failure, SkeletonRows } from "../ui/states.tsx";
import { Table, type Column } from "../ui/table.tsx";
import { Ago, StateMark } from "../ui/text.tsx";

export const passRate = ({ outcomes }: Pick<AgentSummary, "outcomes">): number | null =>
  outcomes.passed + outcomes.failed === 0 ? null : outcomes.passed / (outcomes.passed + outcomes.failed);

const zero = (value: number) => <span className={value === 0 ? "num muted" : "num"}>{full(value)}</span>;

const columns: Column<AgentSummary>[] = [
  {
    id: "name",
    head: "Agent",
    card: "title",
    cell: (agent) => (
      <StateMark
        state={agent.runs.running > 0 ? "running" : agent.runs.waiting > 0 ? "waiting" : "idle"}
        label={agent.name}
        tip={agent.runs.running > 0 ? "Working now" : agent.runs.waiting > 0 ? "Waiting" : "At rest"}
      />
    ),
    sort: (agent) => agent.name,
  },
  {
    id: "version",
    head: "Version",
    card: "note",
    cell: (agent) => <span className="num">v{agent.version}</span>,
    sort: (agent) => agent.version,
  },
  {
    id: "model",
    head: "Model",
    card: "note",
    from: 760,
    cell: (agent) => <span className="soft">{agent.model}</span>,
    sort: (agent) => agent.model,
  },
  {
    id: "running",
    head: "Running",
    align: "right",
    from: 620,
    cell: (agent) => zero(agent.runs.running),
    sort: (agent) => agent.runs.running,
  },
  {
    id: "waiting",
    head: "Waiting",
    align: "right",
    from: 620,
    cell: (agent) => zero(agent.runs.waiting),
    sort: (agent) => agent.runs.waiting,
  },
  {
    id: "runs",
    head: "Runs",
    align: "right",
    card: "note",
    word: "runs",
    cell: (agent) => (
      <span className="num" data-tip={`${full(agent.runs.total)} runs`}>
        {compact(agent.runs.total)}
      </span>
    ),
    sort: (agent) => agent.runs.total,
  },
  {
    id: "failed",
    head: "Failed",
    align: "right",
    from: 760,
    cell: (agent) => zero(agent.runs.failed),
    sort: (agent) => agent.runs.failed,
  },
  {
    id: "pass",
    head: "Pass rate",
    align: "right",
    card: "value",
    cell: (agent) => (
      <span
        className="num"
        data-tip={`${full(agent.outcomes.passed)} of ${full(agent.outcomes.passed + agent.outcomes.failed)} outcomes`}
      >
        {percentFixed(passRate(agent))}
      </span>
    ),
    sort: passRate,
  },
  {
    id: "created",
    head: "Published",
    align: "right",
    from: 900,
    cell: (agent) => <Ago time={agent.created_at} />,
    sort: (agent) => agent.created_at,
  },
];

export function AgentsScreen() {
  const { sort } = useSearch({ from: "/agents" });
  const navigate = useNavigate({ from: "/agents" });
  const agents = useQuery(agentsQuery);
  return (
    <>
      <PageHead title="Agents" note="Registered workers, each with immutable versions" />
      <div className="panel">
        {agents.isPending ? (
          <SkeletonRows rows={5} />
        ) : agents.isError ? (
          <Failure error={agents.error} retry={() => void agents.refetch()} />
        ) : agents.data.length === 0 ? (
          <Empty title="No agents yet" command="npx lineshaft deploy examples/maintenance-inspector">
            An agent is a folder with a manifest: its instructions, its tools, its limits, and the contract that its
            work is judged by.
          </Empty>
        ) : (
          <Table
            label="Agents"
            primary
            columns={columns}
            rows={agents.data}
            rowId={(agent) => agent.id}
            link={(agent) => ({ to: "/agents/$name", params: { name: agent.name } })}
            sort={sort}
            onSort={(value) => void navigate({ search: value === undefined ? {} : { sort: value }, replace: true })}
          />
        )}
      </div>
    </>
  );
}
