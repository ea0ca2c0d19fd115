// The width and the theme of the window, as state of components.
import { useSyncExternalStore } from "react";

function mediaHook(query: string) {
  const media = window.matchMedia(query);
  const watch = (listener: () => void) => {
    media.addEventListener("change", listener);
    return () => media.removeEventListener("change", listener);
  };
  return () => useSyncExternalStore(watch, () => media.matches);
}

export const useNarrow = mediaHook("(max-width: 640px)");
const useSystemDark = mediaHook("(prefers-color-scheme: dark)");

export type Theme = "system" | "light" | "dark";
const themeListeners = new Set<() => void>();

export const currentTheme = (): Theme => {
  const stored = localStorage.getItem("lineshaft.theme");
  return stored === "light" || stored === "dark" ? stored : "system";
};

export function setTheme(theme: Theme): void {
  if (theme === "system") localStorage.removeItem("lineshaft.theme");
  else localStorage.setItem("lineshaft.theme", theme);
  showTheme();
  for (const listener of themeListeners) listener();
}

/** Sets the chosen theme on the document. Called before the first paint and after each change. */
export function showTheme(): void {
  const theme = currentTheme();
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}

export function useTheme(): { theme: Theme; dark: boolean } {
  const theme = useSyncExternalStore((listener) => {
    themeListeners.add(listener);
    return () => themeListeners.delete(listener);
  }, currentTheme);
  const systemDark = useSystemDark();
  return { theme, dark: theme === "system" ? systemDark : theme === "dark" };
}
