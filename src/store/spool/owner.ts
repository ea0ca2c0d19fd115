// Whether the process that wrote a folder of spools is dead. Its records may be replayed, and its money returned, only when that is
// proven: a process that is frozen, or that cannot reach Postgres, goes on later with the money that it has.
//
// The process holds the lock of a file in its folder (store/lock.ts). The kernel drops the lock when the process ends, however it ends, and
// keeps it for a process that is frozen. A process id would not do: another process namespace on the same volume does not see it. The
// taker of a free lock holds it while it replays, so that no two processes replay one folder. Nothing else may open and close the file of
// the lock in the process that holds it, because that drops the lock (POSIX).
//
//   the lock is held                                                        alive
//   free, the same kernel start, the same file                              dead
//   free, the same machine and file inode, another kernel start             dead: no process outlives its kernel
//   all else: a copied or restored folder, another machine, a container
//   on another kernel                                                       unknown
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { tryLock } from "../lock.ts";
import type { OwnerMark } from "./types.ts";

const lockFile = "lock";

/** A folder that this process owns until the lock is disposed. */
export interface OwnedFolder {
  folder: string;
  lock: Disposable;
  /** Names this process as the owner. */
  mark: OwnerMark;
}

/** Makes a folder for a writer below `root` (mode 0700) and takes its lock. */
export function ownFolder(root: string): OwnedFolder {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  for (let tries = 0; ; tries++) {
    const folder = join(root, randomBytes(9).toString("hex"));
    try {
      mkdirSync(folder, { mode: 0o700 });
      const lock = tryLock(join(folder, lockFile));
      if (lock) return owned(folder, lock);
    } catch (error) {
      // A process that looks for folders of the dead may lock or remove one between its making and its lock.
      if (tries >= 3) throw error;
    }
  }
}

/**
 * The state of a folder's owner, which the newest file's header names. Where it is dead, the caller owns the folder until it disposes of
 * the lock. `here`: the machine that asks; tests name others.
 */
export function claimFolder(folder: string, mark: OwnerMark, here: Here = { machine: machine(), boot: boot() }): Claim {
  const place = lockPlace(folder);
  const isBoot = mark.boot !== "" && mark.boot === here.boot;
  const isMachine = mark.machine !== "" && mark.machine === here.machine;
  // Devices are numbered anew when a machine starts; inodes are not.
  const isSameFile = isBoot ? place === mark.lock : place?.split(":")[1] === mark.lock.split(":")[1];
  const provable = place !== undefined && isSameFile && (isBoot || isMachine);
  if (!provable) return { state: "unknown" };
  return seizeFolder(folder);
}

/** As `claimFolder`, on a person's word that the process is dead: only a held lock says that it lives. */
export function seizeFolder(folder: string): Claim {
  const lock = tryLock(join(folder, lockFile));
  return lock ? { state: "dead", owned: owned(folder, lock) } : { state: "alive" };
}

type Claim = { state: "alive" | "unknown" } | { state: "dead"; owned: OwnedFolder };

const owned = (folder: string, lock: Disposable): OwnedFolder => ({
  folder,
  lock,
  mark: { machine: machine(), boot: boot(), lock: lockPlace(folder)! },
});

type Here = Pick<OwnerMark, "machine" | "boot">;

function lockPlace(folder: string): string | undefined {
  const stat = statSync(join(folder, lockFile), { bigint: true, throwIfNoEntry: false });
  return stat && `${stat.dev}:${stat.ino}`;
}

/** A container has the machine id of its image, which other machines have too. */
const isContainer = (): boolean =>
  existsSync("/.dockerenv") || existsSync("/run/.containerenv") || process.env["KUBERNETES_SERVICE_HOST"] !== undefined;

let knownMachine: string | undefined;
function machine(): string {
  return (knownMachine ??= isContainer() ? "" : textOf(() => readFileSync("/etc/machine-id", "utf8")));
}

let knownBoot: string | undefined;
function boot(): string {
  return (knownBoot ??= textOf(() =>
    process.platform === "linux"
      ? readFileSync("/proc/sys/kernel/random/boot_id", "utf8")
      : execFileSync("sysctl", ["-n", "kern.bootsessionuuid"], {
          encoding: "utf8",
          stdio: ["ignore", "pipe", "ignore"],
        }),
  ));
}

function textOf(read: () => string): string {
  try {
    return read().trim();
  } catch {
    return "";
  }
}
