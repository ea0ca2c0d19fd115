// The fair queue of one deployment: tenant, then program, then call.
//
//   tenants   compete for service by credit (credit.ts): uncached prompt + output tokens
//   levels    a tenant's own priorities, higher first; they never touch other tenants
//   programs  compete within a level by credit again, so that one run cannot starve its siblings
//   calls     of one program: earliest deadline first, then as they came
//
// Among the first few in credit the one with the longest cached prefix goes: locality, but only inside fairness (turn.ts). The queue
// is bounded; when it is full, the tenant with most calls waiting loses its newest one, so a flood pushes out only itself.
import { queueCallsMax, queueCallsPerTenantMax } from "../limits.ts";
import type { TenantNews } from "../news.ts";
import type { Call } from "../types.ts";
import { CreditRing } from "./credit.ts";
import { Elsewhere } from "./elsewhere.ts";
import { Heap } from "./heap.ts";
import { firstThatFits, longestInCredit } from "./turn.ts";
import { addProgram, pauseKey, type Program, programKey, removeProgram, type Tenant, type Waiting } from "./waiting.ts";

export interface FairQueueOptions {
  /**
   * `fair` by default. `arrival`: first come, first served, whatever the tenant and the program. All calls then wait as one program of one
   * tenant, and pauses of programs have no effect. It models routers without a fair queue.
   */
  order?: "fair" | "arrival";
  /** Tokens that every tenant may be served per round, times its weight. */
  quantumTokens?: number;
  maxCalls?: number;
  maxCallsPerTenant?: number;
  /** Tenants and programs in credit whose next call is looked at for locality. */
  tenantsSeen?: number;
  programsSeen?: number;
  /** Share of a tenant against the others; 1 when not given. */
  weightOf?: (tenant: string) => number;
}

export type { Waiting } from "./waiting.ts";

export type Push = { queued: true; waiting: Waiting; dropped?: Waiting } | { queued: false };

/** The one tenant and program of a queue in order of arrival. */
const everyone = "";

export class FairQueue {
  private readonly options: Required<FairQueueOptions>;
  private readonly ring: CreditRing<Tenant>;
  private readonly elsewhere: Elsewhere;
  private readonly tenants = new Map<string, Tenant>();
  private readonly waiting = new Map<string, Waiting>();
  private readonly paused = new Set<string>();
  private readonly deadlines = new Heap<Waiting>();
  private tokens = 0;
  /** Calls with a deadline that wait and may run; `deadlines` also has those of paused programs, and some that have left. */
  private timed = 0;

  constructor(options: FairQueueOptions = {}) {
    const { order = "fair", maxCalls = queueCallsMax } = options;
    this.options = {
      order,
      // About one long prompt, so that most calls fit into a round, and the lead of a tenant over another stays small.
      quantumTokens: options.quantumTokens ?? 8192,
      maxCalls,
      maxCallsPerTenant: order === "arrival" ? maxCalls : (options.maxCallsPerTenant ?? queueCallsPerTenantMax),
      // Enough for a choice by cached tokens. More would cost a match of a prompt for each, at every place that is freed.
      tenantsSeen: options.tenantsSeen ?? 4,
      programsSeen: options.programsSeen ?? 2,
      weightOf: options.weightOf ?? (() => 1),
    };
    this.ring = new CreditRing(this.options.quantumTokens);
    this.elsewhere = new Elsewhere(this.options.quantumTokens, (tenant) => this.weightOf(tenant));
  }

  get size(): number {
    return this.waiting.size;
  }

  /** Whether calls with a deadline wait and may run: those of a paused program keep no other tenant's calls out of the engines' lines. */
  get hasDeadlines(): boolean {
    return this.timed > 0;
  }

  /** Whether calls with a deadline wait at other gateways. */
  get deadlinesElsewhere(): boolean {
    return this.elsewhere.timed;
  }

  /** Tokens of all calls that wait. */
  get waitingTokens(): number {
    return this.tokens;
  }

  /** Tenants with calls that may run now. */
  get competing(): number {
    return this.ring.size;
  }

  waitingOf(tenant: string): { calls: number; tokens: number } {
    const known = this.tenants.get(this.tenantName(tenant));
    return { calls: known?.calls ?? 0, tokens: known?.tokens ?? 0 };
  }

  get(call: string): Waiting | undefined {
    return this.waiting.get(call);
  }

  /**
   * Queues a call that needs `ttftMs` to its first token once it is placed. Not queued: its tenant has too many calls waiting. `dropped`: the
   * newest call of the tenant with most calls, which has made room.
   */
  push(call: Call, now: number, ttftMs = 0): Push {
    const tenant = this.tenantOf(this.tenantName(call.tenant));
    let dropped: Waiting | undefined;
    if (tenant.calls >= this.options.maxCallsPerTenant) return this.refuse(tenant);
    if (this.size >= this.options.maxCalls) {
      const largest = this.largest();
      if (largest === undefined || largest.calls <= tenant.calls + 1) return this.refuse(tenant);
      dropped = this.newestOf(largest);
      if (dropped !== undefined) this.leave(dropped);
    }
    const waiting: Waiting = { call, sinceMs: now, tokens: call.promptTokens + call.outputTokens, gone: false };
    const program = this.programOf(tenant, call);
    const inOrder = this.options.order === "arrival" ? undefined : call.deadlineMs;
    program.calls.push(inOrder ?? Number.POSITIVE_INFINITY, waiting);
    program.live++;
    tenant.calls++;
    tenant.tokens += waiting.tokens;
    this.tokens += waiting.tokens;
    this.waiting.set(call.id, waiting);
    if (call.deadlineMs !== undefined) {
      program.timed++;
      if (!program.paused) this.timed++;
      this.deadlines.push(call.deadlineMs - ttftMs, waiting);
    }
    if (!program.paused) {
      tenant.runnable++;
      this.wake(tenant, program);
    }
    return { queued: true, waiting, dropped };
  }

  /**
   * Takes the next call and charges `cost` of it to its tenant and program. `matched` answers the tokens cached at the best
   * endpoint, or a negative number when the call fits nowhere now.
   */
  take(matched: (call: Call) => number, cost: (call: Call, matchedTokens: number) => number): Waiting | undefined {
    const turn = longestInCredit(this.ring, this.options, matched) ?? firstThatFits(this.ring, matched);
    if (turn === undefined) return undefined;
    const { waiting, program, ring } = turn;
    const charged = cost(waiting.call, turn.matchedTokens);
    const tenant = this.tenantName(waiting.call.tenant);
    this.ring.charge(tenant, charged);
    this.elsewhere.served(tenant, charged);
    ring.charge(program.key, charged);
    this.ring.rotate(tenant);
    ring.rotate(program.key);
    this.leave(waiting);
    return waiting;
  }

  /** Whether the call's program has been paused. */
  isPaused({ tenant, program }: Call): boolean {
    return program !== undefined && this.paused.size > 0 && this.paused.has(pauseKey(tenant, program));
  }

  /** Charges a call that is placed without having waited. Must be called only while no call waits. */
  pass({ tenant }: Call, charged: number): void {
    this.ring.serveAlone(this.tenantName(tenant), charged, this.weightOf(tenant));
    this.elsewhere.served(this.tenantName(tenant), charged);
  }

  /** Whether tenants wait for this deployment at other gateways. */
  get waitsElsewhere(): boolean {
    return this.elsewhere.waits;
  }

  /** Whether a call that waits here leaves the engines' own lines to tenants that wait at other gateways (elsewhere.ts). */
  yields({ tenant }: Call, slackTokens: number): boolean {
    return this.elsewhere.yields(this.tenantName(tenant), slackTokens);
  }

  /** What other gateways are told of this queue; empty for a queue in order of arrival, and where no tenant waits or was served. */
  news(now: number): TenantNews[] {
    return this.options.order === "fair" ? this.elsewhere.news(this.runnable(), now) : [];
  }

  /** What another gateway has told of its queue for the same endpoints. `timed`: calls with a deadline wait in it. */
  hear(gateway: string, news: readonly TenantNews[], timed: boolean, now: number): void {
    if (this.options.order === "arrival") return;
    this.elsewhere.hear(gateway, news, timed, this.runnable(), now);
    // Service elsewhere counts against a tenant while others wait here.
    if (this.ring.size > 0) for (const { tenant, served } of news) this.ring.charge(tenant, served);
  }

  /** Corrects what was charged for a call that has been taken: `difference` tokens more (or fewer, negative). */
  settle(call: Call, difference: number): void {
    if (difference === 0) return;
    const name = this.tenantName(call.tenant);
    this.ring.charge(name, difference);
    this.elsewhere.served(name, difference);
    const tenant = this.tenants.get(name);
    const program = tenant?.programs.get(this.programName(call));
    const level = tenant?.levels.find((level) => level.priority === program?.level);
    if (program !== undefined) level?.ring.charge(program.key, difference);
  }

  credit(tenant: string): number {
    return this.ring.credit(tenant);
  }

  /** Takes a call out of the queue without serving it. */
  withdraw(call: string): Waiting | undefined {
    const waiting = this.waiting.get(call);
    if (waiting !== undefined) this.leave(waiting);
    return waiting;
  }

  /** Every call that waits. */
  all(): Iterable<Waiting> {
    return this.waiting.values();
  }

  /** Takes out every call that cannot make its deadline even if it were placed now. */
  expire(now: number): Waiting[] {
    const late: Waiting[] = [];
    for (let next = this.deadlines.peek(); next !== undefined; next = this.deadlines.peek()) {
      if (!next.gone) {
        if (this.deadlines.peekKey()! >= now) break;
        this.leave(next);
        late.push(next);
      }
      this.deadlines.pop();
    }
    return late;
  }

  /** A paused program's calls stay queued and bounded, but are not served. */
  pause(tenant: string, program: string): void {
    this.paused.add(pauseKey(tenant, program));
    this.eachOf(tenant, program, (owner, found) => {
      if (found.paused) return;
      found.paused = true;
      owner.runnable -= found.live;
      this.timed -= found.timed;
      this.sleep(owner, found);
    });
  }

  resume(tenant: string, program: string): void {
    this.paused.delete(pauseKey(tenant, program));
    this.eachOf(tenant, program, (owner, found) => {
      if (!found.paused) return;
      found.paused = false;
      owner.runnable += found.live;
      this.timed += found.timed;
      if (found.live > 0) this.wake(owner, found);
    });
  }

  /** Tenants with calls that may run. */
  private runnable(): string[] {
    return Array.from(this.ring.values(), ({ name }) => name);
  }

  private weightOf(tenant: string): number {
    return Math.max(1e-3, this.options.weightOf(tenant));
  }

  private tenantName(tenant: string): string {
    return this.options.order === "fair" ? tenant : everyone;
  }

  private programName(call: Call): string {
    return this.options.order === "fair" ? programKey(call) : everyone;
  }

  private refuse(tenant: Tenant): Push {
    if (tenant.calls === 0) this.tenants.delete(tenant.name);
    return { queued: false };
  }

  private leave(waiting: Waiting): void {
    if (waiting.gone) return;
    waiting.gone = true;
    const { call } = waiting;
    const tenant = this.tenants.get(this.tenantName(call.tenant))!;
    const program = tenant.programs.get(this.programName(call))!;
    this.waiting.delete(call.id);
    if (call.deadlineMs !== undefined) {
      program.timed--;
      if (!program.paused) this.timed--;
    }
    if (this.deadlines.size > 64 + this.waiting.size * 2) this.deadlines.retain((left) => !left.gone);
    tenant.calls--;
    tenant.tokens -= waiting.tokens;
    this.tokens -= waiting.tokens;
    program.live--;
    if (!program.paused) tenant.runnable--;
    if (program.live > 0) {
      if (program.calls.size > 64 + program.live * 2) program.calls.retain((left) => !left.gone);
      return;
    }
    this.sleep(tenant, program);
    removeProgram(tenant, program);
    if (tenant.calls === 0) this.tenants.delete(tenant.name);
  }

  private tenantOf(name: string): Tenant {
    let tenant = this.tenants.get(name);
    if (tenant === undefined) {
      tenant = { name, levels: [], programs: new Map(), named: new Map(), calls: 0, tokens: 0, runnable: 0 };
      this.tenants.set(name, tenant);
    }
    return tenant;
  }

  private programOf(tenant: Tenant, call: Call): Program {
    const key = this.programName(call);
    let program = tenant.programs.get(key);
    if (program === undefined) {
      const inOrder = this.options.order === "arrival";
      const paused = !inOrder && call.program !== undefined && this.paused.has(pauseKey(call.tenant, call.program));
      const level = inOrder ? 0 : (call.priority ?? 0);
      const name = inOrder ? undefined : call.program;
      program = { key, name, level, calls: new Heap(), live: 0, timed: 0, paused };
      addProgram(tenant, program);
    }
    return program;
  }

  /** A program has something to run: it competes in its level, its tenant among tenants. */
  private wake(tenant: Tenant, program: Program): void {
    let level = tenant.levels.find((level) => level.priority === program.level);
    if (level === undefined) {
      level = { priority: program.level, ring: new CreditRing(this.options.quantumTokens) };
      tenant.levels.push(level);
      tenant.levels.sort((a, b) => b.priority - a.priority);
    }
    if (level.ring.get(program.key) === undefined) level.ring.enter(program.key, program);
    if (this.ring.get(tenant.name) === undefined) {
      this.ring.enter(tenant.name, tenant, this.weightOf(tenant.name));
    }
  }

  private sleep(tenant: Tenant, program: Program): void {
    const level = tenant.levels.find((level) => level.priority === program.level);
    level?.ring.leave(program.key);
    if (level?.ring.size === 0) tenant.levels.splice(tenant.levels.indexOf(level), 1);
    if (tenant.runnable === 0) this.ring.leave(tenant.name);
  }

  private eachOf(tenant: string, program: string, act: (tenant: Tenant, program: Program) => void): void {
    const owner = this.tenants.get(tenant);
    for (const found of owner?.named.get(program) ?? []) act(owner!, found);
  }

  private largest(): Tenant | undefined {
    let largest: Tenant | undefined;
    for (const tenant of this.tenants.values())
      if (largest === undefined || tenant.calls > largest.calls) largest = tenant;
    return largest;
  }

  private newestOf(tenant: Tenant): Waiting | undefined {
    let newest: Waiting | undefined;
    for (const program of tenant.programs.values()) newest = program.calls.last((left) => !left.gone) ?? newest;
    return newest;
  }
}
