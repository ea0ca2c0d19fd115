// Locks between processes, by a file. Node has no flock of its own, so SQLite (built into Node) takes it: the kernel drops the
// lock when the process ends, however it ends. There are no stale locks, and no two processes can race to clean one up.
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { limits } from "./limits.ts";

/** SQLITE_BUSY: another process has the lock. */
const busy = 5;

/** Takes the lock, or answers undefined when another process (or another holder in this one) has it. */
export function tryLock(path: string): Disposable | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 0 });
    database.exec("begin exclusive");
    const held = database;
    return { [Symbol.dispose]: () => held.isOpen && held.close() };
  } catch (error) {
    database?.close();
    if ((error as { errcode?: number }).errcode === busy) return undefined;
    throw error;
  }
}

/** Waits for the lock; `onWait` is called once when another process has it. */
export async function waitForLock(path: string, signal?: AbortSignal, onWait?: () => void): Promise<Disposable> {
  for (let waits = 0; ; waits++) {
    signal?.throwIfAborted();
    const lock = tryLock(path);
    if (lock) return lock;
    if (waits === 0) onWait?.();
    await sleep(limits.lockPollMs, undefined, { signal });
  }
}
