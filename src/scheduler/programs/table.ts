// The programs that are remembered, by name and deployment, in the order of their last activity, all together and by tenant. A session
// that uses two models has KV of two kinds at different endpoints and is paused at one of them, so that it is a program in each deployment.
// The number is bounded. When it is reached, the tenant with most programs loses the one that has been idle longest, so that invented names
// push out only each other.
import { newProgram, type Program } from "./program.ts";

/** Programs of a tenant looked at to find an idle one: more than a tenant's calls in the queue and at endpoints can keep busy. */
const forgetScan = 16_384;

export class ProgramTable {
  private readonly most: number;
  private readonly onForget: (program: Program) => void;
  private readonly programs = new Set<Program>();
  /** Those of one name, the one called last first. */
  private readonly named = new Map<string, Program[]>();
  private readonly tenants = new Map<string, Set<Program>>();

  /** @param onForget called for every program that leaves the table */
  constructor(most: number, onForget: (program: Program) => void) {
    this.most = most;
    this.onForget = onForget;
  }

  get size(): number {
    return this.programs.size;
  }

  /** The program of this name in a deployment. */
  get(id: string, deployment: string): Program | undefined {
    return this.named.get(id)?.find((program) => program.deployment === deployment);
  }

  /** Those of this name in all deployments, the one called last first. */
  of(id: string): readonly Program[] {
    return this.named.get(id) ?? [];
  }

  /** Longest idle first, except that busy ones may stand further behind. */
  values(): Iterable<Program> {
    return this.programs.values();
  }

  /** The program that a call belongs to; undefined when it is new, the table is full, and all that could make room are busy. */
  called(id: string, deployment: string, now: number): Program | undefined {
    // One that is known by facts alone belongs to the deployment of its first call.
    const known = this.of(id).find((program) => (program.deployment ?? deployment) === deployment);
    const program = known ?? this.add(id, now);
    if (program === undefined) return undefined;
    program.deployment = deployment;
    const own = this.named.get(id)!;
    own.splice(own.indexOf(program), 1);
    own.unshift(program);
    return program;
  }

  /** A program of which nothing but its name is known; undefined when there is no room for it. */
  add(id: string, now: number): Program | undefined {
    if (this.programs.size >= this.most && !this.makeRoom()) return undefined;
    const program = newProgram(id, now);
    const own = this.named.get(id);
    if (own === undefined) this.named.set(id, [program]);
    else {
      program.startedMs = own[0]!.startedMs;
      program.parent = own[0]!.parent;
      own.push(program);
    }
    this.touch(program);
    return program;
  }

  /** The program has done something: it has not been idle until now. */
  active(program: Program, now: number): void {
    if (!this.programs.has(program)) return;
    program.activeMs = now;
    this.touch(program);
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
    this.programs.delete(program);
    const own = this.of(program.id).filter((other) => other !== program);
    if (own.length === 0) this.named.delete(program.id);
    else this.named.set(program.id, own);
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
    this.programs.delete(program);
    this.programs.add(program);
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

function isBusy({ calls, tools, pausedMs, waiting }: Program): boolean {
  return calls > 0 || tools > 0 || (pausedMs !== undefined && waiting > 0);
}
