// Routes of models' names: which model serves a name, what follows a failed attempt, and which calls share answers.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { ModelRouteResource } from "../../contract/index.ts";
import { routesQuery, statusQuery } from "../api/queries.ts";
import { duration } from "../format.ts";
import { PlusIcon } from "../ui/icons.tsx";
import { PageHead } from "../ui/page.tsx";
import { Empty, Failure, SkeletonRows } from "../ui/states.tsx";
import { Table, type Column } from "../ui/table.tsx";
import { Ago } from "../ui/text.tsx";
import { RemoveDialog } from "./removeDialog.tsx";

export function RoutesScreen() {
  const routes = useQuery(routesQuery);
  const status = useQuery(statusQuery).data;
  const owner = status?.role === "owner";
  const [removing, setRemoving] = useState<ModelRouteResource>();
  const own = status?.project;
  const columns: Column<ModelRouteResource>[] = [
    { id: "model", head: "Name", card: "title", cell: ({ model }) => <span className="mono">{model}</span> },
    {
      id: "serves",
      head: "Served by",
      card: "value",
      cell: ({ serves }) =>
        serves === undefined ? <span className="muted">itself</span> : <span className="mono">{serves}</span>,
    },
    {
      id: "fallbacks",
      head: "Then",
      card: "note",
      word: "then",
      cell: ({ fallbacks }) => (fallbacks === undefined ? null : <span className="mono">{fallbacks.join(", ")}</span>),
    },
    {
      id: "asks",
      head: "What else it says",
      card: "note",
      grow: true,
      from: 620,
      cell: (route) => {
        const words = restOf(route, own).join(", ");
        return words === "" ? null : (
          <span className="soft" data-tip={words}>
            {words}
          </span>
        );
      },
    },
    { id: "updated", head: "Set", align: "right", from: 900, cell: (route) => <Ago time={route.updated_at} /> },
    {
      id: "remove",
      head: <span className="spoken">Actions</span>,
      align: "right",
      card: "note",
      cell: (route) =>
        owner ? (
          <button
            type="button"
            className="button small bare"
            aria-label={`Remove the route of ${route.model}`}
            onClick={() => setRemoving(route)}
          >
            Remove
          </button>
        ) : null,
    },
  ];
  return (
    <>
      <PageHead title="Routes" note="What is done with calls of a model's name">
        {owner ? (
          <Link to="/routes/set" className="button primary">
            <PlusIcon />
            Set a route
          </Link>
        ) : null}
      </PageHead>
      <div className="panel">
        {routes.isError ? (
          <Failure error={routes.error} retry={() => void routes.refetch()} />
        ) : routes.data === undefined ? (
          <SkeletonRows rows={3} />
        ) : routes.data.length === 0 ? (
          <Empty title="No routes" command="npx lineshaft routes set 'claude-*' --serves smollm2-135m-instruct">
            Without a route a name is a model's own, and a failed attempt is followed by the model's other endpoints
            only. A route gives a name to a model, or says what follows when a model fails.
          </Empty>
        ) : (
          <Table
            label="Routes"
            primary
            columns={columns}
            rows={routes.data}
            rowId={(route) => route.model}
            link={(route) => ({ to: "/routes/set", search: { name: route.model } })}
          />
        )}
      </div>
      <RemoveDialog
        target={removing}
        onDone={() => setRemoving(undefined)}
        title={`Remove the route of ${removing?.model ?? "the name"}?`}
        path={({ model }) => `/api/routes/${encodeURIComponent(model)}`}
        list="routes"
        consequence={({ model, serves }) =>
          serves === undefined
            ? "Its calls are then served as without a route: a failed attempt is followed by the model's other endpoints only."
            : `Calls of ${model} are then refused, unless a model or another route has the name.`
        }
      />
    </>
  );
}

/** What a route says beside names of models, in words. */
function restOf(route: ModelRouteResource, own: { id: string; name: string } | undefined): string[] {
  const { retry, hedge, continues, marks, cache } = route;
  const words: string[] = [];
  if (retry?.most !== undefined) words.push(`${retry.most} ${retry.most === 1 ? "attempt" : "attempts"} at a model`);
  if (retry?.wait_most_ms !== undefined) words.push(`waits up to ${duration(retry.wait_most_ms)}`);
  if (hedge !== undefined) words.push(`a second attempt after ${duration(hedge.after_ms)}`);
  if (continues === false) words.push("broken answers are not continued");
  if (marks !== undefined) words.push("prompts are marked");
  if (cache === undefined) return words;
  const projects = cache.projects.map((id) => (id === own?.id ? own.name : id)).join(", ");
  const kept = cache.keep_seconds ? `, kept for ${duration(cache.keep_seconds * 1000)}` : "";
  words.push(`identical calls of ${projects} share answers${kept}`);
  return words;
}
