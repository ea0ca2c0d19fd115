// The places of the console: the screens that the side bar, the bottom bar, the search and the keys lead to.
import {
  AccessIcon,
  AgentsIcon,
  BatchesIcon,
  BillIcon,
  CallsIcon,
  ChatIcon,
  ChipIcon,
  ConnectIcon,
  OverviewIcon,
  RoutesIcon,
  RunsIcon,
} from "../ui/icons.tsx";

/** `key` is the letter that leads there after `g`. */
export const places = [
  { to: "/", label: "Overview", icon: OverviewIcon, key: "o" },
  { to: "/agents", label: "Agents", icon: AgentsIcon, key: "a" },
  { to: "/runs", label: "Runs", icon: RunsIcon, key: "r" },
  { to: "/calls", label: "Calls", icon: CallsIcon, key: "c" },
  { to: "/batches", label: "Batches", icon: BatchesIcon, key: "h" },
  { to: "/models", label: "Models and chips", icon: ChipIcon, key: "m" },
  { to: "/routes", label: "Routes", icon: RoutesIcon, key: "u" },
  { to: "/chat", label: "Chat", icon: ChatIcon, key: "t" },
  { to: "/bill", label: "Bill", icon: BillIcon, key: "b" },
  { to: "/access", label: "Access", icon: AccessIcon, key: "k" },
  { to: "/connect", label: "Connect", icon: ConnectIcon, key: "n" },
] as const;

/** The path of the list that a detail page belongs to: "/calls" for "/calls/call_1". */
export const sectionOf = (pathname: string): string => `/${pathname.split("/")[1] ?? ""}`;
