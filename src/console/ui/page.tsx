// The head of a page: the way up, its name, its state and its actions. It also names the browser's tab.
import { Link, type LinkProps } from "@tanstack/react-router";
import { useEffect, useSyncExternalStore, type ReactNode } from "react";
import { createPortal } from "react-dom";
import { ChevronRight } from "./icons.tsx";

export function PageHead(props: {
  title: string;
  /** Shown instead of the title, which still names the tab. */
  heading?: ReactNode;
  up?: { label: string; link: LinkProps };
  state?: ReactNode;
  note?: ReactNode;
  children?: ReactNode;
}) {
  useEffect(() => {
    document.title = `${props.title} · Lineshaft`;
  }, [props.title]);
  return (
    <div className="page-head">
      <div className="page-title">
        {props.up === undefined ? null : (
          <>
            <Link {...props.up.link} className="page-up">
              {props.up.label}
            </Link>
            <ChevronRight className="page-chevron" />
          </>
        )}
        <h1>{props.heading ?? props.title}</h1>
        {props.state}
        {props.note === undefined ? null : <span className="page-note">{props.note}</span>}
      </div>
      {props.children === undefined ? null : <div className="page-tools">{props.children}</div>}
    </div>
  );
}

/** Controls of the whole page, such as its time range. They stand in the frame's top line. */
export function TopTools({ children }: { children: ReactNode }) {
  const place = useSyncExternalStore(never, () => document.getElementById("top-tools"));
  return place === null ? null : createPortal(children, place);
}

const never = () => () => undefined;

/** A list of named facts, in as many columns as there is room for. */
export function Facts({ columns, children }: { columns?: 4; children: ReactNode }) {
  return <dl className={columns === 4 ? "facts of-four" : "facts"}>{children}</dl>;
}

export function Fact({ name, children }: { name: ReactNode; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export interface Part {
  label: string;
  value: number;
  /** A custom property of tokens.css with its dashes. */
  tone: string;
  /** The value as text, for the tooltip and the legend. */
  text: string;
}

/** A bar cut into parts, with a legend that names each part and its value. */
export function PartsBar({
  label,
  parts,
  whole,
  legend = true,
}: {
  label: string;
  parts: Part[];
  whole?: number;
  legend?: boolean;
}) {
  const sum = whole ?? parts.reduce((total, part) => total + part.value, 0);
  return (
    <div className="parts">
      <div
        className="parts-bar"
        role="img"
        aria-label={`${label}: ${parts.map((part) => `${part.label} ${part.text}`).join(", ")}`}
      >
        {parts.map((part) =>
          part.value <= 0 || sum <= 0 ? null : (
            <i
              key={part.label}
              style={{ width: `${(part.value / sum) * 100}%`, background: `var(${part.tone})` }}
              data-tip={`${part.label}: ${part.text}`}
            />
          ),
        )}
      </div>
      {legend ? (
        <ul className="parts-legend">
          {parts.map((part) => (
            <li key={part.label}>
              <i style={{ background: `var(${part.tone})` }} />
              {part.label} <b className="num">{part.text}</b>
            </li>
          ))}
        </ul>
      ) : null}
    </div>
  );
}
