// Working-set admission: when the programs that are alive need more KV than all tiers hold, some of them wait as a whole, so that the
// others run warm, instead of all of them evicting each other's KV.
//
//   parts    every tenant has a max-min fair part of the KV (shares.ts). A tenant within its part loses no program, however many others
//            invent, and what it leaves is lent to the others.
//   pause    from `pauseFromShare` on, at step boundaries only, newest program first, among tenants beyond their parts, until
//            `pauseUntilShare` is reached. Tenants that keep their part without the program come first.
//   reclaim  a program that waits within its tenant's part is made room for in the same way.
//   resume   below `resumeBelowShare`: of the tenant that has least of its part, the oldest program first. A program that fits in its
//            tenant's part keeps the room for itself. One that is larger than the part lets others pass.
//   bound    when its first waiting call has waited for `programPauseMs`, a program goes on without room, beside others of its tenant only
//            as far as the tenant's part goes. Pauses in which no call waits do not count.
//
// The oldest programs go on, so that work in progress is finished rather than shared out. Between `pauseUntilShare` and `resumeBelowShare`
// programs are neither paused nor resumed; that gap is the hysteresis.
import { pauseFromShare, pauseUntilShare, programPauseMs, resumeBelowShare } from "../limits.ts";
import { fairParts } from "./shares.ts";

/** A live program, as admission sees it. */
export interface Member {
  id: string;
  tenant: string;
  startedMs: number;
  contextTokens: number;
  /** No call is computing: it can be paused now without losing anything. */
  atBoundary: boolean;
  pausedMs: number | undefined;
  /** Since when a call of it waits for the end of the pause. A paused program without one needs no room yet. */
  waitsSinceMs: number | undefined;
  /** Not paused again before this time: it was let go on by force. */
  immuneUntilMs: number;
}

interface WorkingSetPlan {
  pause: string[];
  resume: { id: string; forced: boolean }[];
  /** Programs whose calls have waited as long as any may, and that have room neither in their tenant's part nor beside it. */
  overdue: string[];
  /** Share of the capacity that unpaused programs need after it. */
  load: number;
  /** Tokens that programs of tenants without waiting programs may take before the next plan. */
  room: number;
  /** Tenants with programs that go on waiting. */
  queues: ReadonlySet<string>;
}

/**
 * Which programs to pause and to resume.
 *
 * @param members live programs, and paused ones, of one deployment
 * @param capacityTokens KV of all tiers of all endpoints that serve them
 */
export function planWorkingSet(members: Iterable<Member>, capacityTokens: number, now: number): WorkingSetPlan {
  const all = [...members];
  const capacity = Math.max(1, capacityTokens);
  return planWithRoom(all, capacity) ?? new Planner(all, capacity, now).plan();
}

/** The plan of the common case, in which no program waits and the KV has room: nothing changes. Undefined in any other case. */
function planWithRoom(members: readonly Member[], capacity: number): WorkingSetPlan | undefined {
  let needed = 0;
  for (const member of members) {
    if (isWaiting(member)) return undefined;
    if (member.pausedMs === undefined) needed += member.contextTokens;
  }
  if (needed >= pauseFromShare * capacity) return undefined;
  const room = Math.max(0, resumeBelowShare * capacity - needed);
  return { pause: [], resume: [], overdue: [], load: needed / capacity, room, queues: new Set() };
}

class Planner {
  private readonly capacity: number;
  private readonly now: number;
  /** What each tenant's programs need now, and what it may need when others want more, in tokens. */
  private readonly tenants = new Map<string, { running: number; part: number }>();
  private readonly running: Member[];
  private readonly waiting: Member[];
  private readonly paused = new Set<Member>();
  private readonly resumed = new Map<Member, boolean>();
  private candidates: Member[] | undefined;
  private reclaimed = 0;
  private needed = 0;
  private count = 0;

  constructor(members: readonly Member[], capacity: number, now: number) {
    this.capacity = capacity;
    this.now = now;
    this.running = members.filter(({ pausedMs }) => pausedMs === undefined);
    this.waiting = members.filter(isWaiting).toSorted(byAge);
    const demands = new Map<string, number>();
    for (const { tenant, contextTokens } of [...this.running, ...this.waiting])
      demands.set(tenant, (demands.get(tenant) ?? 0) + contextTokens);
    for (const [tenant, part] of fairParts(demands, pauseUntilShare * capacity))
      this.tenants.set(tenant, { running: 0, part });
    for (const member of this.running) this.move(member, 1);
  }

  plan(): WorkingSetPlan {
    this.letOverdueGo();
    const full = this.needed >= pauseFromShare * this.capacity;
    if (full) this.pauseUntil(pauseUntilShare * this.capacity);
    const kept = full || this.resume();
    const left = this.waiting.filter((member) => !this.resumed.has(member));
    const overdue = left.filter((member) => this.isDue(member));
    return {
      pause: Array.from(this.paused, ({ id }) => id),
      resume: Array.from(this.resumed, ([{ id }, forced]) => ({ id, forced })),
      overdue: overdue.map(({ id }) => id),
      load: this.needed / this.capacity,
      room: kept ? 0 : Math.max(0, resumeBelowShare * this.capacity - this.needed),
      queues: new Set(left.map(({ tenant }) => tenant)),
    };
  }

  /** Those whose time is up go on, longest waiting first. A tenant has one at a time, and more where its part has room for them. */
  private letOverdueGo(): void {
    const forced = new Map<string, number>();
    for (const { tenant, contextTokens, immuneUntilMs } of this.running)
      if (immuneUntilMs > this.now) forced.set(tenant, (forced.get(tenant) ?? 0) + contextTokens);
    const due = this.waiting.filter((member) => this.isDue(member));
    for (const member of due.toSorted((a, b) => a.waitsSinceMs! - b.waitsSinceMs! || byAge(a, b))) {
      const before = forced.get(member.tenant) ?? 0;
      const { part } = this.tenants.get(member.tenant)!;
      if (before > 0 && before + member.contextTokens > part) continue;
      forced.set(member.tenant, before + member.contextTokens);
      this.resumed.set(member, true);
      this.move(member, 1);
    }
  }

  private isDue({ waitsSinceMs }: Member): boolean {
    return this.now - waitsSinceMs! >= programPauseMs;
  }

  /** Pauses programs of tenants beyond their parts until no more than `tokens` are needed: first those that leave their tenant its part. */
  private pauseUntil(tokens: number): void {
    for (const straddles of [false, true]) {
      for (const member of this.newestFirst()) if (!this.pause(member, tokens, straddles)) return;
    }
  }

  /** Makes room in the same way, and leaves every tenant its part. Every program is looked at once in a plan, for all that wait together. */
  private reclaim(tokens: number): void {
    const candidates = this.newestFirst();
    while (this.reclaimed < candidates.length && this.pause(candidates[this.reclaimed]!, tokens, false)) {
      this.reclaimed++;
    }
  }

  /** Programs that can be paused now. */
  private newestFirst(): readonly Member[] {
    this.candidates ??= this.running
      .filter(({ atBoundary, immuneUntilMs }) => atBoundary && immuneUntilMs <= this.now)
      .toSorted((a, b) => byAge(b, a));
    return this.candidates;
  }

  /** Pauses a program if its tenant is beyond its part. False: no more need be paused. */
  private pause(member: Member, tokens: number, straddles: boolean): boolean {
    // The last running program goes on, however large it is.
    if (this.needed <= tokens || this.count === 1) return false;
    const { running, part } = this.tenants.get(member.tenant)!;
    const over = running - part;
    if (this.paused.has(member) || over <= 0 || (!straddles && over < member.contextTokens)) return true;
    this.paused.add(member);
    this.move(member, -1);
    return true;
  }

  /** Lets programs go on. Answers whether the room that is left is kept for a program that fits in its tenant's part. */
  private resume(): boolean {
    const lines = new Map<string, Member[]>();
    for (const member of this.waiting) {
      if (this.resumed.has(member)) continue;
      const line = lines.get(member.tenant);
      if (line === undefined) lines.set(member.tenant, [member]);
      else line.push(member);
    }
    const at = new Map<string, number>();
    while (lines.size > 0) {
      const tenant = this.neediest(lines.keys());
      const position = at.get(tenant) ?? 0;
      const member = lines.get(tenant)![position]!;
      const { running, part } = this.tenants.get(tenant)!;
      const room = resumeBelowShare * this.capacity;
      const within = running + member.contextTokens <= part;
      if (within && this.needed + member.contextTokens > room) this.reclaim(room - member.contextTokens);
      // A program that is too large by itself still runs when no other does.
      if (this.needed + member.contextTokens <= room || this.count === 0) {
        this.resumed.set(member, false);
        this.move(member, 1);
        if (position + 1 < lines.get(tenant)!.length) at.set(tenant, position + 1);
        else lines.delete(tenant);
      } else if (within) return true;
      else lines.delete(tenant);
    }
    return false;
  }

  /** The tenant whose programs need the smallest share of its part. */
  private neediest(tenants: Iterable<string>): string {
    let least = Number.POSITIVE_INFINITY;
    let found = "";
    for (const tenant of tenants) {
      const { running, part } = this.tenants.get(tenant)!;
      const share = running / Math.max(1, part);
      if (share >= least) continue;
      least = share;
      found = tenant;
    }
    return found;
  }

  private move({ tenant, contextTokens }: Member, sign: 1 | -1): void {
    this.needed += sign * contextTokens;
    this.tenants.get(tenant)!.running += sign * contextTokens;
    this.count += sign;
  }
}

function isWaiting({ pausedMs, waitsSinceMs }: Member): boolean {
  return pausedMs !== undefined && waitsSinceMs !== undefined;
}

function byAge(a: Member, b: Member): number {
  return a.startedMs - b.startedMs || (a.id < b.id ? -1 : 1);
}
