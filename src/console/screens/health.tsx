// Health: one line with every component, and the last error of each component that is not ready.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Status } from "../../contract/index.ts";
import { statusQuery } from "../api/queries.ts";
import { bytes, duration, moment, plural } from "../format.ts";
import { Failure } from "../ui/states.tsx";
import { StateMark, useNow } from "../ui/text.tsx";

export function Health() {
  const now = useNow();
  const { data, error, refetch } = useQuery(statusQuery);
  if (data === undefined)
    return error === null ? (
      <div className="panel health" aria-busy="true" />
    ) : (
      <Failure error={error} retry={() => void refetch()} />
    );
  const ill = [
    ...data.components
      .filter((each) => each.state !== "ready" && each.state !== "external")
      .map((each) => `${each.name} is ${each.state}${each.last_error === undefined ? "" : `: ${each.last_error}`}`),
    ...data.deployments
      .filter((each) => each.state !== "ready" && each.state !== "off")
      .map(
        (each) =>
          `${each.name} is ${each.state === "partial" ? "served by some of its endpoints only" : each.state}${each.error === undefined ? "" : `: ${each.error}`}`,
      ),
  ];
  return (
    <section className="panel health" aria-label="Health">
      <StateMark
        state={ill.length === 0 ? "ready" : "waiting"}
        label={ill.length === 0 ? "All parts are well" : plural(ill.length, "part is not well", "parts are not well")}
      />
      <ul>
        {data.components.map((component) => (
          <li key={component.name}>
            <StateMark state={component.state} label={component.name} tip={componentTip(component)} />
          </li>
        ))}
        {data.deployments.map((deployment) => (
          <li key={deployment.name}>
            <StateMark
              state={deployment.state}
              label={deployment.name}
              tip={`${deployment.state}, engine ${deployment.engine}, ${plural(deployment.endpoints.length, "endpoint")}${deployment.error === undefined ? "" : `\n${deployment.error}`}`}
            />
          </li>
        ))}
      </ul>
      <span className="aside num">
        <span data-tip="Resident memory of the whole process tree">{bytes(data.memory.total_rss_bytes)}</span>
        <span className="muted">, up </span>
        <span data-tip={`Since ${moment(data.started_at)}`}>
          {duration(Math.max(0, now - Date.parse(data.started_at)))}
        </span>
        {"   "}
        <Link to="/models" className="text">
          Details
        </Link>
      </span>
      {ill.length === 0 ? null : (
        <ul className="health-errors">
          {ill.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      )}
    </section>
  );
}

function componentTip(component: Status["components"][number]): string {
  return [
    component.state,
    component.rss_bytes === undefined ? undefined : bytes(component.rss_bytes),
    component.restarts === 0
      ? undefined
      : `${plural(component.restarts, "restart")}${component.last_error === undefined ? "" : `: ${component.last_error}`}`,
  ]
    .filter(Boolean)
    .join("\n");
}
