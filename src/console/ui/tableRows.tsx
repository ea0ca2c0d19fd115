// The two forms of a table's rows: a table with a header, and on narrow screens a list of cards.
import type { ReactNode } from "react";
import { ArrowDown, ArrowUp } from "./icons.tsx";

export interface Column<T> {
  id: string;
  head: ReactNode;
  cell: (row: T) => ReactNode;
  align?: "right";
  /** Makes the column sortable by the value that this returns. Null sorts last. */
  sort?: (row: T) => number | string | bigint | null;
  /** Where it stands on a narrow screen: the title, the value at its right, or the small line below. */
  card?: "title" | "value" | "note";
  /** Word before the value on a card, which has no header that says what the value is. */
  word?: string;
  /** The column is hidden when the table is narrower than this, in pixels. */
  from?: number;
  width?: string;
  /** Takes the width that the other columns leave, and cuts what is longer. For sentences. */
  grow?: boolean;
}

/** The rows that are drawn. Those before and after them are only empty height. */
export interface Drawn<T> {
  rows: T[];
  /** Place of the first drawn row in the whole list. */
  from: number;
  /** Pixels. */
  before: number;
  after: number;
  rowId: (row: T) => string;
  isFresh: (row: T) => boolean;
  /** Wraps the content of a row's first cell into the row's link, where it has one. */
  link: (row: T, index: number, content: ReactNode) => ReactNode;
}

export function Cards<T>({ columns, drawn, label }: { columns: Column<T>[]; drawn: Drawn<T>; label: string }) {
  const title = columns.find((column) => column.card === "title") ?? columns[0];
  const value = columns.find((column) => column.card === "value");
  const notes = columns.filter((column) => column.card === "note");
  return (
    <ul className="cards" aria-label={label}>
      {drawn.before > 0 ? <li aria-hidden="true" style={{ height: drawn.before }} className="spacer" /> : null}
      {drawn.rows.map((row, offset) => (
        <li key={drawn.rowId(row)} className={drawn.isFresh(row) ? "card fresh" : "card"}>
          <div className="card-top">
            {drawn.link(row, drawn.from + offset, title?.cell(row))}
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
      {drawn.after > 0 ? <li aria-hidden="true" style={{ height: drawn.after }} className="spacer" /> : null}
    </ul>
  );
}

export function Rows<T>({ columns, drawn, linked }: { columns: Column<T>[]; drawn: Drawn<T>; linked: boolean }) {
  const classes = (row: T) => `${linked ? "linked" : ""}${drawn.isFresh(row) ? " fresh" : ""}`;
  return (
    <tbody>
      {drawn.before > 0 ? <Spacer columns={columns.length} height={drawn.before} /> : null}
      {drawn.rows.map((row, offset) => (
        <tr key={drawn.rowId(row)} aria-rowindex={drawn.from + offset + 2} className={classes(row)}>
          {columns.map((column, index) => (
            <td key={column.id} className={classOf(column)} data-from={column.from}>
              {index === 0 ? drawn.link(row, drawn.from + offset, column.cell(row)) : column.cell(row)}
            </td>
          ))}
        </tr>
      ))}
      {drawn.after > 0 ? <Spacer columns={columns.length} height={drawn.after} /> : null}
    </tbody>
  );
}

function Spacer({ columns, height }: { columns: number; height: number }) {
  return (
    <tr aria-hidden="true" className="spacer">
      <td colSpan={columns} style={{ height }} />
    </tr>
  );
}

const classOf = <T,>(column: Column<T>) =>
  column.align === "right" ? "right" : column.grow === true ? "grow" : undefined;

export function Head<T>({
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
