// The console's addresses. Every state of a page that a colleague should see too is part of its address. Addresses are checked: a value
// that is not known falls back to the default.
import { createRootRoute, createRoute, createRouter, redirect } from "@tanstack/react-router";
import type { BatchStatus, Call, Run } from "../contract/index.ts";
import { batchStatuses, billRanges, callStatuses, overviewRanges, runStatuses, type BillRange } from "./addresses.ts";
import type { OverviewRange } from "./api/queries.ts";
import { currentKey } from "./api/session.ts";
import { Root } from "./frame/root.tsx";
import { Missing } from "./frame/missing.tsx";
import { Login } from "./screens/login.tsx";
import { OverviewScreen } from "./screens/overview.tsx";
import { CallsScreen } from "./screens/calls.tsx";
import { CallScreen } from "./screens/call.tsx";
import { AgentsScreen } from "./screens/agents.tsx";
import { AgentScreen } from "./screens/agent.tsx";
import { RunsScreen } from "./screens/runs.tsx";
import { RunScreen } from "./screens/run.tsx";
import { BatchScreen } from "./screens/batch.tsx";
import { BatchesScreen } from "./screens/batches.tsx";
import { BillScreen } from "./screens/bill.tsx";
import { ModelsScreen } from "./screens/models.tsx";
import { RoutesScreen } from "./screens/routes.tsx";
import { SetRouteScreen } from "./screens/setRoute.tsx";
import { ChatScreen } from "./screens/chat.tsx";
import { AccessScreen, accessTabs, type AccessTab } from "./screens/access.tsx";
import { ConnectScreen } from "./screens/connect.tsx";

type Raw = Record<string, unknown>;

const oneOf = <T extends string>(value: unknown, allowed: readonly T[]): T | undefined =>
  allowed.find((each) => each === value);
const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : typeof value === "number" ? String(value) : undefined;
/** Leaves out values that are not set, so that addresses stay short. */
const set = <T extends Raw>(values: T): T =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;

const root = createRootRoute({
  component: Root,
  notFoundComponent: Missing,
  beforeLoad: ({ location }) => {
    if (currentKey() === null && location.pathname !== "/login") {
      const to = location.href === "/" ? undefined : location.href;
      throw redirect({ to: "/login", search: set({ to }), replace: true });
    }
  },
});

const login = createRoute({
  getParentRoute: () => root,
  path: "/login",
  component: Login,
  validateSearch: (raw: Raw): { to?: string; why?: "expired" } =>
    set({ to: text(raw["to"])?.startsWith("/") ? text(raw["to"]) : undefined, why: oneOf(raw["why"], ["expired"]) }),
});
const overview = createRoute({
  getParentRoute: () => root,
  path: "/",
  component: OverviewScreen,
  validateSearch: (raw: Raw): { range?: OverviewRange } => set({ range: oneOf(raw["range"], overviewRanges) }),
});
const calls = createRoute({
  getParentRoute: () => root,
  path: "/calls",
  component: CallsScreen,
  validateSearch: (
    raw: Raw,
  ): { status?: Call["status"]; model?: string; agent?: string; run?: string; batch?: string; sort?: string } =>
    set({
      status: oneOf(raw["status"], callStatuses),
      model: text(raw["model"]),
      agent: text(raw["agent"]),
      run: text(raw["run"]),
      batch: text(raw["batch"]),
      sort: text(raw["sort"]),
    }),
});
const call = createRoute({ getParentRoute: () => root, path: "/calls/$id", component: CallScreen });
const batches = createRoute({
  getParentRoute: () => root,
  path: "/batches",
  component: BatchesScreen,
  validateSearch: (raw: Raw): { status?: BatchStatus } => set({ status: oneOf(raw["status"], batchStatuses) }),
});
const batch = createRoute({ getParentRoute: () => root, path: "/batches/$id", component: BatchScreen });
const agents = createRoute({
  getParentRoute: () => root,
  path: "/agents",
  component: AgentsScreen,
  validateSearch: (raw: Raw): { sort?: string } => set({ sort: text(raw["sort"]) }),
});
const agent = createRoute({
  getParentRoute: () => root,
  path: "/agents/$name",
  component: AgentScreen,
});
const runs = createRoute({
  getParentRoute: () => root,
  path: "/runs",
  component: RunsScreen,
  validateSearch: (raw: Raw): { status?: Run["status"]; agent?: string; sort?: string } =>
    set({ status: oneOf(raw["status"], runStatuses), agent: text(raw["agent"]), sort: text(raw["sort"]) }),
});
const run = createRoute({
  getParentRoute: () => root,
  path: "/runs/$id",
  component: RunScreen,
  /** `open`: the numbers of the open steps, `3.5`. */
  validateSearch: (raw: Raw): { open?: string } => {
    const open = text(raw["open"]);
    return set({ open: open !== undefined && /^\d+(\.\d+)*$/.test(open) ? open : undefined });
  },
});
const bill = createRoute({
  getParentRoute: () => root,
  path: "/bill",
  component: BillScreen,
  validateSearch: (raw: Raw): { range?: BillRange; sort?: string } =>
    set({ range: oneOf(raw["range"], billRanges), sort: text(raw["sort"]) }),
});
const models = createRoute({ getParentRoute: () => root, path: "/models", component: ModelsScreen });
const routes = createRoute({ getParentRoute: () => root, path: "/routes", component: RoutesScreen });
const setRoute = createRoute({
  getParentRoute: () => root,
  path: "/routes/set",
  component: SetRouteScreen,
  /** `name`: the name whose route is shown; a new one where absent. */
  validateSearch: (raw: Raw): { name?: string } => set({ name: text(raw["name"]) }),
});
const chat = createRoute({
  getParentRoute: () => root,
  path: "/chat",
  component: ChatScreen,
  validateSearch: (raw: Raw): { model?: string } => set({ model: text(raw["model"]) }),
});
const access = createRoute({
  getParentRoute: () => root,
  path: "/access",
  component: AccessScreen,
  validateSearch: (raw: Raw): { tab?: AccessTab } => set({ tab: oneOf(raw["tab"], accessTabs) }),
});

const connect = createRoute({
  getParentRoute: () => root,
  path: "/connect",
  component: ConnectScreen,
  validateSearch: (raw: Raw): { client?: string } => set({ client: text(raw["client"]) }),
});

export const router = createRouter({
  routeTree: root.addChildren([
    login,
    overview,
    calls,
    call,
    batches,
    batch,
    agents,
    agent,
    runs,
    run,
    bill,
    models,
    routes,
    setRoute,
    chat,
    access,
    connect,
  ]),
  basepath: "/console",
  // Values stand in addresses as they are (`?open=1.2`), and not as JSON in quotes, the router's default.
  parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch: (search) => {
    const given = Object.entries(search).filter(([, value]) => value !== undefined);
    const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
    return text === "" ? "" : `?${text}`;
  },
  scrollRestoration: true,
  defaultPreload: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
