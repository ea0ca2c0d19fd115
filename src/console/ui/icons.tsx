// The console's icons: which picture of Lucide stands for which thing, so that one thing has one picture on every screen. Their size
// and stroke are in styles/base.css. An icon is decoration: a visible or spoken label stands beside each, and Lucide hides it from
// screen readers.
export {
  ArrowDown,
  ArrowLeftRight as CallsIcon,
  ArrowUp,
  ArrowUp as SendIcon,
  Bot as AgentsIcon,
  Box as ModelIcon,
  ChartColumn as OverviewIcon,
  ChartGantt as RunsIcon,
  Check as CheckIcon,
  ChevronDown,
  ChevronRight,
  Clock as WaitIcon,
  Copy as CopyIcon,
  Cpu as ChipIcon,
  Download as DownloadIcon,
  Key as AccessIcon,
  Keyboard as KeyboardIcon,
  Layers as BatchesIcon,
  LogOut as LeaveIcon,
  Menu as MoreIcon,
  MessageSquare as ChatIcon,
  Monitor as SystemIcon,
  Moon as MoonIcon,
  Plug as ConnectIcon,
  Plus as PlusIcon,
  ReceiptText as BillIcon,
  Search as SearchIcon,
  ShieldCheck as VerifyIcon,
  Square as StopIcon,
  Sun as SunIcon,
  TriangleAlert as WarnIcon,
  Waypoints as RoutesIcon,
  Wrench as ToolIcon,
  X as CloseIcon,
} from "lucide-react";

/** The product's mark: one shaft, two pulleys. */
export function Mark({ size = 20 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" aria-hidden="true">
      <path d="M2 12h20" stroke="currentColor" strokeWidth="2" strokeLinecap="round" />
      <circle cx="9" cy="12" r="5" fill="var(--surface)" stroke="currentColor" strokeWidth="2" />
      <circle cx="18" cy="12" r="2.6" fill="var(--surface)" stroke="currentColor" strokeWidth="2" />
    </svg>
  );
}
