// Recorded agent sessions laid out on one clock for the KV-budget study: which session asks when, with which blocks, and when each block is
// asked for again (which only the clairvoyant may look at).
import { Random } from "../../../src/simulator/random.ts";
import type { AgentSession } from "../../../src/simulator/traces/agentFiles.ts";
import { blockArrays, idRange, recordedCalls } from "../../../src/simulator/traces/agentSessions.ts";

/** One request on the study's clock. */
export interface BudgetRequest {
  atS: number;
  endS: number;
  thread: number;
  session: number;
  promptTokens: number;
  outputTokens: number;
  blocks: Int32Array;
  /** Why the thread waits afterwards; "unknown" where the capture has no reason. */
  then: "tool" | "turn" | "unknown";
  /** Whether it is its thread's last, which only a rule that is told of ends may know. */
  last: boolean;
  /** Positions at which the next use changes, and from there on the time of the next request that has the block (Infinity: none). */
  nextUse: readonly { from: number; atS: number }[];
}

export interface BudgetWorkload {
  requests: readonly BudgetRequest[];
  blockTokens: number;
  blockCount: number;
  threads: number;
  /** Peak over time of the sum of live contexts, tokens. */
  workingSetTokens: number;
  promptTokens: number;
}

export interface BudgetOptions {
  seed: number;
  /** Sessions alive at once: the first start as a Poisson process, and each that ends is followed by the next. */
  alive: number;
  /** Mean of the exponential time before a session starts (after the one before it, or after a place became free). */
  meanStartGapS: number;
}

/** Lays sessions out on one clock. */
export function budgetWorkload(sessions: readonly AgentSession[], options: BudgetOptions): BudgetWorkload {
  const random = Random.stream(options.seed, "session starts");
  const requests: BudgetRequest[] = [];
  const places: number[] = [];
  let threads = 0;
  let firstId = 0;
  let startS = 0;
  sessions.forEach((session, number) => {
    if (places.length < options.alive) startS += random.exponential(options.meanStartGapS);
    else {
      const freeS = Math.min(...places);
      places.splice(places.indexOf(freeS), 1);
      startS = freeS + random.exponential(options.meanStartGapS);
    }
    const laid = layOut(session, number, startS, threads, firstId);
    requests.push(...laid.requests);
    threads += 1 + session.subagents.length;
    firstId += idRange(session);
    places.push(laid.requests.reduce((end, request) => Math.max(end, request.endS), startS));
  });
  requests.sort((a, b) => a.atS - b.atS);
  const blockTokens = sessions[0]?.blockTokens ?? 64;
  return {
    requests,
    blockTokens,
    blockCount: firstId,
    threads,
    workingSetTokens: peakContext(requests),
    promptTokens: requests.reduce((sum, request) => sum + request.promptTokens, 0),
  };
}

function layOut(session: AgentSession, number: number, startS: number, firstThread: number, firstId: number) {
  const recorded = recordedCalls(session);
  const arrays = blockArrays(session, firstId);
  const zeroMs = recorded[0]?.startMs ?? 0;
  const threadOf = new Map([session.main, ...session.subagents].map((thread, i) => [thread.id, firstThread + i]));
  const lastOf = new Map<string, number>();
  recorded.forEach((call, i) => lastOf.set(call.thread, i));
  const atS = recorded.map((call) => startS + (call.startMs - zeroMs) / 1000);
  const nextUse = nextUses(
    recorded.map((call) => arrays.get(call.request)!),
    atS,
    firstId,
    idRange(session),
  );
  const requests = recorded.map((call, i): BudgetRequest => ({
    atS: atS[i]!,
    endS: startS + (call.endMs - zeroMs) / 1000,
    thread: threadOf.get(call.thread)!,
    session: number,
    promptTokens: call.request.promptTokens,
    outputTokens: call.request.outputTokens,
    blocks: arrays.get(call.request)!,
    then: waitOf(call.request.stop),
    last: lastOf.get(call.thread) === i,
    nextUse: nextUse[i]!,
  }));
  return { requests };
}

function waitOf(stop: string): "tool" | "turn" | "unknown" {
  if (stop === "tool_use") return "tool";
  return stop === "" ? "unknown" : "turn";
}

/** For each request, the steps of "when is the block at this position asked for again"; times never fall along a prompt. */
function nextUses(prompts: readonly Int32Array[], atS: readonly number[], firstId: number, range: number) {
  const seen = new Float64Array(range).fill(Infinity);
  const steps: { from: number; atS: number }[][] = [];
  for (let i = prompts.length - 1; i >= 0; i--) {
    const own: { from: number; atS: number }[] = [];
    const blocks = prompts[i]!;
    for (let p = 0; p < blocks.length; p++) {
      const next = seen[blocks[p]! - firstId]!;
      if (own.length === 0 || own[own.length - 1]!.atS !== next) own.push({ from: p, atS: next });
      seen[blocks[p]! - firstId] = atS[i]!;
    }
    steps[i] = own;
  }
  return steps;
}

function peakContext(requests: readonly BudgetRequest[]): number {
  const changes: { atS: number; thread: number; tokens: number }[] = [];
  for (const request of requests) {
    changes.push({ atS: request.atS, thread: request.thread, tokens: request.promptTokens + request.outputTokens });
    if (request.last) changes.push({ atS: request.endS, thread: request.thread, tokens: 0 });
  }
  changes.sort((a, b) => a.atS - b.atS);
  const context = new Map<number, number>();
  let sum = 0;
  let peak = 0;
  for (const { thread, tokens } of changes) {
    sum += tokens - (context.get(thread) ?? 0);
    context.set(thread, tokens);
    peak = Math.max(peak, sum);
  }
  return peak;
}
