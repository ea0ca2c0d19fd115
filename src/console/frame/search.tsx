// The search for an id, an agent, a model or a place. What the console has already read is found at once, and the API adds the rest. A
// whole id opens directly. The part of an id that a table shows is enough to find it among what was read.
import { Dialog } from "@base-ui/react/dialog";
import { useQuery, useQueryClient, type InfiniteData } from "@tanstack/react-query";
import { useNavigate, type LinkProps } from "@tanstack/react-router";
import { useDeferredValue, useId, useMemo, useState } from "react";
import type { Call, Run } from "../../contract/index.ts";
import { agentsQuery, enginesQuery, searchQuery, statusQuery, type Found, type Page } from "../api/queries.ts";
import { SearchIcon } from "../ui/icons.tsx";
import { StateMark } from "../ui/text.tsx";
import { places } from "./places.ts";

interface Hit {
  id: string;
  kind: string;
  title: string;
  state?: string;
  target: LinkProps;
}

const hitLimit = 12;

export function Search({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="search popup" aria-label="Search">
          <SearchBox onDone={() => onOpenChange(false)} />
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function SearchBox({ onDone }: { onDone: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const hits = useHits(text.trim());
  const navigate = useNavigate();
  const list = useId();
  const go = (hit: Hit | undefined) => {
    if (hit === undefined) return;
    onDone();
    void navigate(hit.target as Parameters<typeof navigate>[0]);
  };
  return (
    <>
      <div className="search-line">
        <SearchIcon />
        <input
          role="combobox"
          aria-expanded={hits.length > 0}
          aria-controls={list}
          aria-activedescendant={hits[at] === undefined ? undefined : `${list}-${at}`}
          aria-label="Find an id, agent, model or place"
          placeholder="Find an id, agent, model or place"
          value={text}
          spellCheck={false}
          autoComplete="off"
          onChange={(event) => {
            setText(event.target.value);
            setAt(0);
          }}
          onKeyDown={(event) => {
            if (event.key === "ArrowDown") setAt(Math.min(at + 1, hits.length - 1));
            else if (event.key === "ArrowUp") setAt(Math.max(at - 1, 0));
            else if (event.key === "Enter") go(hits[at]);
            else return;
            event.preventDefault();
          }}
        />
        <kbd>Esc</kbd>
      </div>
      <ul className="search-hits" role="listbox" id={list} aria-label="Results">
        {hits.map((hit, index) => (
          <li
            key={hit.id}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === at}
            onPointerMove={() => setAt(index)}
            onClick={() => go(hit)}
          >
            <span className="search-kind">{hit.kind}</span>
            <span className={hit.kind === "call" || hit.kind === "run" ? "mono search-title" : "search-title"}>
              {hit.title}
            </span>
            {hit.state === undefined ? null : <StateMark state={hit.state} />}
          </li>
        ))}
      </ul>
      {hits.length === 0 ? (
        <p className="search-none">
          Nothing has that name. A whole id of a call or run opens even when it is in no list here.
        </p>
      ) : null}
    </>
  );
}

function useHits(text: string): Hit[] {
  const client = useQueryClient();
  const agents = useQuery(agentsQuery).data;
  const engines = useQuery(enginesQuery).data;
  const status = useQuery(statusQuery).data;
  const asked = useDeferredValue(text);
  const found = useQuery({ ...searchQuery(asked), enabled: asked.length > 1, placeholderData: (old) => old }).data;
  return useMemo(() => {
    const wanted = text.toLowerCase();
    const fits = (...words: string[]) => wanted === "" || words.some((word) => word.toLowerCase().includes(wanted));
    const hits: Hit[] = [];
    for (const place of places) {
      if (fits(place.label)) hits.push({ id: place.to, kind: "go to", title: place.label, target: { to: place.to } });
    }
    for (const agent of agents ?? []) {
      if (fits(agent.name, agent.id))
        hits.push({
          id: agent.id,
          kind: "agent",
          title: agent.name,
          target: { to: "/agents/$name", params: { name: agent.name } },
        });
    }
    const models = new Set([
      ...(status?.deployments ?? []).map((each) => each.name),
      ...(engines ?? []).map((each) => each.name),
    ]);
    for (const model of models) {
      if (fits(model))
        hits.push({ id: `model ${model}`, kind: "model", title: model, target: { to: "/calls", search: { model } } });
    }
    if (/^run_[\w-]{4,}$/.test(text))
      hits.unshift({ id: text, kind: "run", title: text, target: { to: "/runs/$id", params: { id: text } } });
    if (/^call_[\w-]{4,}$/.test(text))
      hits.unshift({ id: text, kind: "call", title: text, target: { to: "/calls/$id", params: { id: text } } });
    if (wanted.length > 1) {
      for (const run of seen<Run>(client, "runs")) {
        if (hits.length >= hitLimit) break;
        if (fits(run.id))
          hits.push({
            id: run.id,
            kind: "run",
            title: run.id,
            state: run.status,
            target: { to: "/runs/$id", params: { id: run.id } },
          });
      }
      for (const call of seen<Call>(client, "calls")) {
        if (hits.length >= hitLimit) break;
        if (fits(call.id))
          hits.push({
            id: call.id,
            kind: "call",
            title: call.id,
            state: call.status,
            target: { to: "/calls/$id", params: { id: call.id } },
          });
      }
    }
    for (const hit of found ?? []) {
      if (fits(hit.id, hit.name)) hits.push(hitOf(hit));
    }
    const first = new Map<string, Hit>();
    for (const hit of hits) if (!first.has(hit.id)) first.set(hit.id, hit);
    return [...first.values()].slice(0, hitLimit);
  }, [text, agents, engines, status, client, found]);
}

function hitOf({ kind, id, name }: Found): Hit {
  switch (kind) {
    case "call":
      return { id, kind, title: id, target: { to: "/calls/$id", params: { id } } };
    case "run":
      return { id, kind, title: id, target: { to: "/runs/$id", params: { id } } };
    case "agent":
      return { id, kind, title: name, target: { to: "/agents/$name", params: { name } } };
    case "model":
      return { id: `model ${name}`, kind, title: name, target: { to: "/calls", search: { model: name } } };
    case "key":
      return { id, kind, title: name, target: { to: "/access" } };
  }
}

function seen<T extends { id: string }>(client: ReturnType<typeof useQueryClient>, list: string): T[] {
  const rows = new Map<string, T>();
  for (const [, data] of client.getQueriesData<InfiniteData<Page<T>>>({ queryKey: [list] })) {
    for (const page of data?.pages ?? []) for (const row of page.data) rows.set(row.id, row);
  }
  return [...rows.values()];
}
