// Lists: one table for every screen. It is sorted by its headers, walked with j and k or the arrows, opened with Enter and left with
// Escape. Beyond 200 rows only those that can be seen are drawn. On narrow screens each row is a card with its two most telling
// columns. A whole row is one link, which opens in a new tab and can be copied like any other.
import { Link, type LinkProps } from "@tanstack/react-router";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useLayoutEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { useNarrow } from "./media.ts";
import { useLoadMore, useStayInPlace, useWalk } from "./tableHooks.ts";
import { Cards, Head, Rows, type Column, type Drawn } from "./tableRows.tsx";
import "./table.css";

export type { Column };

interface TableProps<T> {
  /** Name of the list for screen readers. */
  label: string;
  columns: Column<T>[];
  rows: T[];
  rowId: (row: T) => string;
  link?: (row: T) => LinkProps;
  /** Id of a column, for ascending order; with `-` before it for descending. */
  sort?: string | undefined;
  onSort?: (sort: string | undefined) => void;
  more?: { has: boolean; loading: boolean; load: () => void };
  footer?: ReactNode;
  /** Whether j and k walk through this list. At most one list on a screen. */
  primary?: boolean;
  /** Ids of rows that have just arrived and are marked. */
  fresh?: ReadonlySet<string>;
}

const virtualFrom = 200;
/** Pixels, as table.css has them. */
const rowHeight = 34;
const cardHeight = 62;

export function Table<T>(props: TableProps<T>) {
  const narrow = useNarrow();
  const { rows: given, columns, sort } = props;
  const rows = useMemo(() => sorted(given, columns, sort), [given, columns, sort]);
  const box = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  const [top, setTop] = useState(0);
  const virtual = rows.length > virtualFrom;
  const size = narrow ? cardHeight : rowHeight;

  useLayoutEffect(() => {
    if (box.current !== null) setTop(box.current.getBoundingClientRect().top + window.scrollY);
  }, [narrow, rows.length === 0]);

  const virtualizer = useWindowVirtualizer({
    count: virtual ? rows.length : 0,
    estimateSize: () => size,
    overscan: 12,
    scrollMargin: top,
    scrollPaddingStart: 100,
    scrollPaddingEnd: 64,
    getItemKey: (index) => props.rowId(rows[index] as T),
  });
  useEffect(() => virtualizer.measure(), [size]);

  const items = virtual ? virtualizer.getVirtualItems() : undefined;
  const from = items?.[0]?.index ?? 0;
  const shown = items === undefined ? rows : items.map((item) => rows[item.index] as T);

  useStayInPlace(rows, props.rowId, size, box);
  useLoadMore(props.more, box, rows.length);
  useWalk(props.primary === true, rows.length, active, setActive, box, (index) => {
    if (virtual) virtualizer.scrollToIndex(index, { align: "auto" });
  });

  const link = (row: T, index: number, content: ReactNode) => {
    const target = props.link?.(row);
    return target === undefined ? (
      content
    ) : (
      <Link
        {...target}
        className="row-link"
        data-row={index}
        tabIndex={index === active ? 0 : -1}
        onFocus={() => setActive(index)}
      >
        {content}
      </Link>
    );
  };

  const drawn: Drawn<T> = {
    rows: shown,
    from,
    before: items === undefined ? 0 : from * size,
    after: items === undefined ? 0 : Math.max(0, (rows.length - from - shown.length) * size),
    rowId: props.rowId,
    isFresh: (row) => props.fresh?.has(props.rowId(row)) === true,
    link,
  };
  return (
    <div ref={box} className={narrow ? undefined : "table-box"}>
      {narrow ? (
        <Cards columns={columns} drawn={drawn} label={props.label} />
      ) : (
        <table className="table" aria-label={props.label} aria-rowcount={rows.length + 1}>
          <thead>
            <tr>
              {columns.map((column) => (
                <Head key={column.id} column={column} sort={sort} onSort={props.onSort} />
              ))}
            </tr>
          </thead>
          <Rows columns={columns} drawn={drawn} linked={props.link !== undefined} />
          {props.footer === undefined ? null : <tfoot>{props.footer}</tfoot>}
        </table>
      )}
      {props.more?.loading ? <p className="table-more">Loading more</p> : null}
    </div>
  );
}

function sorted<T>(rows: T[], columns: Column<T>[], sort: string | undefined): T[] {
  if (sort === undefined) return rows;
  const down = sort.startsWith("-");
  const by = columns.find((column) => column.id === (down ? sort.slice(1) : sort))?.sort;
  if (by === undefined) return rows;
  const keyed = rows.map((row) => [by(row), row] as const);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
    const order = a < b ? -1 : a > b ? 1 : 0;
    return down ? -order : order;
  });
  return keyed.map(([, row]) => row);
}
