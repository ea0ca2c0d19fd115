// The programs that are remembered, in the order of their last activity, all together and by tenant. The number is bounded. When it is
// reached, the tenant with most programs loses the one that has been idle longest, so that invented names push out only each other.
import { newProgram, type Program } from "./program.ts";

/** Programs of a tenant looked at to find an idle one: more than a tenant's calls in the queue and at endpoints can keep busy. */
const forgetScan = 16_384;

export class ProgramTable {
  private readonly most: number;
  private readonly onForget: (program: Program) => void;
  private readonly programs = new Map<string, Program>();
  private readonly tenants = new Map<string, Set<Program>>();

  /** @param onForget called for every program that leaves the table */
  constructor(most: number, onForget: (program: Program) => void) {
    this.most = most;
    this.onForget = onForget;
  }

  get size(): number {
    return this.programs.size;
  }

  get(id: string): Program | undefined {
    return this.programs.get(id);
  }

  /** Longest idle first, except that busy ones may stand further behind. */
  values(): Iterable<Program> {
    return this.programs.values();
  }

  /** The program, which is active now; undefined when it is new, the table is full, and all that could make room are busy. */
  take(id: string, now: number): Program | undefined {
    let program = this.programs.get(id);
    if (program === undefined) {
      if (this.programs.size >= this.most && !this.makeRoom()) return undefined;
      program = newProgram(id, now);
    }
    program.activeMs = now;
    this.touch(program);
    return program;
  }

  /** The program is this tenant's from now on. */
  give(program: Program, tenant: string): void {
    if (program.tenant === tenant) return;
    this.leaveTenant(program);
    program.tenant = tenant;
    this.touch(program);
  }

  forget(program: Program): void {
    this.leaveTenant(program);
    this.programs.delete(program.id);
    this.onForget(program);
  }

  private makeRoom(): boolean {
    let largest: Set<Program> | undefined;
    for (const programs of this.tenants.values()) if (programs.size > (largest?.size ?? 0)) largest = programs;
    let left = Math.min(forgetScan, largest?.size ?? 0);
    for (const program of largest ?? []) {
      if (left-- === 0) return false;
      if (!isBusy(program)) {
        this.forget(program);
        return true;
      }
      // It is not looked at again before all others.
      this.touch(program);
    }
    return false;
  }

  private touch(program: Program): void {
    this.programs.delete(program.id);
    this.programs.set(program.id, program);
    let own = this.tenants.get(program.tenant);
    if (own === undefined) this.tenants.set(program.tenant, (own = new Set()));
    own.delete(program);
    own.add(program);
  }

  private leaveTenant(program: Program): void {
    const own = this.tenants.get(program.tenant);
    own?.delete(program);
    if (own?.size === 0) this.tenants.delete(program.tenant);
  }
}

function isBusy({ calls, tools, pausedMs, wanted }: Program): boolean {
  return calls > 0 || tools > 0 || (pausedMs !== undefined && wanted);
}
