// The fleet of the bench: many endpoints of one deployment, filled through the same events that an engine sends. A fleet
// serves agents: a system prompt that every endpoint has, conversations that one to three endpoints have, and one long
// document that every endpoint has to a different depth (the worst case of a match: no two endpoints alike).
import {
  type BlockHashes,
  type EndpointSpec,
  HashChain,
  type PromptBlocks,
  type Rng,
  Scheduler,
  seededRng,
  tokenSpace,
} from "../../src/scheduler/index.ts";

export interface FleetOptions {
  endpoints: number;
  blockTokens: number;
  /** Blocks held, summed over endpoints, that the fleet is filled with. */
  heldBlocks: number;
  promptTokens: number;
  systemTokens: number;
  seed: number;
  maxBytes: number;
}

export interface Fleet {
  scheduler: Scheduler;
  /** A turn: a prompt whose first part is cached somewhere, and the tokens it had a turn before. */
  conversations: { tokens: Uint32Array; cachedTokens: number; prompt: PromptBlocks }[];
  document: PromptBlocks;
  /** What was inserted, for the tree to compare with. */
  inserted: { hashes: BlockHashes; blocks: number; slot: number }[];
  held: number;
  fillMs: number;
}

export const deployment = "bench";

export function specOf(index: number, blockTokens: number, space: string): EndpointSpec {
  return {
    id: `endpoint-${index}`,
    rank: 0,
    deployment,
    role: "both",
    space,
    blockTokens,
    kvCapacityTokens: 4_000_000,
    totalKvCapacityTokens: 16_000_000,
    slots: 64,
    maxInFlight: 256,
    knowledge: "events",
    speed: {
      prefillTokensPerSecond: 16_000,
      decodeTokensPerSecond: 40,
      reloadMsPerToken: { host: 0.01 },
      overheadMs: 5,
    },
    topology: {},
  };
}

export function randomTokens(count: number, rng: Rng): Uint32Array {
  const tokens = new Uint32Array(count);
  // A xorshift from a random start: billions of tokens are made for a large index.
  let state = Math.floor(rng() * 0xffff_ffff) | 1;
  for (let at = 0; at < count; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    tokens[at] = (state >>> 0) % 150_000;
  }
  return tokens;
}

/** Fills a scheduler's index with the fleet's blocks. `keep`: conversations that are remembered for measuring. */
export function buildFleet(options: FleetOptions, keep: number, remember: boolean): Fleet {
  const rng = seededRng(options.seed);
  const space = tokenSpace("bench-model", options.blockTokens);
  const scheduler = new Scheduler({ rng, index: { maxBytes: options.maxBytes } });
  const sequences = new Uint32Array(options.endpoints);
  for (let i = 0; i < options.endpoints; i++) {
    scheduler.apply({ at: 0, type: "endpoint_joined", spec: specOf(i, options.blockTokens, space.name) });
  }
  const fleet: Fleet = {
    scheduler,
    conversations: [],
    document: { space: space.name, hashes: new Uint32Array(0), blocks: 0, blockTokens: options.blockTokens },
    inserted: [],
    held: 0,
    fillMs: 0,
  };
  const hold = (endpoint: number, tokens: Uint32Array, prompt: PromptBlocks, from: number, to: number): void => {
    if (to <= from) return;
    // The engine's own hashes: another function of the same prefix.
    const name = (at: number): bigint =>
      (BigInt(prompt.hashes[at * 2]!) << 32n) | BigInt((prompt.hashes[at * 2 + 1]! ^ (endpoint * 2654435761)) >>> 0);
    const blocks = Array.from({ length: to - from }, (_, at) => name(from + at));
    const start = performance.now();
    scheduler.apply({
      at: 0,
      type: "kv",
      endpoint: `endpoint-${endpoint}`,
      rank: 0,
      event: {
        type: "stored",
        sequence: sequences[endpoint]!++,
        epoch: "1",
        blocks,
        parent: from === 0 ? null : name(from - 1),
        tokens: tokens.subarray(from * options.blockTokens, to * options.blockTokens),
      },
    });
    fleet.fillMs += performance.now() - start;
    fleet.held += to - from;
    if (remember) fleet.inserted.push({ hashes: prompt.hashes, blocks: to, slot: endpoint });
  };
  const system = randomTokens(options.systemTokens, rng);
  const systemBlocks = Math.floor(options.systemTokens / options.blockTokens);
  const systemPrompt = new HashChain(space, "").update(system);
  for (let i = 0; i < options.endpoints; i++) hold(i, system, systemPrompt, 0, systemBlocks);

  const document = randomTokens(options.promptTokens, rng);
  fleet.document = new HashChain(space, "").update(document);
  for (let i = 0; i < options.endpoints; i++) {
    hold(
      i,
      document,
      fleet.document,
      0,
      Math.max(1, Math.floor((fleet.document.blocks * (i + 1)) / options.endpoints)),
    );
  }
  let saidAt = performance.now();
  while (fleet.held < options.heldBlocks || fleet.conversations.length < keep) {
    if (performance.now() - saidAt > 5000) {
      saidAt = performance.now();
      const share = Math.floor((100 * fleet.held) / Math.max(1, options.heldBlocks));
      process.stderr.write(`filling the index: ${(fleet.held / 1e6).toFixed(1)} M blocks, ${share} %\n`);
    }
    const tokens = new Uint32Array(options.promptTokens);
    tokens.set(system);
    tokens.set(randomTokens(options.promptTokens - options.systemTokens, rng), options.systemTokens);
    const prompt = new HashChain(space, "").update(tokens);
    const cached = Math.floor(prompt.blocks * (0.9 + rng() * 0.1));
    const holders = 1 + Math.floor(rng() * 3);
    for (let copy = 0; copy < holders; copy++) {
      // A turn at a time, as a conversation grows.
      const endpoint = Math.floor(rng() * options.endpoints);
      const depth = copy === 0 ? cached : Math.floor(systemBlocks + (cached - systemBlocks) * rng());
      const turn = Math.ceil(2000 / options.blockTokens);
      for (let from = systemBlocks; from < depth; from += turn)
        hold(endpoint, tokens, prompt, from, Math.min(depth, from + turn));
    }
    if (fleet.conversations.length < keep)
      fleet.conversations.push({ tokens, cachedTokens: cached * options.blockTokens, prompt });
  }
  return fleet;
}
