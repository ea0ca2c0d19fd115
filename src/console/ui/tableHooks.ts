// How a table behaves in its window: it stays in place when rows are put in above, asks for the next page, and is walked by keys.
import { useEffect, useLayoutEffect, useRef, type RefObject } from "react";
import { isTyping } from "./keys.ts";

type Box = RefObject<HTMLDivElement | null>;

/** Scrolls the window by the height of the rows that were put in above, so that the rows being read do not move. */
export function useStayInPlace<T>(rows: T[], rowId: (row: T) => string, size: number, box: Box): void {
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

/** Loads the next page when the end of the list is less than one and a half windows away. */
export function useLoadMore(
  more: { has: boolean; loading: boolean; load: () => void } | undefined,
  box: Box,
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

/** j, k and the arrows walk from row to row. Home and End go to the ends. */
export function useWalk(
  enabled: boolean,
  count: number,
  active: number,
  setActive: (index: number) => void,
  box: Box,
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
      // A row outside the window is drawn only some frames after the scroll that reveals it.
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
