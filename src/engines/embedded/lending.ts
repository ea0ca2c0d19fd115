// A state handed from one worker to another through the folder that both share. The first keeps it under a lease, the second finds it by
// the lease's name.
import type { KvFile } from "./kvIndex.ts";
import type { KvStore, StateOwner } from "./kvStore.ts";
import { readLease } from "./leases.ts";
import { parkMinTokens } from "./limits.ts";

/**
 * Stores a state of any length for another worker to load, and returns the name of its lease. Until the lease ends, neither the budget nor
 * a newer state evicts it. Undefined when it cannot be stored.
 */
export async function lend(
  store: KvStore,
  owner: StateOwner,
  tokens: readonly number[],
  write: (path: string) => Promise<number>,
): Promise<string | undefined> {
  const id = store.idOf(owner.cacheSalt, tokens);
  const lease = await store.leases.take(id).catch(() => undefined);
  if (lease === undefined) return undefined;
  // The folder is read after the lease is taken, so a state that is found now cannot be evicted.
  store.refresh(true);
  if (!(await store.save(owner, tokens, false, write))) {
    await store.leases.end(lease);
    return undefined;
  }
  if (tokens.length < parkMinTokens) store.leases.goes(id);
  return lease;
}

/** The state of a lease, whichever process wrote it, expired or not; undefined when it is gone or cannot be loaded by this worker. */
export function lent(store: KvStore, lease: string): KvFile | undefined {
  const id = readLease(lease)?.id;
  if (id === undefined) return undefined;
  store.refresh(!store.keeps(id));
  const file = store.get(id);
  return file && store.usable(file) ? file : undefined;
}
