// CPU time of processes, from /proc: user and system together, in microseconds.
import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks a second; 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

interface Stat {
  parent: number;
  ticks: number;
  /** Of children that have ended and were waited for. */
  endedTicks: number;
}

function statOf(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const sum = (at: number) => Number(fields[at]) + Number(fields[at + 1]);
    return { parent: Number(fields[1]), ticks: sum(11), endedTicks: sum(13) };
  } catch {
    return undefined;
  }
}

export function cpuMicros(pid: number): number {
  return ((statOf(pid)?.ticks ?? 0) * 1e6) / ticksPerSecond;
}

/** Of a process and all its living descendants, and of those that were waited for. */
export function cpuMicrosOfTree(root: number): number {
  const stats = new Map<number, Stat>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    const stat = Number.isInteger(pid) ? statOf(pid) : undefined;
    if (stat) stats.set(pid, stat);
  }
  let ticks = 0;
  for (const [pid, stat] of stats) {
    for (let at: number | undefined = pid, depth = 0; at !== undefined && at > 1 && depth < 20; depth++) {
      if (at === root) {
        ticks += stat.ticks + stat.endedTicks;
        break;
      }
      at = stats.get(at)?.parent;
    }
  }
  return (ticks * 1e6) / ticksPerSecond;
}
