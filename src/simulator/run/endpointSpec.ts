// A simulated replica as the scheduler's policies see an endpoint: the same facts that the gateway measures of a real one.
import {
  firstSpeed,
  maxInFlightOf,
  ratePromptTokens,
  type EndpointSpec,
  type EndpointSpeed,
  type Tier,
} from "../../scheduler/index.ts";
import { prefillMs, stepMs } from "../engine/profile.ts";
import { deploymentOf, type Fleet, onlyDeployment, type Replica } from "../fleet.ts";

/** `epoch` counts the starts of the replica: each begins with an empty cache. */
export function endpointSpec(replica: Replica, fleet: Fleet, blockTokens: number, epoch: number): EndpointSpec {
  const { profile } = replica;
  const store = replica.store && fleet.stores[replica.store.index]!;
  const lower = profile.tiers.reduce((sum, tier) => sum + tier.capacityTokens, 0);
  // A pool's store whole, as a live worker tells its folder: the scheduler counts it once. Of another, its part.
  const shared = store === undefined ? 0 : store.capacityTokens / (store.writes === "evicted" ? 1 : store.replicas);
  return {
    id: replica.id,
    rank: 0,
    deployment: replica.department === undefined ? onlyDeployment : deploymentOf(replica.department),
    role: replica.role,
    space: profile.model,
    blockTokens,
    kvCapacityTokens: profile.kvCapacityTokens,
    totalKvCapacityTokens: profile.kvCapacityTokens + lower + shared,
    slots: profile.maxSequences,
    maxInFlight:
      fleet.maxInFlightPerEndpoint === "unbounded"
        ? Infinity
        : (fleet.maxInFlightPerEndpoint ?? maxInFlightOf(profile.maxSequences)),
    knowledge: "events",
    speed: {
      ...endpointSpeed(replica, store?.writes === "evicted"),
      // The gateway knows the time of attention no more than the rates.
      ...(fleet.speeds === "learned" && { ...firstSpeed.added, attentionMsPerPair: undefined }),
    },
    pool: store?.writes === "evicted" ? store.name : undefined,
    topology: { superNode: replica.pool },
    chip: profile.chip,
    epoch: String(epoch),
  };
}

/** `brought`: what another replica of its store has in its own memory can be written there for it, and is `remote`. */
function endpointSpeed({ profile, store }: Replica, brought: boolean): EndpointSpeed {
  const prompt = Math.min(ratePromptTokens, profile.kvCapacityTokens);
  const batch = Math.max(1, Math.min(profile.maxSequences, 16));
  const reload: Partial<Record<Tier, number>> = {};
  for (const tier of profile.tiers) reload[tier.tier] = tier.msPerToken;
  if (store !== undefined) {
    if (brought) reload.remote = store.tier.msPerToken + store.saveMsPerToken;
    reload[store.tier.tier] = store.tier.msPerToken;
  }
  return {
    prefillTokensPerSecond: (prompt / prefillMs(profile, prompt, 0)) * 1000,
    attentionMsPerPair: profile.step.attentionMsPerPair,
    decodeTokensPerSecond: 1000 / stepMs(profile, 0, 0, batch, batch * 1024),
    reloadMsPerToken: reload,
    overheadMs: profile.callOverheadMs,
  };
}
