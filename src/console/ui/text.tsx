// Small texts: counts, money, times, ids, states. Each shows its short form, and its full form on hover or focus.
import { useSyncExternalStore, type ReactNode } from "react";
import { ago, compact, full, moneyFull, moneyParts, moment, type MoneyScale } from "../format.ts";
import { CheckIcon, CopyIcon } from "./icons.tsx";
import { useState } from "react";
import "./text.css";

export function Count({ value, unit }: { value: number; unit?: string }) {
  return (
    <span className="num" data-tip={`${full(value)}${unit === undefined ? "" : ` ${unit}`}`}>
      {compact(value)}
    </span>
  );
}

/**
 * `scale` is the scale of the column. Without it the amount has its own. With `cut` it is cut instead of rounded, so that it is never shown
 * as more.
 */
export function Money({
  nano,
  currency,
  scale,
  cut,
}: {
  nano: string;
  currency: string;
  scale?: MoneyScale;
  cut?: boolean;
}) {
  const [digits, unit] = moneyParts(nano, currency, { ...(scale && { scale }), ...(cut === undefined ? {} : { cut }) });
  return (
    <span className="num" data-tip={`${moneyFull(nano)} ${currency}`}>
      {digits}
      <span className="unit">{unit}</span>
    </span>
  );
}

// One clock for all relative times. It ticks every five seconds while a component shows one.
let now = Date.now();
const watchers = new Set<() => void>();
let ticking: ReturnType<typeof setInterval> | undefined;
function watchClock(watcher: () => void): () => void {
  watchers.add(watcher);
  ticking ??= setInterval(() => {
    now = Date.now();
    for (const each of watchers) each();
  }, 5_000);
  return () => {
    watchers.delete(watcher);
    if (watchers.size === 0) {
      clearInterval(ticking);
      ticking = undefined;
    }
  };
}
export const useNow = (): number => useSyncExternalStore(watchClock, () => now);

export function Ago({ time }: { time: string }) {
  const at = Math.max(useNow(), Date.parse(time));
  return (
    <time dateTime={time} data-tip={moment(time)} className="nowrap num">
      {ago(time, at)}
    </time>
  );
}

type Tone = "good" | "warn" | "bad" | "live" | "idle";

/** The tone of each state of the API. */
const tones: Record<string, Tone> = {
  completed: "good",
  passed: "good",
  ready: "good",
  done: "good",
  external: "good",
  running: "live",
  queued: "idle",
  waiting: "warn",
  starting: "warn",
  restarting: "warn",
  stopping: "warn",
  claimed: "warn",
  planned: "idle",
  cancelled: "idle",
  stopped: "idle",
  free: "idle",
  idle: "idle",
  failed: "bad",
  refused: "warn",
  down: "bad",
  ejected: "bad",
  trial: "warn",
  unknown: "bad",
  partial: "warn",
  leaving: "idle",
  off: "idle",
  // Of batches.
  validating: "idle",
  in_progress: "live",
  cancelling: "warn",
  expired: "warn",
};
const toneOf = (state: string): Tone => tones[state] ?? "idle";

/** `word`: what a screen reader says after the label; the state where absent. */
export function StateMark({
  state,
  label,
  tip,
  word = state,
}: {
  state: string;
  label?: ReactNode;
  tip?: string | undefined;
  word?: string;
}) {
  return (
    <span className={`state ${toneOf(state)}`} data-tip={tip}>
      <i className="dot" aria-hidden="true" />
      {label ?? state}
      {label === undefined ? null : <span className="spoken"> {word}</span>}
    </span>
  );
}

export function Badge({ tone = "idle", children }: { tone?: Tone; children: ReactNode }) {
  return <span className={`badge ${tone}`}>{children}</span>;
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // The clipboard API needs a secure context. Copying a selection does not.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    setCopied(true);
    setTimeout(() => setCopied(false), 1_500);
  };
  return (
    <button
      type="button"
      className="icon-button small"
      aria-label={copied ? "Copied" : label}
      data-tip={copied ? "Copied" : label}
      onClick={copy}
    >
      {copied ? <CheckIcon className="good" /> : <CopyIcon />}
    </button>
  );
}

/** A line to copy. `label` names the button that copies it. */
export function Command({ children, label = "Copy command" }: { children: string; label?: string }) {
  return (
    <span className="command">
      <code tabIndex={0}>{children}</code>
      <CopyButton text={children} label={label} />
    </span>
  );
}

export function Id({ id }: { id: string }) {
  return (
    <span className="id">
      <span className="mono">{id}</span>
      <CopyButton text={id} label="Copy id" />
    </span>
  );
}

/** The short form of an id in a table: its prefix and last eight characters. */
export function shortId(id: string): string {
  const cut = id.indexOf("_");
  const prefix = cut === -1 ? "" : id.slice(0, cut + 1);
  const rest = id.slice(prefix.length);
  return rest.length <= 10 ? id : `${prefix}…${rest.slice(-8)}`;
}
