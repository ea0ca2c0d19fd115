// Stores of KV that replicas share, as a user describes them, and what they come to once profiles are known: a capacity in tokens, and
// for each replica how fast it reads. A store takes the place of the profile's own tier of that name, and has its speed where it
// does not name a speed of its own.
import { z } from "zod";
import type { EngineProfile, KvTierProfile } from "./engine/profile.ts";
import { SimulatorError } from "./types.ts";

const nonNegative = z.number().finite().nonnegative();
const positive = z.number().finite().positive();

/** A store without a name, as a plan's candidate describes it. */
export const storeShape = {
  /** What it is to a replica that reads from it. */
  tier: z.enum(["host", "disk", "remote"]).default("remote"),
  /** Exactly one of these says how much it holds. */
  capacityTokens: positive.optional(),
  capacityBytes: positive.optional(),
  /** What each replica that shares it gives to it. */
  capacityTokensPerReplica: positive.optional(),
  /** Fixed cost of one load, ms, and transfer time per token of KV, ms. */
  latencyMs: nonNegative.optional(),
  msPerToken: nonNegative.optional(),
  /** Time per token to put a state there that another replica waits for; as long as three readings when absent. */
  saveMsPerToken: nonNegative.optional(),
  /** When replicas write: as soon as a prompt is computed, or what leaves their own memory. */
  writes: z.enum(["computed", "evicted"]).default("computed"),
  pricePerHour: nonNegative.default(0),
};

const capacities = ["capacityTokens", "capacityBytes", "capacityTokensPerReplica"] as const;

/** What is wrong with a store in itself. */
export function storeFault(store: Partial<Record<(typeof capacities)[number], number>>): string | undefined {
  const given = capacities.filter((key) => store[key] !== undefined);
  if (given.length === 1) return undefined;
  const said = given.length === 0 ? "does not say how much it holds" : `says twice how much it holds`;
  return `a store ${said}: give one of ${capacities.join(", ")}`;
}

export const storeSchema = z.strictObject({ name: z.string().min(1), ...storeShape });
type StoreInput = z.infer<typeof storeSchema>;

/** A store of the simulated fleet. */
export interface Store {
  readonly name: string;
  readonly tier: KvTierProfile["tier"];
  readonly capacityTokens: number;
  readonly writes: "computed" | "evicted";
  readonly pricePerHour: number;
  /** Replicas that share it. */
  readonly replicas: number;
}

/** How one replica uses the store that it shares. */
export interface StoreUse {
  /** Position in the fleet's stores. */
  readonly index: number;
  /** Capacity is the store's. */
  readonly tier: KvTierProfile;
  readonly saveMsPerToken: number;
}

/** A pool with its profile resolved. */
interface Pool {
  readonly name: string;
  readonly store?: string | undefined;
  readonly profile: EngineProfile;
  readonly replicas: number;
}

/** Writing a state takes about three times as long as reading it (measured on the embedded engine). */
const saveOverRead = 3;

/**
 * The store at `index` of the fleet, and how each of the pools that name it reads from it.
 * @throws SimulatorError `fleet_invalid`
 */
export function resolveStore<P extends Pool>(
  described: StoreInput,
  index: number,
  pools: readonly P[],
  origin: string,
): { store: Store; uses: Map<P, StoreUse> } {
  const { name, tier, writes, pricePerHour } = described;
  const fault = (message: string) =>
    new SimulatorError(
      "fleet_invalid",
      `${origin} is not a valid fleet description:\n${message}`,
      "See docs/simulator.md for stores that replicas share.",
    );
  const users = pools.filter((pool) => pool.store === name);
  const [first] = users;
  if (first === undefined) throw fault(`no pool uses the store "${name}"`);
  const replicas = users.reduce((sum, pool) => sum + pool.replicas, 0);
  const capacityTokens = capacityOf(described, first.profile.kvBytesPerToken, replicas);
  const uses = new Map<P, StoreUse>();
  for (const pool of users) {
    const { profile } = pool;
    if (kvOf(profile) !== kvOf(first.profile))
      throw fault(
        `pools ${first.name} and ${pool.name} cannot share the store "${name}": neither reads the other's KV (${kvOf(first.profile)}; ${kvOf(profile)})`,
      );
    const own = profile.tiers.find((each) => each.tier === tier);
    const msPerToken = described.msPerToken ?? own?.msPerToken;
    if (msPerToken === undefined)
      throw fault(
        `pool ${pool.name}: the profile ${profile.name} does not say how fast it reads a ${tier} tier; give the store "${name}" msPerToken`,
      );
    uses.set(pool, {
      index,
      tier: { tier, capacityTokens, latencyMs: described.latencyMs ?? own?.latencyMs ?? 0.1, msPerToken },
      saveMsPerToken: described.saveMsPerToken ?? saveOverRead * msPerToken,
    });
  }
  return { store: { name, tier, capacityTokens, writes, pricePerHour, replicas }, uses };
}

/** What must be equal for replicas to read each other's KV. */
const kvOf = ({ model, kvBytesPerToken }: EngineProfile): string => `${model}, ${kvBytesPerToken} bytes a token`;

function capacityOf(store: StoreInput, bytesPerToken: number, replicas: number): number {
  const { capacityTokens, capacityBytes, capacityTokensPerReplica } = store;
  if (capacityTokens !== undefined) return Math.floor(capacityTokens);
  if (capacityBytes !== undefined) return Math.floor(capacityBytes / bytesPerToken);
  return Math.floor(capacityTokensPerReplica! * replicas);
}

/** The profile without the tier whose place the store takes. */
export function withoutTier(profile: EngineProfile, tier: KvTierProfile["tier"]): EngineProfile {
  return { ...profile, tiers: profile.tiers.filter((each) => each.tier !== tier) };
}
