// What a user writes to describe the machines of a simulation, and its validation. YAML or JSON; a pool names a profile
// (built in, or written out in place) and how many replicas of it there are. Unknown keys are errors, with their path.
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { z } from "zod";
import { profileSchema, tierSchema, type EngineProfile } from "./engine/profile.ts";
import { loadProfile } from "./profiles/index.ts";
import { resolveStore, type Store, storeFault, storeSchema, type StoreUse, withoutTier } from "./stores.ts";
import { workloadSchema } from "./traces/options.ts";
import { SimulatorError } from "./types.ts";

/** How the router learns what is cached where. */
const knowledgeSchema = z.discriminatedUnion("kind", [
  /** Every endpoint's cache is known exactly and at once: the best that events can do. */
  z.strictObject({ kind: z.literal("exact") }),
  /** Engine events arrive late; own placements are expected at once and believed for a while. */
  z.strictObject({
    kind: z.literal("events"),
    lagMs: z.number().nonnegative().default(10),
    believeMs: z.number().nonnegative().default(5000),
  }),
  /** No events: an LRU over the router's own placements stands for each endpoint's cache. */
  z.strictObject({
    kind: z.literal("estimated"),
    capacityTokens: z.number().positive().default(2_000_000),
    /** Leading tokens that the router hashes; longer matches are not seen. */
    maxMatchTokens: z.number().positive().default(131_072),
  }),
  /** The router sees load only. */
  z.strictObject({ kind: z.literal("none") }),
]);
export type Knowledge = z.infer<typeof knowledgeSchema>;

/** A pool that grows and shrinks; its `replicas` are then the most that there may be. */
const autoscaleSchema = z.strictObject({
  min: z.number().int().positive().default(1),
  /** Replicas that serve from the start; `min` when absent. */
  initial: z.number().int().positive().optional(),
  everyMs: z.number().positive().default(10_000),
  shrinkAfterMs: z.number().positive().default(300_000),
  utilisation: z.number().positive().max(1).default(0.75),
});

const poolSchema = z.strictObject({
  name: z.string().min(1),
  profile: z.union([z.string().min(1), profileSchema]),
  replicas: z.number().int().positive(),
  role: z.enum(["both", "prefill", "decode"]).default("both"),
  /** Replace the profile's own values. */
  kvCapacityTokens: z.number().int().positive().optional(),
  maxSequences: z.number().int().positive().optional(),
  maxBatchTokens: z.number().int().positive().optional(),
  tiers: z.array(tierSchema).max(3).optional(),
  pricePerChipHour: z.number().nonnegative().optional(),
  autoscale: autoscaleSchema.optional(),
  /** The store of KV that its replicas share, by name. */
  store: z.string().min(1).optional(),
  /** Serves the calls of this department's tenants alone. */
  department: z.string().min(1).optional(),
  /** From asking for a replica until it serves, ms. */
  startUpMs: z.number().nonnegative().optional(),
});

/** Departments that share chips: which tenants' calls go to their pools, and which chips each always gets back. */
const departmentSchema = z.strictObject({
  name: z.string().min(1),
  /** Its tenants, by their number in the workload (copies of a load are tenants of their own, in order). */
  tenants: z.array(z.number().int().nonnegative()).min(1),
  /** Chips by kind that it always gets back. */
  guaranteed: z.record(z.string(), z.number().int().nonnegative()).default({}),
  /** Share in what others leave. */
  weight: z.number().positive().default(1),
});

const fleetSchema = z
  .strictObject({
    name: z.string().default("fleet"),
    currency: z.string().default("USD"),
    pools: z.array(poolSchema).min(1),
    /** Stores of KV that several replicas share. */
    stores: z.array(storeSchema).default([]),
    knowledge: knowledgeSchema.default({ kind: "exact" }),
    /** Of replicas: told to the scheduler from their profiles, or learned from calls that have ended, as in the gateway. */
    speeds: z.enum(["told", "learned"]).default("told"),
    /**
     * Calls that the router keeps in one endpoint at a time; more wait in the router's own queue. Absent: twice the sequences that the
     * endpoint runs at once, as the gateway does. `unbounded`: a router that never waits.
     */
    maxInFlightPerEndpoint: z.union([z.number().int().positive(), z.literal("unbounded")]).optional(),
    /**
     * Mean time the router spends on a call before it chooses, ms for each endpoint it watches: a call's own is uniform between
     * zero and twice the mean. Absent: no time. For routers that are short of processor time.
     */
    routerMsPerEndpoint: z.number().nonnegative().default(0),
    /** Gateways before the fleet: each has a scheduler, a queue and programs of its own, and hears of the others' load late. */
    gateways: z
      .strictObject({
        count: z.number().int().positive().max(64).default(1),
        /** Age of a message of load when another gateway hears it, ms; what happens in the 100 ms between two messages is older. */
        loadAgeMs: z.number().nonnegative().default(50),
        /** What the balancer before them keeps at one gateway: single calls, whole programs, or tenants. */
        spread: z.enum(["calls", "programs", "tenants"]).default("calls"),
      })
      .prefault({}),
    /** Order of the router's queue: the scheduler's fair queue, or first in, first out. */
    queue: z.enum(["fifo", "fair"]).default("fair"),
    /**
     * Whether an agent runtime tells the scheduler what it knows (that a tool runs or has ended, and that a run is over), and engines carry
     * out what the scheduler then wishes for KV. Engines that keep whole conversations do so in any case.
     */
    programs: z.boolean().default(false),
    /** Whether whole programs wait while the live ones need more KV than there is. */
    pauses: z.boolean().default(true),
    /** Latest useful time of the first token, ms after a call was sent; the scheduler refuses calls that cannot make it. */
    deadlineMs: z.number().positive().optional(),
    /** Calls with fewer uncached tokens than this are not split between prefill and decode replicas; absent: the gateway's bound. */
    splitFromUncachedTokens: z.number().nonnegative().optional(),
    failures: z
      .array(
        z.strictObject({
          endpoint: z.number().int().nonnegative(),
          atMs: z.number().nonnegative(),
          downMs: z.number().nonnegative().optional(),
        }),
      )
      .default([]),
    departments: z.array(departmentSchema).default([]),
    /** The load that `lineshaft simulate` runs on it, where the command line names none. */
    workload: workloadSchema.optional(),
    /** Chips by kind that scaled pools share; absent: as many as their replicas need. */
    chips: z.record(z.string(), z.number().int().nonnegative()).optional(),
    slo: z
      .strictObject({ ttftMs: z.number().positive().default(2000), timePerTokenMs: z.number().positive().default(50) })
      .prefault({}),
  })
  .superRefine((fleet, context) => {
    const replicas = fleet.pools.reduce((sum, pool) => sum + pool.replicas, 0);
    fleet.failures.forEach((failure, i) => {
      if (failure.endpoint >= replicas) {
        context.addIssue({
          code: "custom",
          path: ["failures", i, "endpoint"],
          message: `endpoint ${failure.endpoint} does not exist: the fleet has ${replicas}`,
        });
      }
    });
    fleet.pools.forEach(({ autoscale, replicas: most }, i) => {
      if (autoscale === undefined || Math.max(autoscale.min, autoscale.initial ?? 0) <= most) return;
      context.addIssue({
        code: "custom",
        path: ["pools", i, "autoscale"],
        message: `min and initial may be at most the pool's ${most} replicas`,
      });
    });
    const issue = (path: (string | number)[], message: string): void =>
      context.addIssue({ code: "custom", path, message });
    const stores = fleet.stores.map(({ name }) => name);
    fleet.stores.forEach((store, i) => {
      const fault = storeFault(store);
      if (fault !== undefined) issue(["stores", i], fault);
      if (stores.indexOf(store.name) < i) issue(["stores", i, "name"], `there are two stores "${store.name}"`);
    });
    fleet.pools.forEach(({ store }, i) => {
      if (store !== undefined && !stores.includes(store))
        issue(["pools", i, "store"], `there is no store "${store}": describe it under "stores"`);
    });
    const names = new Set(fleet.departments.map(({ name }) => name));
    fleet.pools.forEach(({ department, autoscale }, i) => {
      if (department !== undefined && !names.has(department))
        issue(["pools", i, "department"], `there is no department "${department}"`);
      if (names.size > 0 && (department === undefined || autoscale === undefined))
        issue(["pools", i], "where there are departments every pool belongs to one and has autoscale");
    });
    if (names.size > 0 && fleet.failures.length > 0)
      issue(["failures"], "failures and departments cannot be simulated together");
    const roles = new Set(fleet.pools.map((pool) => pool.role));
    if (roles.has("prefill") && !roles.has("decode") && !roles.has("both")) {
      context.addIssue({
        code: "custom",
        path: ["pools"],
        message: "prefill replicas need decode replicas beside them",
      });
    }
    if (roles.has("decode") && !roles.has("prefill") && !roles.has("both")) {
      context.addIssue({
        code: "custom",
        path: ["pools"],
        message: "decode replicas need prefill replicas beside them",
      });
    }
  });
/** Deployment that all calls ask for where there are no departments. */
export const onlyDeployment = "simulated";

/** Deployment of a department's pools. */
export function deploymentOf(department: string): string {
  return `${onlyDeployment} for ${department}`;
}

export type FleetInput = z.input<typeof fleetSchema>;

/** One replica of the simulated fleet. */
export interface Replica {
  readonly id: string;
  readonly pool: string;
  readonly role: "both" | "prefill" | "decode";
  readonly department: string | undefined;
  /** Without the tier whose place a shared store takes. */
  readonly profile: EngineProfile;
  /** The store that it shares with other replicas. */
  readonly store?: StoreUse;
}

/** A pool that scales between `min` and all of its replicas. */
export interface ScaledPool extends Required<z.infer<typeof autoscaleSchema>> {
  readonly name: string;
}

export interface Fleet extends Omit<z.infer<typeof fleetSchema>, "pools" | "stores"> {
  readonly replicas: readonly Replica[];
  readonly stores: readonly Store[];
  readonly scaled: readonly ScaledPool[];
}

/**
 * Validates a fleet description and resolves its profiles.
 * @throws SimulatorError `fleet_invalid` with one line a fault, `profile_missing`
 */
export function parseFleet(description: unknown, origin = "the fleet"): Fleet {
  const parsed = fleetSchema.safeParse(description);
  if (!parsed.success) {
    throw new SimulatorError(
      "fleet_invalid",
      `${origin} is not a valid fleet description:\n${z.prettifyError(parsed.error)}`,
      "See docs/simulator.md for the keys and an example.",
    );
  }
  const { pools: described, stores: storesDescribed, ...rest } = parsed.data;
  const pools = described.map((pool) => {
    const base = typeof pool.profile === "string" ? loadProfile(pool.profile) : pool.profile;
    const whole: EngineProfile = {
      ...base,
      kvCapacityTokens: pool.kvCapacityTokens ?? base.kvCapacityTokens,
      maxSequences: pool.maxSequences ?? base.maxSequences,
      maxBatchTokens: pool.maxBatchTokens ?? base.maxBatchTokens,
      tiers: pool.tiers ?? base.tiers,
      pricePerChipHour: pool.pricePerChipHour ?? base.pricePerChipHour,
      startUpMs: pool.startUpMs ?? base.startUpMs,
    };
    return { ...pool, profile: whole };
  });
  const resolved = storesDescribed.map((store, i) => resolveStore(store, i, pools, origin));
  const replicas = pools.flatMap((pool) => {
    const { name, role, department } = pool;
    const store = resolved.find(({ uses }) => uses.has(pool))?.uses.get(pool);
    const profile = store === undefined ? pool.profile : withoutTier(pool.profile, store.tier.tier);
    return Array.from({ length: pool.replicas }, (_, i): Replica => ({
      id: `${name}-${i}`,
      pool: name,
      role,
      department,
      profile,
      ...(store !== undefined && { store }),
    }));
  });
  const scaled = pools.flatMap(({ name, autoscale }) =>
    autoscale === undefined ? [] : [{ ...autoscale, name, initial: autoscale.initial ?? autoscale.min }],
  );
  const fleet = { ...rest, replicas, stores: resolved.map(({ store }) => store), scaled };
  const fault = chipsFault(fleet);
  if (fault === undefined) return fleet;
  throw new SimulatorError(
    "fleet_invalid",
    `${origin} is not a valid fleet description:\n${fault}`,
    "Give more chips, smaller guarantees, or fewer replicas to begin with.",
  );
}

/** What is wrong with the chips that pools share: a department must always be able to hold the least replicas of its pools. */
function chipsFault({ chips, departments, replicas, scaled }: Fleet): string | undefined {
  if (chips === undefined) return undefined;
  for (const chip of new Set([...replicas.map(({ profile }) => profile.chip), ...Object.keys(chips)])) {
    const needed = (count: (pool: ScaledPool) => number, department?: string): number =>
      scaled.reduce((sum, pool) => {
        const first = replicas.find((replica) => replica.pool === pool.name)!;
        const counts = first.profile.chip === chip && (department === undefined || first.department === department);
        return counts ? sum + count(pool) * first.profile.chips : sum;
      }, 0);
    const there = chips[chip] ?? 0;
    const promised = departments.reduce((sum, { guaranteed }) => sum + (guaranteed[chip] ?? 0), 0);
    if (promised > there) return `${promised} chips of ${chip} are guaranteed, ${there} exist`;
    const initial = needed((pool) => pool.initial);
    if (initial > there) return `the first replicas take ${initial} chips of ${chip}, ${there} exist`;
    for (const { name, guaranteed } of departments) {
      const least = needed((pool) => pool.min, name);
      if (least > (guaranteed[chip] ?? 0))
        return `the pools of ${name} hold at least ${least} chips of ${chip}, ${guaranteed[chip] ?? 0} are guaranteed`;
    }
  }
  return undefined;
}

/** Reads a fleet from a YAML or JSON file. Throws SimulatorError `fleet_unreadable` or what `parseFleet` throws. */
export function readFleet(path: string): Fleet {
  let description: unknown;
  try {
    description = parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new SimulatorError(
      "fleet_unreadable",
      `Cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`,
      "Give the path of a YAML or JSON file that describes the fleet.",
    );
  }
  return parseFleet(description, path);
}
