// Children that outlived a killed start still hold ports, locks and data. The next start, which holds the home's lock, ends
// them before it starts anything: those on record, and (where /proc shows environments) whatever carries this home's mark, which
// also finds a child whose parent died between starting it and writing it down.
//
// No process is ended that does not carry the mark: a copied home has the original's list of children, and those live.
import { readdirSync } from "node:fs";
import { orphanGoneMs, orphanStopMs } from "./limits.ts";
import { LineshaftError } from "../errors/index.ts";
import { isSettled } from "./identity.ts";
import type { Home } from "./home.ts";
import { tryLock } from "../store/lock.ts";
import {
  commandLine,
  environment,
  identify,
  isSame,
  killTree,
  signal,
  waitGone,
  type ProcessIdentity,
} from "./processes.ts";
import { ChildRecords } from "./records.ts";

/** Environment variable that every child carries: the mark of the home it belongs to. */
export const homeMark = "LINESHAFT_CHILD_OF";

interface Orphan extends ProcessIdentity {
  name: string;
  stopSignal: NodeJS.Signals;
}

/** Ends what an earlier start on this home left running and waits until it is gone. Answers the names of what was ended. */
export async function endOrphans(recordsPath: string, marks: string[]): Promise<string[]> {
  const orphans = recorded(recordsPath, marks);
  const known = new Set(orphans.map((orphan) => orphan.pid));
  for (const orphan of marked(marks)) if (!known.has(orphan.pid)) orphans.push(orphan);
  await Promise.all(orphans.map(end));
  return orphans.map((orphan) => orphan.name);
}

/**
 * The same for a home whose main process is known to have ended. Does nothing when another has taken the home meanwhile, nor for a
 * copy that was refused: the children that carry its mark are the original's.
 */
export async function endOrphansOf(home: Home): Promise<void> {
  if (!isSettled(home.path)) return;
  using lock = tryLock(home.file("run", "lock"));
  if (lock) await endOrphans(home.recordsPath, home.marks);
}

/** Recorded children that still are what they were: same pid, same start, a program of the recorded command, this home's mark. */
function recorded(path: string, marks: string[]): Orphan[] {
  return ChildRecords.read(path)
    .filter((record) => isSame(record) && record.words.includes(commandLine(record.pid)[0] ?? ""))
    .filter((record) => carries(record.pid, marks))
    .map(({ name, pid, startedAt, stopSignal }) => ({
      name,
      pid,
      startedAt,
      stopSignal: stopSignal as NodeJS.Signals,
    }));
}

function marked(marks: string[]): Orphan[] {
  let pids: number[];
  try {
    pids = readdirSync("/proc").map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
  return pids.flatMap((pid) => {
    if (pid === process.pid || !carries(pid, marks)) return [];
    const identity = identify(pid);
    return identity ? [{ ...identity, name: `process ${pid}`, stopSignal: "SIGTERM" as const }] : [];
  });
}

function carries(pid: number, marks: string[]): boolean {
  const variables = environment(pid);
  return marks.some((mark) => variables.includes(`${homeMark}=${mark}`));
}

async function end(orphan: Orphan): Promise<void> {
  signal(orphan.pid, orphan.stopSignal);
  if (await waitGone(orphan, orphanStopMs)) return;
  killTree(orphan.pid);
  if (await waitGone(orphan, orphanGoneMs)) return;
  throw new LineshaftError({
    code: "orphan_alive",
    message: `A process of the start before cannot be ended: ${orphan.name} (pid ${orphan.pid}).`,
    why: "It ignored SIGKILL, so it hangs in the kernel (a disk or a driver that does not answer).",
    hint: "Restart the machine, or set LINESHAFT_HOME to another folder.",
  });
}
