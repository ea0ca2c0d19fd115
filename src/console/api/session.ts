// The key that this browser acts with. It lives in sessionStorage and ends with the tab, or in localStorage when the person
// asked to stay signed in. It is sent in the authorization header and never becomes part of an address.

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

/** Forgets the key and everything this browser kept beside it. */
export function signOut(): void {
  const theme = localStorage.getItem("lineshaft.theme");
  sessionStorage.clear();
  localStorage.removeItem(name);
  if (theme !== null) localStorage.setItem("lineshaft.theme", theme);
  for (const listener of listeners) listener();
}

/** For useSyncExternalStore. Another tab's sign-out reaches this one through the storage event. */
export function watchKey(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener("storage", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("storage", listener);
  };
}
