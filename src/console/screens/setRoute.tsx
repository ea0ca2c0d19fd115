// The form of a route. Members see it, owners set it. What is wrong stands beside its field, and what the API refuses above the buttons.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useState, type FormEvent, type ReactNode } from "react";
import type { ModelRouteResource, Status } from "../../contract/index.ts";
import { getJson } from "../api/client.ts";
import { enginesQuery, routesQuery, statusQuery } from "../api/queries.ts";
import { Check, Field } from "../ui/field.tsx";
import { PageHead } from "../ui/page.tsx";
import { Empty, Failure, SkeletonRows } from "../ui/states.tsx";
import { Fallbacks, Model } from "./routeModels.tsx";
import { asksNothing, draftOf, problemsOf, routeOf, type RouteDraft, type RouteField } from "./routeDraft.ts";
import "./setRoute.css";

const up = { label: "Routes", link: { to: "/routes" } as const };

export function SetRouteScreen() {
  const { name } = useSearch({ from: "/routes/set" });
  const routes = useQuery(routesQuery);
  const engines = useQuery(enginesQuery);
  const status = useQuery(statusQuery);
  const failed = [routes, engines, status].find((query) => query.isError);
  const route = routes.data?.find(({ model }) => model === name);
  const title = route?.model ?? "Set a route";
  return (
    <>
      <PageHead
        title={title}
        heading={route === undefined ? title : <span className="mono">{title}</span>}
        up={up}
        note={route === undefined ? "What is done with calls of a model's name" : undefined}
      />
      {failed !== undefined ? (
        <Failure error={failed.error} retry={() => void failed.refetch()} />
      ) : routes.data === undefined || engines.data === undefined || status.data === undefined ? (
        <div className="panel">
          <SkeletonRows rows={8} />
        </div>
      ) : route === undefined && status.data.role !== "owner" ? (
        <div className="panel">
          <Empty title="Only owners set routes" command="npx lineshaft routes list">
            This key belongs to a member: it sees the routes of its organisation. Ask an owner for a change.
          </Empty>
        </div>
      ) : (
        <RouteForm
          key={name}
          route={route}
          name={name ?? ""}
          taken={routes.data.map(({ model }) => model)}
          models={engines.data.map((engine) => engine.name).toSorted()}
          status={status.data}
        />
      )}
    </>
  );
}

interface FormProps {
  route: ModelRouteResource | undefined;
  name: string;
  /** Names that have a route. */
  taken: string[];
  models: string[];
  status: Status;
}

function RouteForm({ route, name, taken, models, status }: FormProps) {
  const own = status.project;
  const client = useQueryClient();
  const navigate = useNavigate();
  const [draft, setDraft] = useState(() => draftOf(route, own, name));
  // A field that was not typed into yet is not called wrong.
  const [tried, setTried] = useState(false);
  const problems = problemsOf(draft);
  const nothing = draft.model.trim() !== "" && asksNothing(draft, own);
  const set = useMutation({
    mutationFn: () => getJson<ModelRouteResource>("/api/routes", { method: "PUT", body: routeOf(draft, own) }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ["routes"] });
      await navigate({ to: "/routes" });
    },
  });
  const change = (next: Partial<RouteDraft>) => setDraft((old) => ({ ...old, ...next }));
  const nameless = tried && draft.model.trim() === "" ? "Write the name that callers use." : undefined;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (draft.model.trim() !== "" && !nothing && Object.keys(problems).length === 0 && !set.isPending) set.mutate();
  };
  const text = (field: RouteField & keyof RouteDraft, of: { label: string; help: ReactNode; placeholder?: string }) => (
    <Field label={of.label} help={of.help} error={problems[field]}>
      {(told) => (
        <input
          {...told}
          className="input num"
          inputMode={field === "hedgeShare" ? "decimal" : field === "projects" ? "text" : "numeric"}
          placeholder={of.placeholder}
          value={draft[field] as string}
          onChange={(event) => change({ [field]: event.target.value })}
        />
      )}
    </Field>
  );
  return (
    <form className="stack route-form" onSubmit={submit} noValidate aria-label="Route">
      <fieldset className="stack" disabled={status.role !== "owner"}>
        <Part
          title="Name and model"
          note="Of the routes that fit a name one counts: exactly the name, a model that has it, then the longest beginning"
        >
          {route === undefined ? (
            <Field
              label="Name"
              help={
                taken.includes(draft.model.trim())
                  ? `${draft.model.trim()} has a route: this one takes its place.`
                  : "A model's name, or its beginning with * behind it: claude-* stands for all names that begin so."
              }
              error={problems.model ?? nameless}
            >
              {(told) => (
                <input
                  {...told}
                  className="input mono"
                  placeholder="claude-*"
                  autoComplete="off"
                  value={draft.model}
                  onChange={(event) => change({ model: event.target.value })}
                />
              )}
            </Field>
          ) : null}
          <Model
            label="Served by"
            help="Calls are limited, priced and recorded as the model that serves them."
            none={
              draft.model.trim().endsWith("*") || draft.model === "" ? "the model of that name" : draft.model.trim()
            }
            error={problems.serves}
            models={models}
            value={draft.serves}
            onChange={(serves) => change({ serves })}
          />
        </Part>
        <Part title="What follows a failed attempt" note="Every attempt has a hold, a price and a row of its own">
          <Fallbacks
            models={models}
            value={draft.fallbacks}
            error={problems.fallbacks}
            onChange={(fallbacks) => change({ fallbacks })}
          />
          <div className="field-pair">
            {text("attempts", { label: "Attempts at one model", placeholder: "3", help: "From 1 to 6." })}
            {text("waitMs", {
              label: "Longest wait, ms",
              placeholder: "0",
              help: "That a busy engine may ask for by Retry-After, with no money held.",
            })}
          </div>
        </Part>
        <Part title="An answer that is silent or breaks off">
          <div className="field-pair">
            {text("hedgeAfterMs", {
              label: "Second attempt after, ms",
              placeholder: "none",
              help: "A stream without a token for so long is sent to a second endpoint too. Both are billed for what they did.",
            })}
            {text("hedgeShare", {
              label: "Share of calls, at most",
              placeholder: "0.05",
              help: "Of the newest 1,000 calls, in each gateway process.",
            })}
          </div>
          <Check
            label="Continue an answer that breaks off"
            help="Another endpoint of the model goes on with the text, as an attempt of its own."
            checked={draft.continues}
            onChange={(continues) => change({ continues })}
          />
        </Part>
        <Part title="Prompt cache and shared answers">
          <Check
            label="Mark prompts that have no mark"
            help="For Anthropic's prompt cache. What is written to it costs more than other input."
            checked={draft.marks}
            onChange={(marks) => change({ marks })}
          />
          <Check
            label="Answer identical calls once"
            help="Calls that are under way together share an answer, and those after it while it is kept."
            checked={draft.shares}
            onChange={(shares) => change({ shares })}
          />
          {draft.shares ? (
            <div className="route-sharing">
              <div className="field-pair">
                {text("projects", { label: "Projects", help: "Ids, or your own project's name, with commas between." })}
                {text("keepSeconds", {
                  label: "Kept for, seconds",
                  placeholder: "0",
                  help: "0: only while under way.",
                })}
              </div>
              <Field label="Which calls">
                {(told) => (
                  <select
                    {...told}
                    className="input"
                    value={draft.when}
                    onChange={(event) => change({ when: event.target.value as RouteDraft["when"] })}
                  >
                    <option value="temperature_0">those that say temperature 0</option>
                    <option value="any">of any temperature</option>
                  </select>
                )}
              </Field>
              <Check label="Calls with tools too" checked={draft.tools} onChange={(tools) => change({ tools })} />
            </div>
          ) : null}
        </Part>
      </fieldset>
      {set.error === null ? null : <Failure error={set.error} />}
      {status.role === "owner" ? (
        <div className="route-foot">
          {tried && nothing ? (
            <p className="bad" role="alert">
              Say what is to be done with calls of {draft.model.trim()}: fill in one field at least.
            </p>
          ) : null}
          <Link to="/routes" className="button">
            Cancel
          </Link>
          <button type="submit" className="button primary" disabled={set.isPending}>
            {set.isPending ? "One moment" : "Set the route"}
          </button>
        </div>
      ) : null}
    </form>
  );
}

function Part({ title, note, children }: { title: string; note?: string; children: ReactNode }) {
  return (
    <section className="panel" aria-label={title}>
      <div className="panel-head">
        <h2>{title}</h2>
      </div>
      <div className="panel-body route-part">
        {note === undefined ? null : <p className="muted">{note}.</p>}
        {children}
      </div>
    </section>
  );
}
