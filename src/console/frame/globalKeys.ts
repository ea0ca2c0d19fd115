// The keys that work on every screen.
import { useNavigate, useRouter } from "@tanstack/react-router";
import { useEffect } from "react";
import { isTyping } from "../ui/keys.ts";
import { places, sectionOf } from "./places.ts";

/** How long after `g` a letter still leads to a place. */
const letterAfterGMs = 1_200;

/** `/` and Ctrl-K open the search, `?` the list of keys. `g` and a letter goes to a place, Escape from a detail to its list. */
export function useGlobalKeys(setSearching: (open: boolean) => void, setShortcuts: (open: boolean) => void): void {
  const navigate = useNavigate();
  const router = useRouter();
  useEffect(() => {
    let armed = 0;
    const onKey = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setSearching(true);
        return;
      }
      if (isTyping(event) || event.metaKey || event.ctrlKey || event.altKey) return;
      const afterG = performance.now() - armed < letterAfterGMs;
      armed = 0;
      const place = afterG ? places.find((each) => each.key === event.key) : undefined;
      if (place !== undefined) {
        event.preventDefault();
        void navigate({ to: place.to });
      } else if (event.key === "g") {
        armed = performance.now();
      } else if (event.key === "/") {
        event.preventDefault();
        setSearching(true);
      } else if (event.key === "?") {
        setShortcuts(true);
      } else if (event.key === "Escape") {
        const { pathname } = router.state.location;
        const list = sectionOf(pathname);
        const focusedRow = document.activeElement?.classList.contains("row-link") === true;
        if (pathname !== list && !focusedRow) void navigate({ to: list as "/calls" });
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [navigate, router]);
}
