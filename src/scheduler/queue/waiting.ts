// What waits in the fair queue, and the names under which it is kept.
import type { Call } from "../types.ts";
import type { CreditRing } from "./credit.ts";
import type { Heap } from "./heap.ts";

/** A call that waits. */
export interface Waiting {
  readonly call: Call;
  readonly sinceMs: number;
  /** Prompt + output, before anything is known of caches. */
  readonly tokens: number;
  /** Since when no ready endpoint may answer it. */
  stalledMs?: number | undefined;
  /** Set when it has left the queue in any way. */
  gone: boolean;
}

export interface Program {
  key: string;
  /** As calls name it; undefined for a call without a program. */
  name: string | undefined;
  level: number;
  calls: Heap<Waiting>;
  live: number;
  /** Of these, calls with a deadline. */
  timed: number;
  paused: boolean;
}

export interface Tenant {
  name: string;
  /** Priority levels with calls that may run, highest first. */
  levels: { priority: number; ring: CreditRing<Program> }[];
  programs: Map<string, Program>;
  /** The same by the name that calls give, of every priority: what a pause of a program stops. Calls without a program are not in it. */
  named: Map<string, Set<Program>>;
  calls: number;
  tokens: number;
  /** Calls that may run now: not of paused programs. */
  runnable: number;
}

/** A program's calls of one priority. Calls without a program stand alone. */
export function programKey(call: Call): string {
  const priority = call.priority ?? 0;
  return call.program === undefined ? `${priority} call ${call.id}` : `${priority} program ${call.program}`;
}

export function addProgram(tenant: Tenant, program: Program): void {
  tenant.programs.set(program.key, program);
  if (program.name === undefined) return;
  const named = tenant.named.get(program.name);
  if (named === undefined) tenant.named.set(program.name, new Set([program]));
  else named.add(program);
}

export function removeProgram(tenant: Tenant, program: Program): void {
  tenant.programs.delete(program.key);
  if (program.name === undefined) return;
  const named = tenant.named.get(program.name);
  named?.delete(program);
  if (named?.size === 0) tenant.named.delete(program.name);
}

export function pauseKey(tenant: string, program: string): string {
  return JSON.stringify([tenant, program]);
}
