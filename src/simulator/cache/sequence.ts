// Cache studies without time: one pool, calls in order, what share of prompt blocks would have been hits. The definitions
// are those of the golden files: a hit is the leading run of resident blocks; all blocks of a call are inserted at its
// arrival; blocks are touched leaf first, so that the root ends most recent and leaves are evicted before their parents.
import type { Workload } from "../types.ts";
import { LruBlocks } from "./lru.ts";

/** Result of one study. */
interface HitCount {
  capacityBlocks: number;
  hitBlocks: number;
  totalBlocks: number;
  /** Sum over calls of min(block tokens x hit blocks, prompt tokens). */
  hitTokens: number;
  totalTokens: number;
}

export function blockHitRate(count: HitCount): number {
  return count.totalBlocks === 0 ? 0 : count.hitBlocks / count.totalBlocks;
}

export function tokenHitRate(count: HitCount): number {
  return count.totalTokens === 0 ? 0 : count.hitTokens / count.totalTokens;
}

/** LRU pool of `capacityBlocks`. Complexity: a few array writes a block. */
export function lruStudy(workload: Workload, capacityBlocks: number): HitCount {
  const cache = new LruBlocks(workload.blockCount, capacityBlocks);
  return study(workload, capacityBlocks, (blocks) => {
    let hit = 0;
    while (hit < blocks.length && cache.has(blocks[hit]!)) hit++;
    for (let i = blocks.length - 1; i >= 0; i--) cache.touch(blocks[i]!);
    cache.trim();
    return hit;
  });
}

/**
 * A pool without bound: the ideal that every placement is measured against. `outputs`: whether blocks that an output completes count as
 * cached, where the trace tells them; else prompts alone do.
 */
export function infiniteStudy(workload: Workload, outputs = true): HitCount {
  const seen = new Uint8Array(workload.blockCount);
  return study(workload, Infinity, (blocks, outputBlocks) => {
    let hit = 0;
    while (hit < blocks.length && seen[blocks[hit]!] === 1) hit++;
    for (let i = hit; i < blocks.length; i++) seen[blocks[i]!] = 1;
    if (outputs) for (let i = 0; i < outputBlocks.length; i++) seen[outputBlocks[i]!] = 1;
    return hit;
  });
}

function study(
  workload: Workload,
  capacityBlocks: number,
  access: (blocks: Int32Array, outputBlocks: Int32Array) => number,
): HitCount {
  const count: HitCount = { capacityBlocks, hitBlocks: 0, totalBlocks: 0, hitTokens: 0, totalTokens: 0 };
  for (const call of workload.calls) {
    const hit = access(call.blocks, call.outputBlocks ?? noBlocks);
    count.hitBlocks += hit;
    count.totalBlocks += call.blocks.length;
    count.hitTokens += Math.min(hit * workload.blockTokens, call.promptTokens);
    count.totalTokens += call.promptTokens;
  }
  return count;
}

const noBlocks = new Int32Array(0);
