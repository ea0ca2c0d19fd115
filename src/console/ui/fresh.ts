// The rows of a list that have just arrived, for the few seconds in which they are marked.
import { useEffect, useState } from "react";
import { onLiveEvent } from "../api/live.ts";

const freshMs = 4_000;
const none: ReadonlySet<string> = new Set();

export function useFresh(kind: "call" | "run"): ReadonlySet<string> {
  const [fresh, setFresh] = useState(none);
  useEffect(() => {
    const timers = new Set<ReturnType<typeof setTimeout>>();
    const stop = onLiveEvent((event) => {
      if (event.type !== kind) return;
      const { id } = event.type === "call" ? event.call : (event as { run: { id: string } }).run;
      setFresh((old) => new Set(old).add(id));
      const timer = setTimeout(() => {
        timers.delete(timer);
        setFresh((old) => {
          const next = new Set(old);
          next.delete(id);
          return next.size === 0 ? none : next;
        });
      }, freshMs);
      timers.add(timer);
    });
    return () => {
      stop();
      for (const timer of timers) clearTimeout(timer);
    };
  }, [kind]);
  return fresh;
}
