// A program as the scheduler remembers it: whose it is, where its newest KV lies, what it is doing.
import type { EndpointState, Tier } from "../types.ts";
import type { ToolKind } from "./toolWindow.ts";
import type { Member } from "./workingSet.ts";

export interface Program extends Member {
  tenant: string | undefined;
  deployment: string | undefined;
  parent: string | undefined;
  /** Where its newest KV lies. */
  at: EndpointState | undefined;
  tier: Tier;
  calls: number;
  tools: number;
  kind: ToolKind | undefined;
  toolSinceMs: number;
  askAgainMs: number;
  activeMs: number;
}

/** A program of which nothing is known but that it has begun. */
export function newProgram(id: string, now: number): Program {
  return {
    id,
    tenant: undefined,
    deployment: undefined,
    parent: undefined,
    startedMs: now,
    contextTokens: 0,
    atBoundary: true,
    pausedMs: undefined,
    immuneUntilMs: 0,
    at: undefined,
    tier: "device",
    calls: 0,
    tools: 0,
    kind: undefined,
    toolSinceMs: now,
    askAgainMs: Number.POSITIVE_INFINITY,
    activeMs: now,
  };
}

/** Of tools that run together the slowest decides. */
export function slower(a: ToolKind | undefined, b: ToolKind | undefined): ToolKind | undefined {
  const order: readonly (ToolKind | undefined)[] = ["quick", undefined, "slow", "approval"];
  return order.indexOf(a) > order.indexOf(b) ? a : b;
}
