// A simulated replica as the scheduler's policies see an endpoint: the same facts that the gateway measures of a real one.
import { ratePromptTokens, type EndpointSpec, type EndpointSpeed, type Tier } from "../../scheduler/index.ts";
import { prefillMs, stepMs, type EngineProfile } from "../engine/profile.ts";
import type { Replica } from "../fleet.ts";

export function endpointSpec(replica: Replica, blockTokens: number, maxInFlight = 1_000_000): EndpointSpec {
  const { profile } = replica;
  const lower = profile.tiers.reduce((sum, tier) => sum + tier.capacityTokens, 0);
  return {
    id: replica.id,
    rank: 0,
    deployment: "simulated",
    role: replica.role,
    space: profile.model,
    blockTokens,
    kvCapacityTokens: profile.kvCapacityTokens,
    totalKvCapacityTokens: profile.kvCapacityTokens + lower,
    slots: profile.maxSequences,
    maxInFlight,
    knowledge: "events",
    speed: endpointSpeed(profile),
    topology: { superNode: replica.pool },
    chip: profile.chip,
    pricePerHour: profile.pricePerChipHour * profile.chips,
    epoch: "0",
  };
}

function endpointSpeed(profile: EngineProfile): EndpointSpeed {
  const prompt = Math.min(ratePromptTokens, profile.kvCapacityTokens);
  const batch = Math.max(1, Math.min(profile.maxSequences, 16));
  const reload: Partial<Record<Tier, number>> = {};
  for (const tier of profile.tiers) reload[tier.tier] = tier.msPerToken;
  return {
    prefillTokensPerSecond: (prompt / prefillMs(profile, prompt, 0)) * 1000,
    attentionMsPerPair: profile.step.attentionMsPerPair,
    decodeTokensPerSecond: 1000 / stepMs(profile, 0, 0, batch, batch * 1024),
    reloadMsPerToken: reload,
    overheadMs: profile.callOverheadMs,
  };
}
