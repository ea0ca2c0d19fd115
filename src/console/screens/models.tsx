// What serves the calls: deployments with their memory, sequences and cache tiers, the components, and engines with prices.
import { useQuery } from "@tanstack/react-query";
import type { ComponentStatus, DeploymentStatus, EngineResource } from "../../contract/index.ts";
import { enginesQuery, statusQuery } from "../api/queries.ts";
import { bytes, full, moneyFull, moneyScale, plural, type MoneyScale } from "../format.ts";
import { Figure } from "../ui/figure.tsx";
import { PageHead } from "../ui/page.tsx";
import { Empty, Failure, SkeletonFigures, SkeletonRows } from "../ui/states.tsx";
import { Table, type Column } from "../ui/table.tsx";
import { Ago, Command, Money, StateMark } from "../ui/text.tsx";
import { Deployment, sumOf } from "./deployment.tsx";
import "./models.css";

export function ModelsScreen() {
  const status = useQuery(statusQuery);
  const engines = useQuery(enginesQuery);
  const data = status.data;
  if (data === undefined) {
    return (
      <>
        <PageHead title="Models and chips" />
        {status.error === null ? (
          <div className="stack">
            <SkeletonFigures count={4} />
            <div className="panel">
              <SkeletonRows rows={6} />
            </div>
          </div>
        ) : (
          <Failure error={status.error} retry={() => void status.refetch()} />
        )}
      </>
    );
  }
  const endpoints = data.deployments.flatMap((each) => each.endpoints);
  const kv = sumOf(endpoints, (each) => each.memory?.kv_bytes) ?? 0;
  const sum = (pick: (disk: NonNullable<DeploymentStatus["disk"]>) => number) =>
    data.deployments.reduce((total, each) => total + (each.disk ? pick(each.disk) : 0), 0);
  const disk = sum((each) => each.used_bytes);
  const budget = sum((each) => each.budget_bytes);
  const sequences = endpoints.flatMap((each) => each.sequences ?? []);
  return (
    <>
      <PageHead
        title="Models and chips"
        note={`${plural(data.deployments.length, "deployment")}, ${plural(endpoints.length, "endpoint")}`}
      />
      <div className="stack">
        <div className="figures of-four">
          <Figure
            of="resident"
            value={bytes(data.memory.total_rss_bytes)}
            note={plural(data.components.length, "part")}
          />
          <Figure
            of="kv_memory"
            value={kv === 0 ? "–" : bytes(kv)}
            note={kv === 0 ? "no embedded engine" : "reserved for attention state"}
          />
          <Figure
            of="sequences"
            value={
              sequences.length === 0
                ? "–"
                : `${sequences.filter((each) => each.state !== "free").length} of ${sequences.length}`
            }
            note={`${sequences.filter((each) => each.state === "running").length} running, ${sequences.filter((each) => each.state === "idle").length} idle`}
          />
          <Figure
            of="disk_tier"
            value={budget === 0 ? "–" : bytes(disk)}
            note={budget === 0 ? "no disk tier" : `of ${bytes(budget)}`}
          />
        </div>
        {data.deployments.length === 0 ? (
          <div className="panel">
            <Empty title="No model is served" command="npx lineshaft models">
              The list shows the models that can be served. lineshaft deploy FILE serves one as its manifest says. A
              running vLLM, Ollama or provider is added with lineshaft engines add.
            </Empty>
          </div>
        ) : (
          data.deployments.map((deployment) => (
            <Deployment
              key={deployment.name}
              deployment={deployment}
              engine={engines.data?.find((each) => each.name === deployment.name)}
            />
          ))
        )}
        <section className="panel" aria-labelledby="parts">
          <div className="panel-head">
            <h2 id="parts">Parts</h2>
            <span className="aside">every process of this instance</span>
          </div>
          <Table label="Parts" columns={partColumns} rows={data.components} rowId={(part) => part.name} />
        </section>
        <section className="panel" aria-labelledby="engines">
          <div className="panel-head">
            <h2 id="engines">Engines and prices</h2>
            <span className="aside">per million tokens</span>
          </div>
          {engines.isPending ? (
            <SkeletonRows rows={2} />
          ) : engines.isError ? (
            <Failure error={engines.error} retry={() => void engines.refetch()} />
          ) : (
            <Table
              label="Engines"
              columns={engineColumns(engines.data)}
              rows={engines.data}
              rowId={(engine) => engine.name}
            />
          )}
          <div className="add-engine">
            <span className="muted">Add a vLLM, an Ollama or a provider</span>
            <Command>
              npx lineshaft engines add NAME --url http://HOST:8000/v1 --model MODEL --price-in 0.10 --price-out 0.40
            </Command>
          </div>
        </section>
      </div>
    </>
  );
}

const partColumns: Column<ComponentStatus>[] = [
  { id: "name", head: "Part", card: "title", cell: (part) => part.name, width: "130px" },
  { id: "state", head: "State", card: "value", cell: (part) => <StateMark state={part.state} /> },
  {
    id: "memory",
    head: "Resident",
    align: "right",
    card: "note",
    cell: (part) => <span className="num">{part.rss_bytes === undefined ? "–" : bytes(part.rss_bytes)}</span>,
  },
  {
    id: "restarts",
    head: "Restarts",
    align: "right",
    card: "note",
    word: "restarts",
    cell: (part) => <span className={part.restarts === 0 ? "num muted" : "num"}>{full(part.restarts)}</span>,
  },
  {
    id: "pid",
    head: "Process",
    align: "right",
    from: 760,
    cell: (part) => <span className="num muted">{part.pid ?? "–"}</span>,
  },
  {
    id: "since",
    head: "Since",
    align: "right",
    from: 620,
    cell: (part) => (part.started_at === undefined ? "–" : <Ago time={part.started_at} />),
  },
  {
    id: "error",
    head: "Last error",
    from: 900,
    grow: true,
    cell: (part) =>
      part.last_error === undefined ? (
        <span className="muted">none</span>
      ) : (
        <span className="soft" data-tip={part.last_error}>
          {part.last_error}
        </span>
      ),
  },
];

/** A column of prices with one unit and one number of digits. */
function pricesOf(engines: EngineResource[], field: "input" | "cached" | "output") {
  const nanoOf = (engine: EngineResource) => engine.price?.[`${field}_nano_per_million`];
  const scale = moneyScale(engines.flatMap((engine) => nanoOf(engine) ?? []));
  return (engine: EngineResource) => priceOf(engine, nanoOf(engine), scale);
}

function priceOf(engine: EngineResource, nano: string | undefined, scale: MoneyScale) {
  if (engine.price === null || nano === undefined) return <span className="warn">none</span>;
  return (
    <span data-tip={`${moneyFull(nano)} ${engine.price.currency} per million tokens${moreOf(engine.price)}`}>
      <Money nano={nano} currency={engine.price.currency} scale={scale} />
    </span>
  );
}

/** What an engine's price has beyond the three columns, in words. */
function moreOf(price: NonNullable<EngineResource["price"]>): string {
  const parts = [
    ...(price.tiers ?? []).map((tier) => `other prices above ${full(tier.above_prompt_tokens)} prompt tokens`),
    ...(price.cache_write_nano_per_million === undefined ? [] : ["own prices of cache writes"]),
    ...(price.reasoning_nano_per_million === undefined ? [] : ["own price of reasoning"]),
    ...(price.call_nano === undefined ? [] : [`${moneyFull(price.call_nano)} ${price.currency} for each call`]),
    ...(price.batch === undefined ? [] : ["own prices of batch jobs"]),
    ...(price.estimate ? ["an estimate, because the model has no price of its own"] : []),
  ];
  return parts.length === 0 ? "" : `; ${parts.join(", ")}`;
}

const engineColumns = (engines: EngineResource[]): Column<EngineResource>[] => [
  { id: "name", head: "Engine", card: "title", cell: (engine) => engine.name },
  {
    id: "model",
    head: "Model",
    from: 760,
    card: "note",
    cell: (engine) => <span className="soft">{engine.model}</span>,
  },
  {
    id: "url",
    head: "Address",
    from: 900,
    cell: (engine) =>
      engine.urls.length === 0 ? (
        <span className="muted">embedded</span>
      ) : (
        <span className="mono soft">{engine.urls.join(", ")}</span>
      ),
  },
  {
    id: "key",
    head: "Key from",
    from: 1080,
    cell: (engine) =>
      engine.key_env === null ? <span className="muted">–</span> : <span className="mono soft">{engine.key_env}</span>,
  },
  {
    id: "input",
    head: "Input",
    align: "right",
    card: "note",
    word: "input",
    cell: pricesOf(engines, "input"),
  },
  { id: "cached", head: "Cached", align: "right", from: 620, cell: pricesOf(engines, "cached") },
  { id: "output", head: "Output", align: "right", card: "value", cell: pricesOf(engines, "output") },
];
