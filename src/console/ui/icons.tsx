// The console's few icons: one 16 px grid, 1.5 px strokes, colour of the text around them. They never stand alone for a
// meaning: a label, visible or spoken, is always beside them.
import type { ReactNode, SVGProps } from "react";

function icon(paths: ReactNode) {
  return function Icon(props: SVGProps<SVGSVGElement>) {
    return (
      <svg
        width="16"
        height="16"
        viewBox="0 0 16 16"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.5"
        strokeLinecap="round"
        strokeLinejoin="round"
        aria-hidden="true"
        focusable="false"
        {...props}
      >
        {paths}
      </svg>
    );
  };
}

export const OverviewIcon = icon(<path d="M2.5 13.5v-5M6.2 13.5v-11M9.8 13.5v-7.5M13.5 13.5v-3.5" />);
export const AgentsIcon = icon(
  <>
    <rect x="3" y="5" width="10" height="8" rx="2" />
    <path d="M8 5V2.5M6 8.7v.6M10 8.7v.6M1.5 8.5v1.5M14.5 8.5v1.5" />
  </>,
);
export const RunsIcon = icon(
  <>
    <path d="M2.5 3.5h5M5 8h7M8.5 12.5h5" />
    <circle cx="2.6" cy="8" r=".4" />
    <circle cx="13.4" cy="3.5" r=".4" />
  </>,
);
export const CallsIcon = icon(<path d="M2 5.5h10.5M9.8 2.8l2.7 2.7-2.7 2.7M14 10.5H3.5M6.2 7.8l-2.7 2.7 2.7 2.7" />);
export const ChipIcon = icon(
  <>
    <rect x="4" y="4" width="8" height="8" rx="1.5" />
    <path d="M6.5 1.8V4M9.5 1.8V4M6.5 12v2.2M9.5 12v2.2M1.8 6.5H4M1.8 9.5H4M12 6.5h2.2M12 9.5h2.2" />
  </>,
);
export const ChatIcon = icon(<path d="M2.5 3h11v8h-6L4.3 13.7V11H2.5z" />);
export const BillIcon = icon(
  <>
    <path d="M3.5 1.8h9v12.4l-2.2-1.4L8 14.2l-2.3-1.4-2.2 1.4z" />
    <path d="M6 5.2h4M6 8.2h4" />
  </>,
);
export const AccessIcon = icon(
  <>
    <circle cx="5.2" cy="10.8" r="2.9" />
    <path d="M7.3 8.7l6-6M11 5l1.8 1.8" />
  </>,
);
export const SearchIcon = icon(
  <>
    <circle cx="7" cy="7" r="4.5" />
    <path d="M10.4 10.4l3.4 3.4" />
  </>,
);
export const MoreIcon = icon(<path d="M2.5 4.5h11M2.5 8h11M2.5 11.5h11" />);
export const CloseIcon = icon(<path d="M3.5 3.5l9 9M12.5 3.5l-9 9" />);
export const CopyIcon = icon(
  <>
    <rect x="5.5" y="5.5" width="8" height="8" rx="1.5" />
    <path d="M10.5 5.5v-2a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2" />
  </>,
);
export const CheckIcon = icon(<path d="M3 8.5l3.2 3.2L13 4.8" />);
export const ChevronRight = icon(<path d="M6 3.5L10.5 8 6 12.5" />);
export const ChevronDown = icon(<path d="M3.5 6L8 10.5 12.5 6" />);
export const ArrowUp = icon(<path d="M8 13V3.5M4 7l4-4 4 4" />);
export const ArrowDown = icon(<path d="M8 3v9.5M4 9l4 4 4-4" />);
export const ModelIcon = icon(
  <>
    <path d="M8 1.8l5.4 3.1v6.2L8 14.2l-5.4-3.1V4.9z" />
    <path d="M8 8l5.2-3M8 8v6M8 8L2.8 5" />
  </>,
);
export const ToolIcon = icon(
  <path d="M9.8 6.2l-6.9 6.9M13.6 4.1l-2.2 2.2-1.7-1.7 2.2-2.2A3.2 3.2 0 0 0 8 6.4a3 3 0 0 0 .3 1.3M13.6 4.1A3.2 3.2 0 0 1 8.3 7.7" />,
);
export const WaitIcon = icon(
  <>
    <circle cx="8" cy="8" r="5.8" />
    <path d="M8 4.8V8l2.2 1.6" />
  </>,
);
export const VerifyIcon = icon(
  <>
    <path d="M8 1.8l5 1.8v4c0 3.2-2 5.4-5 6.6-3-1.2-5-3.4-5-6.6v-4z" />
    <path d="M5.8 8l1.6 1.6 2.9-3.1" />
  </>,
);
export const StopIcon = icon(<rect x="4" y="4" width="8" height="8" rx="1.2" fill="currentColor" />);
export const SendIcon = icon(<path d="M8 13.2V3M3.8 7L8 2.8 12.2 7" />);
export const SunIcon = icon(
  <>
    <circle cx="8" cy="8" r="2.8" />
    <path d="M8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.9.9M11.7 11.7l.9.9M12.6 3.4l-.9.9M4.3 11.7l-.9.9" />
  </>,
);
export const MoonIcon = icon(<path d="M13.3 9.6A5.8 5.8 0 0 1 6.4 2.7a5.8 5.8 0 1 0 6.9 6.9z" />);
export const SystemIcon = icon(
  <>
    <rect x="2" y="2.8" width="12" height="8" rx="1.2" />
    <path d="M5.5 13.5h5" />
  </>,
);
export const LeaveIcon = icon(<path d="M6 2.5H3.5a1 1 0 0 0-1 1v9a1 1 0 0 0 1 1H6M10.5 11l3-3-3-3M13.2 8H6.2" />);
export const PlusIcon = icon(<path d="M8 3v10M3 8h10" />);
export const DownloadIcon = icon(<path d="M8 2.5v7.5M4.8 7L8 10.2 11.2 7M2.8 13.5h10.4" />);
export const KeyboardIcon = icon(
  <>
    <rect x="1.8" y="4" width="12.4" height="8" rx="1.5" />
    <path d="M4.5 6.7v.1M7.3 6.7v.1M10.2 6.7v.1M5 9.4h6" />
  </>,
);
export const ConnectIcon = icon(
  <>
    <path d="M5.5 2v3M10.5 2v3M3.5 5h9v2.5a4.5 4.5 0 0 1-9 0z" />
    <path d="M8 12v2.5" />
  </>,
);
export const WarnIcon = icon(
  <>
    <path d="M8 2.2l6.2 11H1.8z" />
    <path d="M8 6.5v3M8 11.4v.1" />
  </>,
);

/** The product's mark: one shaft, two pulleys. */
export function Mark({ size = 20 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" aria-hidden="true" focusable="false">
      <path d="M2 12h20" stroke="currentColor" strokeWidth="2" strokeLinecap="round" />
      <circle cx="9" cy="12" r="5" fill="var(--surface)" stroke="currentColor" strokeWidth="2" />
      <circle cx="18" cy="12" r="2.6" fill="var(--surface)" stroke="currentColor" strokeWidth="2" />
    </svg>
  );
}
