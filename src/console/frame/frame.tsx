// The frame around every screen: navigation, top line, the state of the connection, and what opens over the screen (search, the list
// of keys). It also keeps the event stream running.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, type ReactNode } from "react";
import { runLive } from "../api/live.ts";
import { statusQuery } from "../api/queries.ts";
import { SearchIcon } from "../ui/icons.tsx";
import { useNarrow } from "../ui/media.ts";
import { AlarmMark } from "./alarms.tsx";
import { Connection } from "./connection.tsx";
import { useGlobalKeys } from "./globalKeys.ts";
import { BottomBar, Drawer, SideBar } from "./navigation.tsx";
import { Search } from "./search.tsx";
import { Shortcuts } from "./shortcuts.tsx";

export function Frame({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const narrow = useNarrow();
  const [searching, setSearching] = useState(false);
  const [shortcuts, setShortcuts] = useState(false);
  const [drawer, setDrawer] = useState(false);

  useEffect(() => {
    const stop = new AbortController();
    void runLive(client, stop.signal);
    return () => stop.abort();
  }, [client]);
  useGlobalKeys(setSearching, setShortcuts);

  return (
    <div className="frame">
      <a className="skip" href="#main">
        Skip to content
      </a>
      {narrow ? null : <SideBar onShortcuts={() => setShortcuts(true)} />}
      <div className="page">
        <TopLine onSearch={() => setSearching(true)} />
        <Connection />
        <main id="main" tabIndex={-1}>
          {children}
        </main>
      </div>
      {narrow ? <BottomBar onMore={() => setDrawer(true)} /> : null}
      <Drawer open={drawer} onOpenChange={setDrawer} onSearch={() => setSearching(true)} />
      <Search open={searching} onOpenChange={setSearching} />
      <Shortcuts open={shortcuts} onOpenChange={setShortcuts} />
    </div>
  );
}

function TopLine({ onSearch }: { onSearch: () => void }) {
  const { data } = useQuery(statusQuery);
  return (
    <header className="top">
      <div className="top-where">
        {data === undefined ? (
          <span className="skeleton-box" style={{ width: 140, height: 14 }} />
        ) : (
          <>
            <span data-tip="Organisation">{data.organisation.name}</span>
            <span className="muted" aria-hidden="true">
              /
            </span>
            <span data-tip="Project">{data.project.name}</span>
          </>
        )}
      </div>
      <AlarmMark />
      <div id="top-tools" className="top-tools" />
      <button
        type="button"
        className="search-open"
        onClick={onSearch}
        aria-label="Search"
        aria-keyshortcuts="/ Control+K"
      >
        <SearchIcon />
        <span>Search</span>
        <kbd>/</kbd>
      </button>
    </header>
  );
}
