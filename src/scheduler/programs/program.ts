// A program in one deployment, as the scheduler remembers it: its tenant, where its newest KV lies, and what it is doing.
import { programLiveMs } from "../limits.ts";
import { seedInto } from "../prefix/hash.ts";
import type { EndpointState, Tier } from "../types.ts";
import type { ToolKind } from "./toolWindow.ts";
import type { OpenWait, OwnWaits } from "./waits.ts";
import type { Member } from "./workingSet.ts";

/** Kinds of waits that are learned apart. */
export type WaitKind = ToolKind | "unknown";

export interface Program extends Member {
  /** Its name among gateways: `wordKeyOf` of its id. */
  readonly key: string;
  /** Empty until its first call has come. */
  tenant: string;
  /** Whether it has entered the working set, or waits for that, since its first call. */
  admitted: boolean;
  /** Its calls that wait in the queue. */
  waiting: number;
  /** When it was paused first since a call of it was placed. */
  heldSinceMs: number | undefined;
  /** When it was paused last, and when it was let go on. */
  lastPause: { fromMs: number; untilMs: number } | undefined;
  /** Undefined until its first call has come. */
  deployment: string | undefined;
  parent: string | undefined;
  /** Whether the runtime has said anything of it. */
  told: boolean;
  /** Where its newest KV lies. */
  at: EndpointState | undefined;
  tier: Tier;
  /** Whether any of its calls has had a first token, or may have: it has KV somewhere. */
  computed: boolean;
  /** Its calls that compute. */
  calls: number;
  tools: number;
  kind: ToolKind | undefined;
  toolSinceMs: number;
  /** Its own waits by kind, from the first tool on. */
  waits: Map<WaitKind, OwnWaits>;
  /** The wait for the tools that run now. */
  wait: { kind: WaitKind; open: OpenWait } | undefined;
  askAgainMs: number;
  activeMs: number;
  /** When it has begun or ended a call, or was paused or let go on, at whichever gateway that was. */
  changedMs: number;
}

/** The name of a program among gateways: 64 bits of its own, which may be long and which others need not read. */
export function wordKeyOf(id: string): string {
  const hash = new Uint32Array(2);
  seedInto("program", id, hash, 0);
  return `${hash[0]!.toString(36)}-${hash[1]!.toString(36)}`;
}

/** A new program: only its id and its start are known. */
export function newProgram(id: string, now: number): Program {
  return {
    id,
    key: wordKeyOf(id),
    tenant: "",
    admitted: false,
    waiting: 0,
    heldSinceMs: undefined,
    lastPause: undefined,
    deployment: undefined,
    parent: undefined,
    told: false,
    startedMs: now,
    contextTokens: 0,
    atBoundary: true,
    pausedMs: undefined,
    waitsSinceMs: undefined,
    immuneUntilMs: 0,
    at: undefined,
    tier: "device",
    computed: false,
    calls: 0,
    tools: 0,
    kind: undefined,
    toolSinceMs: now,
    waits: new Map(),
    wait: undefined,
    askAgainMs: Number.POSITIVE_INFINITY,
    activeMs: now,
    changedMs: now,
  };
}

/** Of tools that run together the slowest decides. */
export function slower(a: ToolKind | undefined, b: ToolKind | undefined): ToolKind | undefined {
  const order: readonly (ToolKind | undefined)[] = ["quick", undefined, "slow", "approval"];
  return order.indexOf(a) > order.indexOf(b) ? a : b;
}

/** Whether a program will want its KV soon. A program that waits for a person does not count, however long its run lives. */
export function isLive(program: Program, now: number): boolean {
  if (program.calls > 0 || program.waiting > 0 || now - program.activeMs < programLiveMs) return true;
  return program.tools > 0 && program.kind !== "approval";
}

/** Tokens of programs' KV on each device, kept while programs move. */
export class Residence {
  private readonly tokens = new Map<EndpointState, number>();

  /** From now on the program's KV is `tokens` long and lies in `tier` of `at` (undefined: nowhere). */
  move(program: Program, at: EndpointState | undefined, tier: Tier, tokens: number): void {
    if (program.at !== undefined && program.tier === "device") this.add(program.at, -program.contextTokens);
    program.at = at;
    program.tier = tier;
    program.contextTokens = tokens;
    if (at !== undefined && tier === "device") this.add(at, tokens);
  }

  /** Tokens over what the device can hold. */
  fillOf(at: EndpointState): number {
    return (this.tokens.get(at) ?? 0) / Math.max(1, at.spec.kvCapacityTokens);
  }

  forget(at: EndpointState): void {
    this.tokens.delete(at);
  }

  private add(at: EndpointState, tokens: number): void {
    this.tokens.set(at, (this.tokens.get(at) ?? 0) + tokens);
  }
}
