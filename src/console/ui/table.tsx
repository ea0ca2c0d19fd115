// Lists: one table for every screen. Sortable by its headers, walked with j and k (or the arrows), opened with Enter, left with
// Escape; rows beyond `virtualFrom` are drawn only where they can be seen; on narrow screens each row becomes a card with its
// two most telling columns. The whole row is one link, so that it opens in a new tab and can be copied like any other.
import { Link, type LinkProps } from "@tanstack/react-router";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useLayoutEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { isTyping } from "./keys.ts";
import { ArrowDown, ArrowUp } from "./icons.tsx";
import { useNarrow } from "./media.ts";
import "./table.css";

export interface Column<T> {
  id: string;
  head: ReactNode;
  cell: (row: T) => ReactNode;
  align?: "right";
  /** Makes the column sortable by what it answers; null sorts last. */
  sort?: (row: T) => number | string | bigint | null;
  /** Where it stands on a narrow screen: the title, the value at its right, or the small line below. */
  card?: "title" | "value" | "note";
  /** Word before a value that does not say itself what it is; only shown on cards, where there is no header. */
  word?: string;
  /** Hidden below this table width, in pixels, least telling columns first. */
  from?: number;
  width?: string;
  /** Takes the room that the others leave, and is cut where it is longer: for sentences. */
  grow?: boolean;
}

export interface TableProps<T> {
  /** Spoken name of the list. */
  label: string;
  columns: Column<T>[];
  rows: T[];
  rowId: (row: T) => string;
  link?: (row: T) => LinkProps;
  /** `price` ascending, `-price` descending. */
  sort?: string | undefined;
  onSort?: (sort: string | undefined) => void;
  more?: { has: boolean; loading: boolean; load: () => void };
  footer?: ReactNode;
  /** The list that j and k walk through; at most one on a screen. */
  primary?: boolean;
  /** Ids that have just arrived. */
  fresh?: ReadonlySet<string>;
}

const virtualFrom = 200;
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
  const before = items === undefined ? 0 : from * size;
  const after = items === undefined ? 0 : Math.max(0, (rows.length - from - shown.length) * size);

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

  if (narrow) {
    const title = columns.find((column) => column.card === "title") ?? columns[0];
    const value = columns.find((column) => column.card === "value");
    const notes = columns.filter((column) => column.card === "note");
    return (
      <div ref={box}>
        <ul className="cards" aria-label={props.label}>
          {before > 0 ? <li aria-hidden="true" style={{ height: before }} className="spacer" /> : null}
          {shown.map((row, offset) => (
            <li key={props.rowId(row)} className={props.fresh?.has(props.rowId(row)) ? "card fresh" : "card"}>
              <div className="card-top">
                {link(row, from + offset, title?.cell(row))}
                <span className="card-value">
                  {value?.word === undefined ? null : <span className="muted">{value.word} </span>}
                  {value?.cell(row)}
                </span>
              </div>
              <div className="card-notes">
                {notes.map((column) => {
                  const cell = column.cell(row);
                  return cell === null ? null : (
                    <span key={column.id}>
                      {column.word === undefined ? null : `${column.word} `}
                      {cell}
                    </span>
                  );
                })}
              </div>
            </li>
          ))}
          {after > 0 ? <li aria-hidden="true" style={{ height: after }} className="spacer" /> : null}
        </ul>
        {props.more?.loading ? <p className="table-more">Loading more</p> : null}
      </div>
    );
  }

  return (
    <div ref={box} className="table-box">
      <table className="table" aria-label={props.label} aria-rowcount={rows.length + 1}>
        <thead>
          <tr>
            {columns.map((column) => (
              <Head key={column.id} column={column} sort={sort} onSort={props.onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          {before > 0 ? (
            <tr aria-hidden="true" className="spacer">
              <td colSpan={columns.length} style={{ height: before }} />
            </tr>
          ) : null}
          {shown.map((row, offset) => (
            <tr
              key={props.rowId(row)}
              aria-rowindex={from + offset + 2}
              className={`${props.link === undefined ? "" : "linked"}${props.fresh?.has(props.rowId(row)) ? " fresh" : ""}`}
            >
              {columns.map((column, index) => (
                <td key={column.id} className={classOf(column)} data-from={column.from}>
                  {index === 0 ? link(row, from + offset, column.cell(row)) : column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
          {after > 0 ? (
            <tr aria-hidden="true" className="spacer">
              <td colSpan={columns.length} style={{ height: after }} />
            </tr>
          ) : null}
        </tbody>
        {props.footer === undefined ? null : <tfoot>{props.footer}</tfoot>}
      </table>
      {props.more?.loading ? <p className="table-more">Loading more</p> : null}
    </div>
  );
}

const classOf = <T,>(column: Column<T>) =>
  column.align === "right" ? "right" : column.grow === true ? "grow" : undefined;

function Head<T>({
  column,
  sort,
  onSort,
}: {
  column: Column<T>;
  sort?: string | undefined;
  onSort?: ((sort: string | undefined) => void) | undefined;
}) {
  const down = sort === `-${column.id}`;
  const up = sort === column.id;
  const sortable = column.sort !== undefined && onSort !== undefined;
  return (
    <th
      scope="col"
      className={classOf(column)}
      data-from={column.from}
      style={column.width === undefined ? undefined : { width: column.width }}
      aria-sort={down ? "descending" : up ? "ascending" : undefined}
    >
      {sortable ? (
        <button
          type="button"
          className="sort"
          onClick={() => onSort(down ? column.id : up ? undefined : `-${column.id}`)}
          data-tip={down ? "Largest first" : up ? "Smallest first" : "Sort"}
        >
          {column.head}
          {down ? <ArrowDown /> : up ? <ArrowUp /> : <span className="sort-gap" />}
        </button>
      ) : (
        column.head
      )}
    </th>
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

/** New rows on top must not move what is being read: the window scrolls by as much as was put in above. */
function useStayInPlace<T>(
  rows: T[],
  rowId: (row: T) => string,
  size: number,
  box: React.RefObject<HTMLDivElement | null>,
): void {
  const first = useRef<string>(undefined);
  useLayoutEffect(() => {
    const old = first.current;
    first.current = rows[0] === undefined ? undefined : rowId(rows[0]);
    if (old === undefined || old === first.current || box.current === null) return;
    const scrolledInto = box.current.getBoundingClientRect().top < 0;
    const moved = scrolledInto ? rows.findIndex((row) => rowId(row) === old) : -1;
    if (moved > 0 && moved < 1_000) window.scrollBy(0, moved * size);
  }, [rows]);
}

/** Asks for the next page when the end comes near. */
function useLoadMore(
  more: TableProps<unknown>["more"],
  box: React.RefObject<HTMLDivElement | null>,
  count: number,
): void {
  useEffect(() => {
    if (more === undefined || !more.has || more.loading) return;
    const look = () => {
      const bottom = box.current?.getBoundingClientRect().bottom ?? Infinity;
      if (bottom < window.innerHeight * 2.5) more.load();
    };
    look();
    window.addEventListener("scroll", look, { passive: true });
    return () => window.removeEventListener("scroll", look);
  }, [more?.has, more?.loading, count]);
}

/** j, k and the arrows walk from row to row; Home and End go to the ends. */
function useWalk(
  enabled: boolean,
  count: number,
  active: number,
  setActive: (index: number) => void,
  box: React.RefObject<HTMLDivElement | null>,
  reveal: (index: number) => void,
): void {
  useEffect(() => {
    if (!enabled) return;
    const onKey = (event: KeyboardEvent) => {
      if (isTyping(event) || event.metaKey || event.ctrlKey || event.altKey || count === 0) return;
      const inside = box.current?.contains(document.activeElement) === true;
      const step =
        event.key === "j" || (inside && event.key === "ArrowDown")
          ? 1
          : event.key === "k" || (inside && event.key === "ArrowUp")
            ? -1
            : 0;
      let next: number;
      if (step !== 0) next = inside ? Math.min(Math.max(active + step, 0), count - 1) : Math.min(active, count - 1);
      else if (inside && event.key === "Home") next = 0;
      else if (inside && event.key === "End") next = count - 1;
      else if (inside && event.key === "Escape") {
        (document.activeElement as HTMLElement).blur();
        return;
      } else return;
      event.preventDefault();
      setActive(next);
      reveal(next);
      // A row outside the window is drawn some frames after the scroll that reveals it.
      let tries = 0;
      const focus = () => {
        const row = box.current?.querySelector<HTMLElement>(`[data-row="${next}"]`);
        if (row !== null && row !== undefined) {
          row.focus({ preventScroll: true });
          row.closest("tr, li")?.scrollIntoView({ block: "nearest" });
        } else if (tries++ < 10) requestAnimationFrame(focus);
      };
      focus();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [enabled, count, active]);
}
