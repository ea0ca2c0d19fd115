// One agent: its pass rate and margin, its newest runs, its manifest and versions, and a form that starts a run.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { AgentDetail, Bill, Run } from "../../contract/index.ts";
import { getJson, withQuery } from "../api/client.ts";
import { agentQuery, runQuery, runsQuery } from "../api/queries.ts";
import { compact, full, money, percent, pretty } from "../format.ts";
import { FormDialog } from "../ui/dialog.tsx";
import { Figure, moneyFigure } from "../ui/figure.tsx";
import { useFresh } from "../ui/fresh.ts";
import { Payload } from "../ui/json.tsx";
import { Fact, Facts, PageHead } from "../ui/page.tsx";
import { Empty, Failure, isNotThere, NotThere, SkeletonFigures, SkeletonRows } from "../ui/states.tsx";
import { Table } from "../ui/table.tsx";
import { Ago, Badge, shortId } from "../ui/text.tsx";
import { passRate } from "./agents.tsx";
import { runColumns } from "./runList.tsx";
import "./agent.css";

export function AgentScreen() {
  const { name } = useParams({ from: "/agents/$name" });
  const { data: agent, error, refetch } = useQuery(agentQuery(name));
  return (
    <>
      <PageHead
        title={name}
        up={{ label: "Agents", link: { to: "/agents" } }}
        state={agent === undefined ? undefined : <Badge>v{agent.version}</Badge>}
        note={agent === undefined ? undefined : descriptionOf(agent)}
      >
        {agent === undefined ? null : <StartRun agent={agent} />}
      </PageHead>
      {agent !== undefined ? (
        <AgentBody agent={agent} />
      ) : error === null ? (
        <div className="stack">
          <SkeletonFigures count={4} />
          <div className="panel">
            <SkeletonRows rows={6} />
          </div>
        </div>
      ) : isNotThere(error) ? (
        <NotThere what="agent" id={name} list={{ label: "All agents", link: { to: "/agents" } }} />
      ) : (
        <Failure error={error} retry={() => void refetch()} />
      )}
    </>
  );
}

interface ManifestParts {
  description?: string;
  instructions?: string;
  tools?: { server?: string; url?: string; allow?: Record<string, { effect?: boolean }> }[];
  limits?: Record<string, unknown>;
  outcome?: { contract?: string; price?: unknown; verifier?: unknown };
}
const partsOf = (agent: AgentDetail) => (agent.manifest ?? {}) as ManifestParts;
const descriptionOf = (agent: AgentDetail) => partsOf(agent).description;

const amount = (nano: string | null, bill: Bill | undefined) =>
  nano === null || bill === undefined ? { value: "–" } : moneyFigure(nano, bill.currency);

function AgentBody({ agent }: { agent: AgentDetail }) {
  const bill = useQuery({
    queryKey: ["bill", "agent", agent.name],
    queryFn: ({ signal }) => getJson<Bill>(withQuery("/api/bill", { agent: agent.name }), { signal }),
  }).data;
  const line = bill?.lines.find((each) => each.agent === agent.name) ?? bill?.total;
  const manifest = partsOf(agent);
  const unitCost = line?.cost_per_verified_outcome_nano ?? null;
  const judged = agent.outcomes.passed + agent.outcomes.failed;
  return (
    <div className="stack">
      <div className="figures of-four">
        <Figure
          of="runs"
          value={compact(agent.runs.total)}
          tip={`${full(agent.runs.total)} runs`}
          note={`${full(agent.runs.running)} running, ${full(agent.runs.waiting)} waiting, ${full(agent.runs.failed)} failed`}
        />
        <Figure
          of="pass_rate"
          value={percent(passRate(agent))}
          note={judged === 0 ? "nothing was judged" : `${full(agent.outcomes.passed)} of ${full(judged)} outcomes`}
        />
        <Figure
          of="cost_per_outcome"
          {...amount(unitCost, bill)}
          note={
            line === undefined || bill === undefined
              ? "–"
              : `cost of tokens ${money(line.token_cost_nano, bill.currency)}`
          }
        />
        <Figure
          of="margin"
          {...amount(line?.margin_nano ?? null, bill)}
          note={line === undefined || bill === undefined ? "–" : `revenue ${money(line.revenue_nano, bill.currency)}`}
        />
      </div>
      <section className="panel" aria-label="What it is">
        <Facts>
          <Fact name="Model">
            <Link to="/models" className="text">
              {agent.model}
            </Link>
          </Fact>
          {manifest.outcome === undefined ? null : (
            <Fact name="Contract">
              {manifest.outcome.contract}
              {manifest.outcome.price === undefined ? "" : ` at ${withCurrency(manifest.outcome.price, bill)}`}
            </Fact>
          )}
          {manifest.limits === undefined ? null : <Fact name="Limits">{limitNames(manifest.limits, bill)}</Fact>}
          {manifest.tools === undefined || manifest.tools.length === 0 ? null : (
            <Fact name="Tools">{toolNames(manifest)}</Fact>
          )}
          <Fact name="Published">
            <Ago time={agent.created_at} />
          </Fact>
        </Facts>
      </section>
      <NewestRuns agent={agent.name} />
      <div className="pair wide-left">
        <section className="panel" aria-labelledby="manifest">
          <div className="panel-head">
            <h2 id="manifest">Manifest</h2>
            <span className="aside">version {agent.version}, as it was published</span>
          </div>
          <div className="panel-body">
            <Payload value={agent.manifest} label="manifest" />
          </div>
        </section>
        <section className="panel" aria-labelledby="versions">
          <div className="panel-head">
            <h2 id="versions">Versions</h2>
            <span className="aside num">{full(agent.versions.length)}</span>
          </div>
          <ul className="versions">
            {agent.versions.map((version) => (
              <li key={version.id}>
                <b className="num">v{version.number}</b>
                {version.number === agent.version ? <Badge tone="live">newest</Badge> : null}
                <span className="mono muted" data-tip={version.id}>
                  {shortId(version.id)}
                </span>
                <Ago time={version.created_at} />
              </li>
            ))}
          </ul>
        </section>
      </div>
    </div>
  );
}

const limitNames = (limits: Record<string, unknown>, bill: Bill | undefined) =>
  Object.entries(limits)
    .map(([limit, value]) => `${limit} ${limit === "money" ? withCurrency(value, bill) : String(value)}`)
    .join(", ");

/** An amount of the manifest with the organisation's currency: "0.05" -> "0.05 USD" */
const withCurrency = (amount: unknown, bill: Bill | undefined) =>
  [String(amount), bill?.currency].filter(Boolean).join(" ");

function toolNames(manifest: ManifestParts): string {
  return (manifest.tools ?? [])
    .flatMap((tool) =>
      tool.allow === undefined
        ? [tool.server ?? tool.url ?? "a server"]
        : Object.entries(tool.allow).map(([name, rule]) => (rule?.effect === true ? `${name} (effect)` : name)),
    )
    .join(", ");
}

function NewestRuns({ agent }: { agent: string }) {
  const runs = useInfiniteQuery(runsQuery({ agent }, 20));
  const fresh = useFresh("run");
  const rows = useMemo(() => runs.data?.pages.flatMap((page) => page.data).slice(0, 12) ?? [], [runs.data]);
  const columns = useMemo(() => runColumns(rows, { agent: false }), [rows]);
  return (
    <section className="panel" aria-labelledby="newest">
      <div className="panel-head">
        <h2 id="newest">Newest runs</h2>
        <span className="aside">
          <Link to="/runs" search={{ agent }} className="text">
            All its runs
          </Link>
        </span>
      </div>
      {runs.isPending ? (
        <SkeletonRows rows={4} />
      ) : runs.isError ? (
        <Failure error={runs.error} retry={() => void runs.refetch()} />
      ) : rows.length === 0 ? (
        <Empty title="It has not worked yet" command={`npx lineshaft run ${agent} --input input.json --follow`} />
      ) : (
        <Table
          label="Newest runs"
          primary
          columns={columns}
          rows={rows}
          rowId={(run) => run.id}
          link={(run) => ({ to: "/runs/$id", params: { id: run.id } })}
          fresh={fresh}
        />
      )}
    </section>
  );
}

/** A form for the input of a run. It is filled with the input of the last run, since most inputs differ in a word. */
function StartRun({ agent }: { agent: AgentDetail }) {
  const [open, setOpen] = useState(false);
  const [typed, setTyped] = useState<string>();
  const [attempt, setAttempt] = useState(() => crypto.randomUUID());
  const navigate = useNavigate();
  const client = useQueryClient();
  const last = useInfiniteQuery(runsQuery({ agent: agent.name }, 20)).data?.pages[0]?.data[0]?.id;
  const example = useQuery({ ...runQuery(last ?? ""), enabled: open && last !== undefined }).data;
  const text = typed ?? (example === undefined ? "{}" : pretty(example.input));
  const start = useMutation({
    mutationFn: () =>
      getJson<Run>("/api/runs", {
        method: "POST",
        body: { agent: agent.name, input: JSON.parse(text) as unknown },
        idempotencyKey: attempt,
      }),
    onSuccess: (run) => {
      setOpen(false);
      void client.invalidateQueries({ queryKey: ["runs"] });
      void navigate({ to: "/runs/$id", params: { id: run.id } });
    },
  });
  const problem = problemOf(text);
  return (
    <>
      <button type="button" className="button primary" onClick={() => setOpen(true)}>
        Start a run
      </button>
      <FormDialog
        open={open}
        onOpenChange={setOpen}
        title={`Start a run of ${agent.name}`}
        action="Start"
        busy={start.isPending}
        error={start.error}
        disabled={problem !== undefined}
        onSubmit={() => start.mutate()}
      >
        <label className="field">
          <span className="label">Input, as JSON</span>
          <textarea
            className="input mono"
            rows={10}
            spellCheck={false}
            value={text}
            aria-invalid={problem !== undefined}
            onChange={(event) => {
              setTyped(event.target.value);
              setAttempt(crypto.randomUUID());
            }}
          />
          <span className={problem === undefined ? "help" : "help bad"}>
            {problem ??
              (last === undefined
                ? "The manifest says what it should look like."
                : "Filled with the input of its last run.")}
          </span>
        </label>
      </FormDialog>
    </>
  );
}

function problemOf(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return `This is not JSON: ${(error as Error).message}`;
  }
}
