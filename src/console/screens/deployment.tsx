// One deployment: first what its endpoints share (the disk tier, the sources of prompt tokens), then each endpoint.
import type { DeploymentStatus, EndpointStatus, EngineResource } from "../../contract/index.ts";
import { bytes, compact, full, percent, plural } from "../format.ts";
import { FigureName } from "../ui/figure.tsx";
import { PartsBar } from "../ui/page.tsx";
import { Badge, StateMark } from "../ui/text.tsx";
import { EndpointCard, PromptTokens } from "./endpoint.tsx";

/** Sum over the endpoints that report it. Undefined when no endpoint does. */
export function sumOf(endpoints: EndpointStatus[], pick: (endpoint: EndpointStatus) => number | undefined) {
  const values = endpoints.map(pick).filter((value) => value !== undefined);
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
}

export function Deployment({
  deployment,
  engine,
}: {
  deployment: DeploymentStatus;
  engine: EngineResource | undefined;
}) {
  const { endpoints, disk, placement } = deployment;
  const id = `deployment-${deployment.name}`;
  const context = Math.max(...endpoints.map((each) => each.context_tokens ?? 0));
  const [running, waiting] = [sumOf(endpoints, (each) => each.running), sumOf(endpoints, (each) => each.waiting)];
  const several = endpoints.length > 1;
  const sums = several && endpoints.some((each) => each.totals !== undefined);
  return (
    <section className="panel" aria-labelledby={id}>
      <div className="panel-head deployment-head">
        <h2 id={id}>{deployment.name}</h2>
        <StateMark state={deployment.state} tip={deployment.error} />
        <Badge>{deployment.engine === "openai" ? "OpenAI-compatible" : deployment.engine}</Badge>
        {placement === undefined ? null : (
          <span className="muted" data-tip="The placement policy says which endpoint serves a call">
            {placement}
          </span>
        )}
        <span className="aside num">
          {several ? <span>{plural(endpoints.length, "endpoint")}</span> : null}
          {context > 0 ? <span data-tip={`${full(context)} tokens`}>{compact(context)} context</span> : null}
          {running === undefined ? null : <span>{full(running)} running</span>}
          {waiting === undefined ? null : <span>{full(waiting)} waiting</span>}
        </span>
      </div>
      {deployment.error === undefined ? null : (
        <p className="deployment-error" role="status">
          {deployment.error}
        </p>
      )}
      <Clients of={deployment.clients ?? []} />
      {disk === undefined && !sums ? null : (
        <div className="deployment">
          {sums ? <PromptTokens of={endpoints} label="Prompt tokens of all endpoints" heading="h3" /> : null}
          {disk === undefined ? null : (
            <div className="measure">
              <h3>
                <FigureName of="disk_tier" label={several ? "Disk tier, shared by all" : "Disk tier"} />
                <span className="num">
                  {percent(disk.budget_bytes === 0 ? null : disk.used_bytes / disk.budget_bytes)}
                </span>
              </h3>
              <PartsBar
                label="Disk tier"
                whole={disk.budget_bytes}
                parts={[
                  {
                    label: plural(disk.files, "file"),
                    value: disk.used_bytes,
                    tone: "--cloud",
                    text: bytes(disk.used_bytes),
                  },
                  { label: "budget", value: 0, tone: "--line-strong", text: bytes(disk.budget_bytes) },
                ]}
              />
            </div>
          )}
        </div>
      )}
      {endpoints.length === 0 ? (
        <p className="muted deployment-remote">
          {deployment.state === "off" ? "It has no replicas, so its calls are refused." : "No worker runs yet."}
        </p>
      ) : (
        <ul className="endpoints" aria-label={`Endpoints of ${deployment.name}`}>
          {endpoints.map((endpoint) => (
            <EndpointCard
              key={endpoint.endpoint}
              endpoint={endpoint}
              address={addressOf(deployment, endpoint, engine)}
            />
          ))}
        </ul>
      )}
      {deployment.engine === "embedded" ? null : (
        <p className="muted deployment-remote">
          {engine === undefined ? "Served elsewhere." : `Served elsewhere as ${engine.model}.`} Memory and caches are
          its own; what it tells about cached tokens is counted on each call.
        </p>
      )}
    </section>
  );
}

/** Which coding agents the context holds. Empty until an endpoint has said its context. */
function Clients({ of }: { of: NonNullable<DeploymentStatus["clients"]> }) {
  if (of.length === 0) return null;
  return (
    <dl className="deployment-clients">
      <dt>
        <FigureName of="clients_fit" />
      </dt>
      <dd>
        <ul>
          {of.map(({ name, needs_tokens: needs, fits }) => (
            <li key={name} data-tip={`${name} needs a context of ${full(needs)} tokens`}>
              <StateMark state={fits ? "ready" : "waiting"} label={name} word={fits ? "fits" : "does not fit"} />
              {fits ? null : <span className="muted num"> needs {compact(needs)}</span>}
            </li>
          ))}
        </ul>
      </dd>
    </dl>
  );
}

/** Endpoints of an added engine have the order of its addresses. */
function addressOf(deployment: DeploymentStatus, endpoint: EndpointStatus, engine: EngineResource | undefined) {
  return engine?.urls[deployment.endpoints.indexOf(endpoint)];
}
