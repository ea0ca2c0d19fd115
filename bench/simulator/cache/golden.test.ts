// Exact reference results on real traces. The traces are not in the repository; without them these tests say so by name.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import "../../../test/setup/costly.ts";
import { readAgentSessions } from "../../../src/simulator/traces/agentFiles.ts";
import { findTrace } from "../../../src/simulator/traces/files.ts";
import { readMooncake } from "../../../src/simulator/traces/mooncake.ts";
import type { Workload } from "../../../src/simulator/types.ts";
import { blockHitRate, infiniteStudy, lruStudy, tokenHitRate } from "../../../src/simulator/cache/sequence.ts";
import { budgetRules } from "./budgetRules.ts";
import { budgetWorkload } from "./budgetWorkload.ts";
import { runBudget } from "./kvBudget.ts";
import { TtlStudy } from "./ttl.ts";

const conversation = findTrace("mooncake/conversation_trace.jsonl.gz");
const arxivHead = findTrace("mooncake/arxiv_trace_head1000.jsonl.gz");
const lruReference = findTrace("mooncake/lru_reference.csv");
const sessions = findTrace("claude-code-kvct/traces.compact.jsonl.gz");
const ttlReference = findTrace("claude-code-kvct/ttl_reference.csv");

const csv = (path: string) => {
  const [head, ...rows] = readFileSync(path, "utf8").trim().split("\n");
  const names = head!.split(",");
  return rows.map((row) => Object.fromEntries(row.split(",").map((cell, i) => [names[i]!, cell])));
};

describe.skipIf(!conversation || !arxivHead || !lruReference)("Mooncake traces (needs LINESHAFT_TRACES)", () => {
  it("finds 105,710 of 288,500 conversation blocks in an infinite cache, and every row of lru_reference.csv", async () => {
    const workloads: Record<string, Workload> = {
      conversation: await readMooncake(conversation!),
      arxiv_head1000: await readMooncake(arxivHead!),
    };
    const ideal = infiniteStudy(workloads["conversation"]!);
    expect([ideal.hitBlocks, ideal.totalBlocks]).toEqual([105_710, 288_500]);
    for (const row of csv(lruReference!)) {
      const count = lruStudy(workloads[row["trace"]!]!, Number(row["capacity_blocks"]));
      expect({
        row,
        hit: count.hitBlocks,
        total: count.totalBlocks,
        block: Number(blockHitRate(count).toFixed(5)),
        token: Number(tokenHitRate(count).toFixed(5)),
      }).toEqual({
        row,
        hit: Number(row["hit_blocks"]),
        total: Number(row["total_blocks"]),
        block: Number(row["block_hit_rate"]),
        token: Number(row["token_hit_rate"]),
      });
      expect(Number(row["capacity_blocks"])).toBe(Math.floor(Number(row["capacity_tokens"]) / 512));
    }
  });
});

describe.skipIf(!sessions || !ttlReference)("agent sessions (needs LINESHAFT_TRACES)", () => {
  it("reproduces every row of ttl_reference.csv", async () => {
    const rows = csv(ttlReference!);
    const study = new TtlStudy(rows.map((row) => (row["ttl_s"] === "inf" ? Infinity : Number(row["ttl_s"]))));
    for await (const session of readAgentSessions(sessions!)) study.add(session);
    study.counts.forEach((count, i) => {
      const row = rows[i]!;
      expect([row["ttl_s"], count.hitBlocks, count.totalBlocks, count.recomputedTokens]).toEqual([
        row["ttl_s"],
        Number(row["hit_blocks"]),
        Number(row["total_blocks"]),
        Number(row["recomputed_tokens"]),
      ]);
      expect(count.hitBlocks / count.totalBlocks).toBeCloseTo(Number(row["block_hit_rate"]), 4);
    });
  });

  it("costs the tool window no more than printed in docs/simulator.md, told of ends or not", async () => {
    const recorded = [];
    for await (const session of readAgentSessions(sessions!)) recorded.push(session);
    const workload = budgetWorkload(recorded, { seed: 1, alive: 32, meanStartGapS: 60 });
    const printed = [
      [0.5, 1.2845, 1.1095],
      [0.1, 1.3855, 1.3705],
    ] as const;
    for (const [share, untold, told] of printed.slice(0, Number(process.env["BUDGET_SHARES"] ?? 1))) {
      const tokens = share * workload.workingSetTokens;
      const best = runBudget(workload, budgetRules.clairvoyant, tokens).recomputedTokens;
      const costOf = (of: "untold" | "told"): number => {
        const rule = budgetRules[of].find(({ name }) => name.startsWith("tool-window"))!;
        return runBudget(workload, rule, tokens).recomputedTokens / best;
      };
      expect([share, costOf("untold") < untold, costOf("told") < told]).toEqual([share, true, true]);
    }
  });
});
