// What a bench of gateways compares: each is a proxy in front of the same scripted engine.
import type { ChildProcess } from "node:child_process";

/** A proxy that runs. */
export interface RunningPeer {
  url: string;
  /** Its first process; the CPU time of all below it is counted. */
  pid: number;
  /** Flat list, name and value in turn: what it needs to be told with each call. */
  headers: string[];
  /** A database that works for it, counted apart. */
  databasePid?: number;
}

export interface Peer {
  name: string;
  /** What is switched on in it, in a few words. */
  how: string;
  /** Its package and version; absent where it is of this repository. */
  installed?: Installed;
  /** Starts it. `engineUrls`: one or several engines of the same model. Rejects where it does not answer in time. */
  start(of: { engineUrls: readonly [string, ...string[]]; run: Run }): Promise<RunningPeer>;
  /** It chooses among several engines. */
  routes?: boolean;
}

/** A package of another ecosystem, kept outside the repository's dependencies. */
export interface Installed {
  from: "npm" | "pip";
  packages: readonly string[];
}

/** Starts a program on the proxies' core. `folder`: where the peer was installed. */
export type Run = (command: string, args: readonly string[], env?: Record<string, string>) => ChildProcess;
