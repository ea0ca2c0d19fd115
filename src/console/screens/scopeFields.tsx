// The fields of a form that choose a scope: its kind, and which of that kind. Runs are too many for a list, so their id is typed.
import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { agentsQuery, keysQuery, statusQuery } from "../api/queries.ts";

type ScopeKind = "organisation" | "project" | "key" | "agent" | "run";

/** The chosen scope (an empty id: none yet) and the fields. `open`: the form is shown, so the names are read. */
export function useScope<K extends ScopeKind>(
  kinds: readonly K[],
  first: NoInfer<K>,
  open: boolean,
): { kind: K; id: string; fields: ReactNode } {
  const offers = (kind: ScopeKind) => (kinds as readonly ScopeKind[]).includes(kind);
  const status = useQuery(statusQuery).data;
  const keys = useQuery({ ...keysQuery, enabled: open && offers("key") && status?.role === "owner" }).data;
  const agents = useQuery({ ...agentsQuery, enabled: open && offers("agent") }).data;
  const [kind, setKind] = useState<K>(first);
  const [chosen, setChosen] = useState<string>();
  const choices: Partial<Record<ScopeKind, { id: string; name: string }[]>> = {
    ...(status === undefined ? {} : { organisation: [status.organisation], project: [status.project] }),
    key: (keys ?? []).filter((key) => key.revoked_at === null),
    agent: agents ?? [],
  };
  const options = choices[kind];
  const id = chosen ?? options?.[0]?.id ?? "";
  const fields = (
    <>
      <label className="field">
        <span className="label">Of</span>
        <select
          className="input"
          value={kind}
          onChange={(event) => {
            setKind(event.target.value as K);
            setChosen(undefined);
          }}
        >
          {kinds.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </label>
      <label className="field">
        <span className="label">{kind === "run" ? "Id of the run" : "Which"}</span>
        {options === undefined ? (
          <input
            className="input mono"
            value={id}
            placeholder="run_"
            onChange={(event) => setChosen(event.target.value)}
          />
        ) : (
          <select className="input" value={id} onChange={(event) => setChosen(event.target.value)}>
            {options.map((option) => (
              <option key={option.id} value={option.id}>
                {option.name}
              </option>
            ))}
          </select>
        )}
      </label>
    </>
  );
  return { kind, id: id.trim(), fields };
}
