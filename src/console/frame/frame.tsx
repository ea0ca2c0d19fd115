// The frame around every screen: side bar, top line, live connection, search, and on narrow screens the bottom bar with its
// drawer. It also owns the keys that work everywhere.
import { Dialog } from "@base-ui/react/dialog";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useRouter, useRouterState } from "@tanstack/react-router";
import { useEffect, useState, useSyncExternalStore, type ReactNode } from "react";
import { liveState, reconnectNow, runLive, watchLive } from "../api/live.ts";
import { statusQuery } from "../api/queries.ts";
import { signOut } from "../api/session.ts";
import {
  AccessIcon,
  AgentsIcon,
  BillIcon,
  CallsIcon,
  ChatIcon,
  ChipIcon,
  CloseIcon,
  ConnectIcon,
  KeyboardIcon,
  LeaveIcon,
  Mark,
  MoonIcon,
  MoreIcon,
  OverviewIcon,
  RunsIcon,
  SearchIcon,
  SunIcon,
  SystemIcon,
} from "../ui/icons.tsx";
import { isTyping } from "../ui/keys.ts";
import { setTheme, useNarrow, useTheme, type Theme } from "../ui/media.ts";
import { AlarmMark } from "./alarms.tsx";
import { Search } from "./search.tsx";
import { Shortcuts } from "./shortcuts.tsx";

export const places = [
  { to: "/", label: "Overview", icon: OverviewIcon, key: "o" },
  { to: "/agents", label: "Agents", icon: AgentsIcon, key: "a" },
  { to: "/runs", label: "Runs", icon: RunsIcon, key: "r" },
  { to: "/calls", label: "Calls", icon: CallsIcon, key: "c" },
  { to: "/models", label: "Models and chips", icon: ChipIcon, key: "m" },
  { to: "/chat", label: "Chat", icon: ChatIcon, key: "t" },
  { to: "/bill", label: "Bill", icon: BillIcon, key: "b" },
  { to: "/access", label: "Access", icon: AccessIcon, key: "k" },
  { to: "/connect", label: "Connect", icon: ConnectIcon, key: "n" },
] as const;

const bottomPlaces = ["/", "/runs", "/calls", "/bill"];

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

/** The path of the list that a detail page belongs to. */
const sectionOf = (pathname: string): string => `/${pathname.split("/")[1] ?? ""}`;

function SideBar({ onShortcuts }: { onShortcuts: () => void }) {
  return (
    <nav className="side" aria-label="Main">
      <Link to="/" className="brand" aria-label="Lineshaft, overview">
        <Mark />
        <span>Lineshaft</span>
      </Link>
      <Places />
      <div className="side-foot">
        <LiveMark />
        <div className="side-tools">
          <ThemeSwitch />
          <button
            type="button"
            className="icon-button"
            aria-label="Keyboard shortcuts"
            data-tip="Keyboard shortcuts (?)"
            onClick={onShortcuts}
          >
            <KeyboardIcon />
          </button>
          <button type="button" className="icon-button" aria-label="Sign out" data-tip="Sign out" onClick={signOut}>
            <LeaveIcon />
          </button>
        </div>
      </div>
    </nav>
  );
}

function Places({ onGo }: { onGo?: () => void }) {
  const section = useRouterState({ select: (state) => sectionOf(state.location.pathname) });
  return (
    <ul className="places">
      {places.map(({ to, label, icon: Icon }) => (
        <li key={to}>
          <Link to={to} className="place" aria-current={section === to ? "page" : undefined} onClick={onGo}>
            <Icon />
            {label}
          </Link>
        </li>
      ))}
    </ul>
  );
}

function BottomBar({ onMore }: { onMore: () => void }) {
  const section = useRouterState({ select: (state) => sectionOf(state.location.pathname) });
  const elsewhere = !bottomPlaces.includes(section);
  return (
    <nav className="bottom" aria-label="Main">
      {places
        .filter((place) => bottomPlaces.includes(place.to))
        .map(({ to, label, icon: Icon }) => (
          <Link key={to} to={to} className="bottom-place" aria-current={section === to ? "page" : undefined}>
            <Icon />
            {label}
          </Link>
        ))}
      <button type="button" className={elsewhere ? "bottom-place on" : "bottom-place"} onClick={onMore}>
        <MoreIcon />
        More
      </button>
    </nav>
  );
}

function Drawer(props: { open: boolean; onOpenChange: (open: boolean) => void; onSearch: () => void }) {
  const close = () => props.onOpenChange(false);
  return (
    <Dialog.Root open={props.open} onOpenChange={props.onOpenChange}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="drawer popup">
          <div className="drawer-head">
            <Dialog.Title render={<h2 />}>Go to</Dialog.Title>
            <Dialog.Close className="icon-button" aria-label="Close">
              <CloseIcon />
            </Dialog.Close>
          </div>
          <Places onGo={close} />
          <div className="drawer-foot">
            <LiveMark />
            <div className="side-tools">
              <ThemeSwitch />
              <button type="button" className="icon-button" aria-label="Sign out" onClick={signOut}>
                <LeaveIcon />
              </button>
            </div>
          </div>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
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

const themes: { value: Theme; label: string; icon: typeof SunIcon; next: Theme }[] = [
  { value: "system", label: "Theme of the system", icon: SystemIcon, next: "light" },
  { value: "light", label: "Light theme", icon: SunIcon, next: "dark" },
  { value: "dark", label: "Dark theme", icon: MoonIcon, next: "system" },
];

function ThemeSwitch() {
  const { theme } = useTheme();
  const current = themes.find((each) => each.value === theme) ?? themes[0]!;
  const Icon = current.icon;
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={`${current.label}; change`}
      data-tip={current.label}
      onClick={() => setTheme(current.next)}
    >
      <Icon />
    </button>
  );
}

function LiveMark() {
  const live = useSyncExternalStore(watchLive, liveState);
  const { data } = useQuery(statusQuery);
  const words = { live: "Live", connecting: "Connecting", waiting: "Connection lost", closed: "Not live" }[live.state];
  const tone = live.state === "live" ? "good" : live.state === "connecting" ? "idle" : "warn";
  return (
    <span
      className={`state ${tone} live-mark`}
      data-tip={live.state === "live" ? "Changes appear as they happen" : undefined}
    >
      <i className="dot" aria-hidden="true" />
      {words}
      {data === undefined ? null : <span className="muted num">v{data.version}</span>}
    </span>
  );
}

/** Shown only while the connection is lost; what is on screen stays readable and says how old it is. */
function Connection() {
  const live = useSyncExternalStore(watchLive, liveState);
  return (
    <div role="status">
      {live.state === "waiting" ? (
        <div className="connection">
          <span>
            Connection lost: figures may be old. Trying again <Countdown until={live.retryAt} />.
          </span>
          <button type="button" className="button small" onClick={reconnectNow}>
            Try now
          </button>
        </div>
      ) : null}
    </div>
  );
}

function Countdown({ until }: { until: number }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.ceil((until - now) / 1000);
  return seconds <= 0 ? "now" : <span className="num">in {seconds} s</span>;
}

/** `/` and Ctrl-K search, `?` shows the keys, `g` and a letter goes to a place, Escape goes up from a detail to its list. */
function useGlobalKeys(setSearching: (open: boolean) => void, setShortcuts: (open: boolean) => void): void {
  const navigate = useNavigate();
  const router = useRouter();
  useEffect(() => {
    let armed = 0;
    const onKey = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setSearching(true);
        return;
      }
      if (isTyping(event) || event.metaKey || event.ctrlKey || event.altKey) return;
      const afterG = performance.now() - armed < 1_200;
      armed = 0;
      const place = afterG ? places.find((each) => each.key === event.key) : undefined;
      if (place !== undefined) {
        event.preventDefault();
        void navigate({ to: place.to });
      } else if (event.key === "g") {
        armed = performance.now();
      } else if (event.key === "/") {
        event.preventDefault();
        setSearching(true);
      } else if (event.key === "?") {
        setShortcuts(true);
      } else if (event.key === "Escape") {
        const parts = router.state.location.pathname.split("/").filter(Boolean);
        const list = `/${parts[0]}`;
        const focusedRow = document.activeElement?.classList.contains("row-link") === true;
        if (parts.length > 1 && !focusedRow) void navigate({ to: list as "/calls" });
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [navigate, router]);
}
