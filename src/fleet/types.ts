// A child process as the supervisor keeps it: how to start it, how to know that it is ready, how to stop it.
import type { ChildProcess } from "node:child_process";

export interface ChildSpec {
  /** Unique on this machine's Lineshaft: `postgres`, `restate`, `worker-0`. */
  name: string;
  command: string;
  args: string[];
  /** Whole environment of the child; nothing is inherited. */
  env: Record<string, string>;
  uid?: number;
  gid?: number;
  cwd?: string;
  /**
   * Opens an IPC channel (`process.send`), whose closing also tells the child that its parent has gone. Messages are JSON; `advanced`
   * also carries dates, maps and bytes.
   */
  ipc?: boolean | "advanced";
  /** Descriptors that the child inherits, from 4 on where it has an IPC channel and from 3 on where it has none. */
  descriptors?: number[];
  /** Told of every life of the child as it is spawned: for a parent that talks with it over IPC. */
  spawned?(process: ChildProcess): void;
  /** A ready child that sends no message for this long hangs: it is killed, and started again. */
  silentMs?: number;
  /** Resolves once the child serves; rejects (or is aborted) otherwise. `messages` are what it sent over IPC. */
  ready(child: { pid: number; messages: AsyncIterable<unknown> }, signal: AbortSignal): Promise<void>;
  readyTimeoutMs: number;
  stopSignal: NodeJS.Signals;
  /** Killed after this long. */
  stopTimeoutMs: number;
}

export type ChildState = "starting" | "ready" | "restarting" | "stopping" | "stopped" | "failed";

export interface ChildStatus {
  name: string;
  state: ChildState;
  pid?: number;
  restarts: number;
  startedAt?: Date;
  /** Why it ended the last time, in one sentence, with the tail of what it printed. */
  lastError?: string;
  rssBytes?: number;
}

export interface SupervisorOptions {
  /** Where running children are written down. */
  recordsPath: string;
  /** The mark that every child's environment carries (orphans.ts). */
  mark: string;
  /** Lines that children print. */
  onLine?: (child: string, line: string) => void;
  /** Told when the list of children cannot be written. */
  onRecordsFailure?: (error: unknown) => void;
  /** Injected in tests; answers early when aborted. */
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  now?: () => number;
}
