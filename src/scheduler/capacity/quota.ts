// Departments that share chips of unlike kinds: which of their workloads may run now.
//
//   guaranteed  each department's own chips per kind come first, its work in order of priority
//   borrowed    what is left is lent, replica by replica, to the department that borrows least for its weight; only work
//               that can be interrupted may borrow, since what is lent can be asked back
//   preempted   what runs and is no longer granted is stopped at its next step boundary, lowest priority and newest first
//
// Every plan is made anew, and what already runs wins every tie, so that replicas move only for a reason.
export interface Pool {
  chip: string;
  chips: number;
}

export interface Department {
  name: string;
  /** Chips by kind that it always gets back. */
  guaranteed: Readonly<Record<string, number>>;
  /** Share in what others leave; 1 when not given. */
  weight?: number;
}

/** One way to run a replica. */
interface ChipOption {
  chip: string;
  chipsPerReplica: number;
  /** Work per second of a replica there, in any unit that is one for all of the demand's options. */
  speed: number;
}

/** Work that needs chips: a deployment, or a job with an end. */
export interface Demand {
  id: string;
  department: string;
  replicas: number;
  options: readonly ChipOption[];
  /** Within its department; higher first. */
  priority: number;
  preemptible: boolean;
  /** Replicas that run, by chip. */
  running: Readonly<Record<string, number>>;
  startedMs: number;
}

interface Grant {
  demand: string;
  chip: string;
  replicas: number;
  borrowed: number;
}

interface QuotaPlan {
  grants: Grant[];
  start: { demand: string; chip: string; replicas: number }[];
  /** To be stopped at a step boundary. */
  stop: { demand: string; chip: string; replicas: number; reason: string }[];
  /** Replicas that could not be granted. */
  unmet: Record<string, number>;
}

interface Granted {
  own: Map<string, number>;
  borrowed: Map<string, number>;
  missing: number;
}

/** Throws RangeError when more is guaranteed of a kind than there is. */
export function planQuota(
  pools: readonly Pool[],
  departments: readonly Department[],
  demands: readonly Demand[],
): QuotaPlan {
  checkGuarantees(chipsOf(pools), departments);
  let granted = grantAll(pools, departments, demands);
  // A grant may change which of a department's replicas count as its own, and so where the next plan would put them. The plan
  // that is answered is one that agrees with itself, so that carrying it out is not followed by more moves.
  for (let round = 0; round < roundsMost; round++) {
    const next = grantAll(pools, departments, asRunning(demands, granted));
    if (demands.every(({ id }) => sameReplicas(granted.get(id)!, next.get(id)!))) break;
    granted = next;
  }
  return compare(demands, granted);
}

const roundsMost = 16;

function chipsOf(pools: readonly Pool[]): Map<string, number> {
  const chips = new Map<string, number>();
  for (const pool of pools) chips.set(pool.chip, (chips.get(pool.chip) ?? 0) + pool.chips);
  return chips;
}

function grantAll(
  pools: readonly Pool[],
  departments: readonly Department[],
  demands: readonly Demand[],
): Map<string, Granted> {
  const free = chipsOf(pools);
  const granted = new Map<string, Granted>();
  for (const demand of demands)
    granted.set(demand.id, { own: new Map(), borrowed: new Map(), missing: demand.replicas });
  for (const department of departments) grantOwn(department, demands, granted, free);
  lend(departments, demands, granted, free);
  return granted;
}

const replicasOn = (grant: Granted, chip: string): number =>
  (grant.own.get(chip) ?? 0) + (grant.borrowed.get(chip) ?? 0);

/** The demands as they would be once the grants are carried out. */
function asRunning(demands: readonly Demand[], granted: ReadonlyMap<string, Granted>): Demand[] {
  return demands.map((demand) => ({
    ...demand,
    running: Object.fromEntries(demand.options.map(({ chip }) => [chip, replicasOn(granted.get(demand.id)!, chip)])),
  }));
}

function sameReplicas(a: Granted, b: Granted): boolean {
  const chips = new Set([a, b].flatMap((grant) => [...grant.own.keys(), ...grant.borrowed.keys()]));
  return [...chips].every((chip) => replicasOn(a, chip) === replicasOn(b, chip));
}

function checkGuarantees(free: ReadonlyMap<string, number>, departments: readonly Department[]): void {
  const promised = new Map<string, number>();
  for (const { guaranteed } of departments) {
    for (const [chip, chips] of Object.entries(guaranteed)) promised.set(chip, (promised.get(chip) ?? 0) + chips);
  }
  for (const [chip, chips] of promised) {
    const there = free.get(chip) ?? 0;
    if (chips > there) throw new RangeError(`${chips} chips of ${chip} are guaranteed, ${there} exist`);
  }
}

/** A department's work within its guarantee, replica by replica in order of priority. */
function grantOwn(
  department: Department,
  demands: readonly Demand[],
  granted: Map<string, Granted>,
  free: Map<string, number>,
): void {
  const left = new Map(Object.entries(department.guaranteed));
  for (const demand of demands.filter((demand) => demand.department === department.name).toSorted(byPriority)) {
    const grant = granted.get(demand.id)!;
    while (grant.missing > 0) {
      const option = bestOption(demand, grant, (option) => (left.get(option.chip) ?? 0) >= option.chipsPerReplica);
      if (option === undefined) break;
      left.set(option.chip, left.get(option.chip)! - option.chipsPerReplica);
      take(option, grant, grant.own, free);
    }
  }
}

/** Lends what is left to the department that borrows least for its weight. */
function lend(
  departments: readonly Department[],
  demands: readonly Demand[],
  granted: Map<string, Granted>,
  free: Map<string, number>,
): void {
  const borrowed = new Map<string, number>();
  const asking = new Map<string, Demand[]>();
  for (const demand of demands.filter((demand) => demand.preemptible).toSorted(byPriority)) {
    asking.set(demand.department, [...(asking.get(demand.department) ?? []), demand]);
  }
  const weightOf = new Map(departments.map(({ name, weight }) => [name, weight ?? 1]));
  for (;;) {
    let next: { demand: Demand; option: ChipOption; share: number; runs: boolean } | undefined;
    for (const [department, list] of asking) {
      const found = firstFit(list, granted, free);
      if (found === undefined) continue;
      // Counted as if it were lent already, so that one large replica is not lent before several small ones.
      const share =
        ((borrowed.get(department) ?? 0) + found.option.chipsPerReplica) /
        Math.max(1e-9, weightOf.get(department) ?? 1);
      const runs = runningLeft(found.demand, granted.get(found.demand.id)!, found.option.chip) > 0;
      if (next === undefined || share < next.share || (share === next.share && runs && !next.runs))
        next = { ...found, share, runs };
    }
    if (next === undefined) return;
    const { demand, option } = next;
    const grant = granted.get(demand.id)!;
    borrowed.set(demand.department, (borrowed.get(demand.department) ?? 0) + option.chipsPerReplica);
    take(option, grant, grant.borrowed, free);
  }
}

function firstFit(
  list: readonly Demand[],
  granted: ReadonlyMap<string, Granted>,
  free: ReadonlyMap<string, number>,
): { demand: Demand; option: ChipOption } | undefined {
  for (const demand of list) {
    const grant = granted.get(demand.id)!;
    if (grant.missing <= 0) continue;
    const option = bestOption(demand, grant, (option) => (free.get(option.chip) ?? 0) >= option.chipsPerReplica);
    if (option !== undefined) return { demand, option };
  }
  return undefined;
}

/** Where it already runs, else where a chip does most for it. */
function bestOption(demand: Demand, grant: Granted, fits: (option: ChipOption) => boolean): ChipOption | undefined {
  let best: ChipOption | undefined;
  let bestRuns = false;
  for (const option of demand.options) {
    if (!fits(option)) continue;
    const runs = runningLeft(demand, grant, option.chip) > 0;
    const faster = best === undefined || option.speed / option.chipsPerReplica > best.speed / best.chipsPerReplica;
    if (best !== undefined && bestRuns !== runs ? runs : faster) {
      best = option;
      bestRuns = runs;
    }
  }
  return best;
}

/** Replicas that run on a chip beyond those granted there already. */
function runningLeft(demand: Demand, grant: Granted, chip: string): number {
  return (demand.running[chip] ?? 0) - (grant.own.get(chip) ?? 0) - (grant.borrowed.get(chip) ?? 0);
}

function take(option: ChipOption, grant: Granted, into: Map<string, number>, free: Map<string, number>): void {
  free.set(option.chip, free.get(option.chip)! - option.chipsPerReplica);
  into.set(option.chip, (into.get(option.chip) ?? 0) + 1);
  grant.missing--;
}

function compare(demands: readonly Demand[], granted: ReadonlyMap<string, Granted>): QuotaPlan {
  const plan: QuotaPlan = { grants: [], start: [], stop: [], unmet: {} };
  for (const demand of demands) {
    const { own, borrowed, missing } = granted.get(demand.id)!;
    for (const chip of new Set([...own.keys(), ...borrowed.keys(), ...Object.keys(demand.running)])) {
      const lent = borrowed.get(chip) ?? 0;
      const replicas = (own.get(chip) ?? 0) + lent;
      if (replicas > 0) plan.grants.push({ demand: demand.id, chip, replicas, borrowed: lent });
      const change = replicas - (demand.running[chip] ?? 0);
      if (change > 0) plan.start.push({ demand: demand.id, chip, replicas: change });
      if (change < 0) {
        const wanted = demand.replicas < Object.values(demand.running).reduce((sum, count) => sum + count, 0);
        const reason = wanted ? "no longer wanted" : "lent chips are asked back";
        plan.stop.push({ demand: demand.id, chip, replicas: -change, reason });
      }
    }
    if (missing > 0) plan.unmet[demand.id] = missing;
  }
  // The cheapest to lose first: lowest priority, then newest.
  const rank = new Map(demands.toSorted(byPriority).map((demand, at) => [demand.id, at]));
  plan.stop.sort((a, b) => rank.get(b.demand)! - rank.get(a.demand)!);
  return plan;
}

function byPriority(a: Demand, b: Demand): number {
  return b.priority - a.priority || a.startedMs - b.startedMs || (a.id < b.id ? -1 : 1);
}
