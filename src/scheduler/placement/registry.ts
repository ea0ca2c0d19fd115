// Every placement rule by name: what `--policy a,b,c` and a deployment's `policy` accept.
import type { Policy } from "../types.ts";
import { cacheAware } from "./cacheAware.ts";
import { consistentHash } from "./consistentHash.ts";
import { dynamo } from "./dynamo.ts";
import { llmd } from "./llmd.ts";
import { lmetric } from "./lmetric.ts";
import { leastDelay } from "./leastDelay.ts";
import { leastLoad, random, roundRobin } from "./simple.ts";
import { twoTier } from "./twoTier.ts";

/** The rule of deployments that do not name one. */
export const defaultPolicy = "least-delay";

/** Makes a fresh instance: some rules keep state (a turn, a ring), which must not be shared between runs. */
const policies: Record<string, () => Policy> = {
  "least-delay": leastDelay,
  "two-tier": twoTier,
  dynamo,
  "llm-d": llmd,
  lmetric,
  "cache-aware": cacheAware,
  "consistent-hash": consistentHash,
  "least-load": leastLoad,
  "round-robin": roundRobin,
  random,
};

/** Names that `makePolicy` accepts. */
export const policyNames: readonly string[] = Object.keys(policies);

/** Throws RangeError with the known names when there is no such rule. */
export function makePolicy(name: string): Policy {
  const make = Object.hasOwn(policies, name) ? policies[name] : undefined;
  if (make === undefined) throw new RangeError(`no placement policy "${name}"; known: ${policyNames.join(", ")}`);
  return make();
}
