// What a page shows without data: how to get the first of its things, a skeleton while data is read, or what failed and what to do.
import { Link, type LinkProps } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { ApiFailure } from "../api/client.ts";
import { Command } from "./text.tsx";
import "./states.css";

export function Empty({
  title,
  children,
  command,
  action,
}: {
  title: string;
  children?: ReactNode;
  command?: string;
  action?: ReactNode;
}) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children === undefined ? null : <p>{children}</p>}
      {command === undefined ? null : <Command>{command}</Command>}
      {action}
    </div>
  );
}

export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const failure = error instanceof ApiFailure ? error : undefined;
  return (
    <div className="failure" role="alert">
      <h2>{failure?.message ?? (error instanceof Error ? error.message : String(error))}</h2>
      {failure?.hint === undefined || failure.message.includes(failure.hint) ? null : <p>{failure.hint}</p>}
      <div className="failure-foot">
        {retry === undefined ? null : (
          <button type="button" className="button small" onClick={retry}>
            Try again
          </button>
        )}
        {failure === undefined ? null : (
          <span className="muted mono">
            {failure.code}
            {failure.requestId === undefined ? "" : ` · ${failure.requestId}`}
          </span>
        )}
      </div>
    </div>
  );
}

/** The page of a thing that does not exist. `list` leads to those that do. */
export function NotThere({ what, id, list }: { what: string; id: string; list: { label: string; link: LinkProps } }) {
  return (
    <div className="panel" role="alert">
      <Empty
        title={`There is no ${what} ${id}`}
        action={
          <Link {...list.link} className="button">
            {list.label}
          </Link>
        }
      >
        It may be mistyped, or belong to a project that this key cannot read.
      </Empty>
    </div>
  );
}

export const isNotThere = (error: unknown): boolean => error instanceof ApiFailure && error.status === 404;

/** Grey bars where the rows of a table or panel will be. */
export function SkeletonRows({ rows = 8 }: { rows?: number }) {
  return (
    <div className="skeleton-rows" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, index) => (
        <div key={index} className="skeleton-row">
          <i style={{ width: `${24 - ((index * 7) % 9)}%` }} />
          <i style={{ width: `${14 + ((index * 5) % 8)}%` }} />
          <i style={{ width: "9%" }} />
          <i style={{ width: `${7 + ((index * 3) % 4)}%` }} />
        </div>
      ))}
    </div>
  );
}

export function SkeletonFigures({ count }: { count: number }) {
  return (
    <div className="figures" role="status" aria-label="Loading">
      {Array.from({ length: count }, (_, index) => (
        <div key={index} className="figure skeleton-figure">
          <i style={{ width: "40%" }} />
          <i style={{ width: "55%", height: 22 }} />
          <i style={{ width: "70%" }} />
        </div>
      ))}
    </div>
  );
}
