// Leases: a state that one worker has computed for another is kept until it is pulled, even when the disk budget is full.
//
// A lease is an empty file ID.NONCE.UNTIL.lease beside the state ID, so that every process that shares the folder sees it by listing names.
// It ends when it is removed or when its time (Unix milliseconds in the name) has passed, so the leases of a dead worker need no clean-up.
// Several leases of one state are counted by their nonces. Workers exchange the name without ".lease". Another process may take a lease
// between the check of the leases and the removal of a state; its call then ends with kv_lost and is computed again.
import { randomBytes } from "node:crypto";
import { readdirSync, rmSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { leaseMs } from "./limits.ts";

const form = /^([0-9a-f]{32})\.[0-9a-f]{8}\.([0-9]{13})$/;
const ending = ".lease";

/** The state of a lease, and when the lease ends (Unix milliseconds); undefined when the name is not a lease's. */
export function readLease(lease: string): { id: string; untilMs: number } | undefined {
  const found = form.exec(lease);
  return found ? { id: found[1]!, untilMs: Number(found[2]) } : undefined;
}

/** The leases in a folder, and what this process removes when they end. */
export class Leases {
  private readonly dir: string;
  private readonly now: () => number;
  private readonly going = new Set<string>();

  constructor(dir: string, now: () => number) {
    this.dir = dir;
    this.now = now;
  }

  /** Leases the state, even before it is stored; returns the lease's name. Throws when the folder cannot be written. */
  async take(id: string): Promise<string> {
    const lease = `${id}.${randomBytes(4).toString("hex")}.${Math.ceil(this.now() + leaseMs)}`;
    await writeFile(path.join(this.dir, lease + ending), "", { mode: 0o600 });
    return lease;
  }

  /** Releases the lease, whichever process holds it. Does nothing if the lease is unknown or already released. */
  async end(lease: string): Promise<void> {
    if (readLease(lease)) await rm(path.join(this.dir, lease + ending), { force: true });
  }

  /** States that are leased now. Removes expired leases. */
  leased(): Set<string> {
    const leased = new Set<string>();
    for (const name of namesIn(this.dir)) {
      if (!name.endsWith(ending)) continue;
      const lease = readLease(name.slice(0, -ending.length));
      if (lease && lease.untilMs > this.now()) leased.add(lease.id);
      else rmSync(path.join(this.dir, name), { force: true });
    }
    return leased;
  }

  /** The state is removed when its last lease ends, because its run has ended, or because it is too short to serve another call. */
  goes(id: string): void {
    this.going.add(id);
  }

  /** States that were to be removed and whose leases have ended; each is returned once. */
  gone(): string[] {
    if (this.going.size === 0) return [];
    const leased = this.leased();
    const over = [...this.going].filter((id) => !leased.has(id));
    for (const id of over) this.going.delete(id);
    return over;
  }
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    // A folder that does not exist has no leases.
    return [];
  }
}
