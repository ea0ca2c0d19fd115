// The key that this browser acts with. It is kept in sessionStorage and ends with the tab, or in localStorage when the person asked to
// stay signed in. It is sent in the authorization header and is never part of an address.

const name = "lineshaft.key";
const listeners = new Set<() => void>();

export function currentKey(): string | null {
  try {
    return sessionStorage.getItem(name) ?? localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function signIn(key: string, stay: boolean): void {
  sessionStorage.removeItem(name);
  localStorage.removeItem(name);
  (stay ? localStorage : sessionStorage).setItem(name, key);
  for (const listener of listeners) listener();
}

/** Forgets the key and everything else that was kept, except the theme. */
export function signOut(): void {
  const theme = localStorage.getItem("lineshaft.theme");
  sessionStorage.clear();
  localStorage.removeItem(name);
  if (theme !== null) localStorage.setItem("lineshaft.theme", theme);
  for (const listener of listeners) listener();
}

/** Calls `listener` when the key changes, also when another tab signs out (the storage event). Returns what ends that. */
export function watchKey(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener("storage", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("storage", listener);
  };
}
