// The words of the simulator: what a workload is, once it has been read from any trace or generated.
// Everything downstream (cache studies, engine model, policies, reports) knows only these shapes.
import { LineshaftError } from "../errors/index.ts";

/**
 * Content of a prompt as block ids. Ids are dense (0 .. workload.blockCount - 1) and chained: equal id at position i
 * means that the whole prefix up to and including block i is equal. Views into one shared buffer are normal; never write.
 */
export type BlockIds = Int32Array;

/** Called when a block appears in or leaves a replica (in any tier) or a shared store: what KV events would say. */
export type BlockListener = (block: number, present: boolean) => void;

/** One logical model request of a workload. */
export interface SimCall {
  /** Position in `workload.calls`. */
  readonly index: number;
  /** The paying organisation or client, as a dense number. */
  readonly tenant: number;
  /** The tree of calls it belongs to (an agent's run with its sub-agents, a client's session): dense number. */
  readonly program: number;
  /** The linear conversation inside the program (main thread or one sub-agent): dense number. */
  readonly thread: number;
  /** Whole prompt, in tokens. */
  readonly promptTokens: number;
  /** Tokens generated; at least 1. */
  readonly outputTokens: number;
  /** Prompt content; covers `blocks.length * workload.blockTokens` tokens, of which the last block may be partial. */
  readonly blocks: BlockIds;
  /** Blocks beyond the prompt that its output completes and a later prompt begins with, where the trace tells; else absent. */
  readonly outputBlocks?: BlockIds;
  /** Calls that must have ended before this one is sent (empty: it arrives by the clock). */
  readonly after: readonly number[];
  /** With no predecessors the arrival in ms from the workload's start; else the delay in ms after the last of them ended. */
  readonly delayMs: number;
  /** Whether no person waits for it (its class of service); absent: as the fleet's clients are, batch where an agent runtime sends it. */
  readonly batch?: boolean;
  /** Order among the calls of its tenant, higher first; 0 when absent. */
  readonly priority?: number;
  /** Time after its sending until which its first token is of use, ms; the fleet's when absent. */
  readonly deadlineMs?: number;
  /** Why the thread waits after this call: a tool runs, a person thinks, or the thread has ended. */
  readonly then: "tool" | "turn" | "end";
}

/** A workload: what is asked, when, and how the asks depend on each other. */
export interface Workload {
  readonly name: string;
  /** Tokens in a full block. */
  readonly blockTokens: number;
  /** Number of different blocks; ids are smaller. */
  readonly blockCount: number;
  /** Calls, ordered so that predecessors come before their successors. */
  readonly calls: readonly SimCall[];
  readonly tenants: number;
  /** Their names, by number. */
  readonly tenantNames: readonly string[];
  readonly programs: number;
  readonly threads: number;
  /** What was left out or assumed while reading, in sentences for the report. */
  readonly notes: readonly string[];
}

/** Why a trace, a fleet or a study cannot be used. `hint` says what to do. */
export class SimulatorError extends LineshaftError {
  constructor(code: string, message: string, hint: string) {
    super({ code, message, hint });
  }
}
