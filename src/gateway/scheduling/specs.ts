// An endpoint as the scheduler knows it: what the endpoint says of itself, and careful guesses where it says nothing.
import type { RegisteredEndpoint } from "../../engines/index.ts";
import {
  type EndpointSpec,
  firstSpeed,
  maxInFlightOf,
  type Space,
  textSpace,
  tokenSpace,
} from "../../scheduler/index.ts";

/** Calls that an endpoint which names no slots is given at once: enough to let it decide itself. */
const unknownSlots = 256;
/** KV that an endpoint which names none is taken to hold, in tokens: more than its slots can fill. */
const unknownKvTokens = 100_000_000;
/** Block size where an engine tokenises and names none: what most engines use. */
const usualBlockTokens = 16;

/** A state that lies elsewhere is written before it is read, and writing takes about three times as long. */
const bringPrice = 4;

/** How the prompts of an endpoint's calls are cut into blocks. */
export function spaceOf({ name, facts }: RegisteredEndpoint): Space {
  // A provider is not asked to count every prompt.
  if (!facts?.capabilities.tokenize || facts.capabilities.countsAfar) return textSpace(name);
  return tokenSpace(name, facts.blockTokens ?? usualBlockTokens);
}

/** Tokens of KV that the endpoint's device holds, as far as it says. */
export const kvCapacityOf = ({ facts }: RegisteredEndpoint): number => facts?.kv?.deviceTokens ?? unknownKvTokens;

export function specOf(endpoint: RegisteredEndpoint): EndpointSpec {
  const { facts, role, node, bounds } = endpoint;
  const space = spaceOf(endpoint);
  const most = bounds.concurrency ?? Infinity;
  const slots = Math.min(facts?.slots ?? unknownSlots, most);
  const { reloadMsPerToken = {}, pool } = facts?.kv ?? {};
  const slowest = Math.max(...Object.values(reloadMsPerToken));
  const kvCapacityTokens = kvCapacityOf(endpoint);
  return {
    id: endpoint.endpoint,
    rank: 0,
    deployment: endpoint.name,
    role,
    space: space.name,
    blockTokens: space.blockTokens,
    kvCapacityTokens,
    totalKvCapacityTokens: facts?.kv?.totalTokens ?? kvCapacityTokens,
    slots,
    // No call waits inside an engine whose owner bounds its calls: it waits in the queue, where it may go elsewhere.
    maxInFlight: Math.min(maxInFlightOf(slots), most),
    knowledge: facts?.capabilities.kvEvents ? "events" : "usage",
    speed: {
      ...firstSpeed[endpoint.kind === "embedded" ? "embedded" : "added"],
      reloadMsPerToken: pool === undefined ? reloadMsPerToken : { ...reloadMsPerToken, remote: bringPrice * slowest },
    },
    ...(pool !== undefined && { pool }),
    topology: node === undefined ? {} : { node },
    ...(facts?.epoch !== undefined && { epoch: facts.epoch }),
  };
}
