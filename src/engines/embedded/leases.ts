// Leases: a state that one worker has computed for another stays until it is pulled, whatever the budget says.
//
// A lease is an empty file ID.NONCE.UNTIL.lease beside the state ID, so that every process that shares the folder sees it,
// and a name is all there is to read. It ends by being removed or by its time (Unix milliseconds in the name): a worker that
// dies leaves nothing behind that must be cleaned up for others to go on. Several leases of one state are counted by their
// nonces. The name without ".lease" is what travels between workers.
import { randomBytes } from "node:crypto";
import { readdirSync, rmSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import path from "node:path";

const form = /^([0-9a-f]{32})\.[0-9a-f]{8}\.([0-9]{13})$/;
const ending = ".lease";

/** The state that a lease is of, and when it ends; undefined when that is no lease's name. */
export function readLease(lease: string): { id: string; untilMs: number } | undefined {
  const found = form.exec(lease);
  return found ? { id: found[1]!, untilMs: Number(found[2]) } : undefined;
}

/** Leases the state until then, whether it is there yet or not; answers the lease's name. */
export async function takeLease(dir: string, id: string, untilMs: number): Promise<string> {
  const lease = `${id}.${randomBytes(4).toString("hex")}.${Math.ceil(untilMs)}`;
  await writeFile(path.join(dir, lease + ending), "", { mode: 0o600 });
  return lease;
}

/** Ends a lease; one that is none, or has ended, is nothing. */
export async function endLease(dir: string, lease: string): Promise<void> {
  if (readLease(lease)) await rm(path.join(dir, lease + ending), { force: true });
}

/** States that are leased now. What has run out is removed on the way. */
export function leasedStates(dir: string, now: number): Set<string> {
  const leased = new Set<string>();
  for (const name of namesIn(dir)) {
    if (!name.endsWith(ending)) continue;
    const lease = readLease(name.slice(0, -ending.length));
    if (lease && lease.untilMs > now) leased.add(lease.id);
    else rmSync(path.join(dir, name), { force: true });
  }
  return leased;
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    // A folder that is gone holds nothing that could be taken from anybody.
    return [];
  }
}
