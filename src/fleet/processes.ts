// Facts about processes of this machine, read from /proc where there is one and from `ps` elsewhere: the identity of a process (so
// that a pid that was given to another process is never killed), and the memory of a whole tree of processes.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gonePollMs } from "./limits.ts";

const hasProc = existsSync("/proc/self/stat");

/** A process and when it started: together they name one process, which a pid alone does not. */
export interface ProcessIdentity {
  pid: number;
  /** Opaque and comparable: clock ticks since boot with the boot's id on Linux, `ps`'s text elsewhere. */
  startedAt: string;
}

interface ProcessRow {
  pid: number;
  parent: number;
  state: string;
  startTicks: string;
  rssPages: number;
}

/** One /proc/PID/stat; the name in brackets may itself hold brackets and spaces, so fields count from the last one. */
function readStat(pid: number): ProcessRow | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return {
      pid,
      state: fields[0]!,
      parent: Number(fields[1]),
      startTicks: fields[19]!,
      rssPages: Number(fields[21]),
    };
  } catch {
    return undefined;
  }
}

function ps(columns: string, pid?: number, ...options: string[]): string[] {
  try {
    const which = pid === undefined ? ["-A"] : ["-p", String(pid)];
    return execFileSync("ps", [...which, ...options, "-ww", "-o", columns], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
    })
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line.length > 0);
  } catch {
    return [];
  }
}

let bootId: string | undefined;
function boot(): string {
  bootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim().slice(0, 8);
  return bootId;
}

/** The process that has this pid now; undefined when none has, or only a zombie. */
export function identify(pid: number): ProcessIdentity | undefined {
  if (hasProc) {
    const row = readStat(pid);
    return row && row.state !== "Z" ? { pid, startedAt: `${boot()}:${row.startTicks}` } : undefined;
  }
  const [line] = ps("lstart=", pid);
  return line ? { pid, startedAt: line } : undefined;
}

export function isSame(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.startedAt === identity.startedAt;
}

/** Command line of a process, as words; empty when it may not be seen. */
export function commandLine(pid: number): string[] {
  if (!hasProc) return ps("command=", pid).join(" ").split(" ");
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8")
      .split("\0")
      .filter((word) => word.length > 0);
  } catch {
    return [];
  }
}

/** Environment of a process, as NAME=value; empty when it may not be seen. */
export function environment(pid: number): string[] {
  // `ps` prints it after the command line of one's own processes; a value with spaces falls apart, which none of ours has.
  if (!hasProc) return ps("command=", pid, "-E").join(" ").split(" ");
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
  } catch {
    return [];
  }
}

/** Name for people: `node` for `/usr/bin/node app.js`. */
export function programName(pid: number): string {
  return basename(commandLine(pid)[0] ?? "").replace(/:$/, "") || "an unknown program";
}

/** Resident memory in bytes of each given root with everything below it. Pages shared between processes count in each. */
export function treeMemory(roots: number[]): Map<number, number> {
  const children = new Map<number, number[]>();
  const own = new Map<number, number>();
  for (const { pid, parent, rssBytes } of allProcesses()) {
    own.set(pid, rssBytes);
    const siblings = children.get(parent);
    if (siblings) siblings.push(pid);
    else children.set(parent, [pid]);
  }
  const total = (pid: number): number =>
    (own.get(pid) ?? 0) + (children.get(pid) ?? []).reduce((sum, child) => sum + total(child), 0);
  return new Map(roots.map((root) => [root, total(root)]));
}

function allProcesses(): { pid: number; parent: number; rssBytes: number }[] {
  if (!hasProc)
    return ps("pid=,ppid=,rss=").map((line) => {
      const [pid = 0, parent = 0, kib = 0] = line.split(/\s+/).map(Number);
      return { pid, parent, rssBytes: kib * 1024 };
    });
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readStat(Number(name)))
    .filter((row) => row !== undefined)
    .map(({ pid, parent, rssPages }) => ({ pid, parent, rssBytes: rssPages * pageBytes() }));
}

let pageSize: number | undefined;
/** Bytes of a memory page: 4,096 nearly everywhere, 16 or 64 KiB on some arm64 kernels. */
function pageBytes(): number {
  if (pageSize !== undefined) return pageSize;
  try {
    pageSize = Number(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8" })) || 4096;
  } catch {
    pageSize = 4096;
  }
  return pageSize;
}

/** Sends a signal to a process, or with a negative pid to its group. False when there is none such. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

/**
 * Kills a process, its group and everything below it. Postgres' own processes lead groups of their own, and ones that are frozen do not
 * notice that their parent has gone: they would keep its data folder and its memory for ever.
 */
export function killTree(pid: number): void {
  const below = descendants(pid);
  signal(-pid, "SIGKILL");
  for (const one of [pid, ...below]) signal(one, "SIGKILL");
}

function descendants(root: number): number[] {
  const rows = allProcesses();
  const found = [root];
  // Grows while it is walked: each process's children are looked for in turn.
  for (const parent of found) for (const row of rows) if (row.parent === parent) found.push(row.pid);
  return found.slice(1);
}

/** Waits until a process is gone; false when it still lives after `timeoutMs`. */
export async function waitGone(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  for (let waited = 0; isSame(identity); waited += gonePollMs) {
    if (waited >= timeoutMs) return false;
    await sleep(gonePollMs);
  }
  return true;
}
