// Builds a workload from whatever a reader finds: gives tenants, programs, threads and blocks their dense numbers, and
// keeps the one invariant that all later code relies on: equal block id at position i means an equal prefix up to i.
import { blockIdsMost, callsMost } from "../limits.ts";
import type { BlockIds, SimCall, Workload } from "../types.ts";
import { tooLarge } from "./files.ts";

/** Keys of the chain map are parent * contentBound + content; both factors keep the product a safe integer. */
const contentBound = 2 ** 27;
const scopeBound = 2 ** 20;

/** What a reader knows of one call; names are any strings, blocks are ids that this builder has given. */
interface CallInput {
  tenant?: string;
  program: string;
  thread?: string;
  promptTokens: number;
  outputTokens: number;
  blocks: BlockIds;
  outputBlocks?: BlockIds;
  after?: readonly number[];
  delayMs: number;
  then?: SimCall["then"];
  batch?: boolean | undefined;
  priority?: number | undefined;
  deadlineMs?: number | undefined;
}

export class WorkloadBuilder {
  readonly calls: SimCall[] = [];
  readonly notes: string[] = [];
  readonly #name: string;
  readonly #blockTokens: number;
  readonly #tenants = new Map<string, number>();
  readonly #programs = new Map<string, number>();
  readonly #threads = new Map<string, number>();
  /** Child block by (parent, content): the chain that makes ids prefix-exact. One flat map: a map a parent costs 10 times. */
  readonly #chains = new Map<number, number>();
  /** Small numbers for contents that are not small numbers themselves. */
  readonly #contents = new Map<bigint | string | number, number>();
  #blocks = 0;
  /** Block ids of all prompts so far. */
  #blockIds = 0;

  constructor(name: string, blockTokens: number) {
    this.#name = name;
    this.#blockTokens = blockTokens;
  }

  /** A block that no other prompt shares. */
  freshBlock(): number {
    return this.#blocks++;
  }

  /** Reserves `count` consecutive fresh ids and returns the first. */
  freshRange(count: number): number {
    const first = this.#blocks;
    this.#blocks += count;
    return first;
  }

  /**
   * Dense, chained ids for a prompt whose blocks are named by content or by chain (numbers, bigints or strings).
   * @param scope prompts share blocks only within one scope (a session whose ids are local to it), 0 to 2^20 - 1
   */
  chain(contents: Iterable<number | bigint | string>, count: number, scope = 0): BlockIds {
    const ids = new Int32Array(count);
    let parent = scope;
    let i = 0;
    for (const content of contents) {
      if (i >= count) break;
      const key = parent * contentBound + this.#contentNumber(content);
      let id = this.#chains.get(key);
      if (id === undefined) this.#chains.set(key, (id = this.#blocks++));
      ids[i++] = id;
      parent = id + scopeBound;
    }
    return i === count ? ids : ids.subarray(0, i);
  }

  #contentNumber(content: number | bigint | string): number {
    if (typeof content === "number" && content >= 0 && content < contentBound / 2) return content;
    let n = this.#contents.get(content);
    if (n === undefined) this.#contents.set(content, (n = contentBound / 2 + this.#contents.size));
    return n;
  }

  /** Throws SimulatorError `trace_too_large` beyond the bounds of limits.ts. */
  add(input: CallInput): SimCall {
    this.#blockIds += input.blocks.length;
    if (this.calls.length >= callsMost || this.#blockIds > blockIdsMost) {
      const what = this.calls.length >= callsMost ? `${callsMost} calls` : `${blockIdsMost} blocks in its prompts`;
      throw tooLarge(`The workload "${this.#name}"`, `it has more than ${what}`);
    }
    const thread = input.thread ?? input.program;
    const call: SimCall = {
      index: this.calls.length,
      tenant: number(this.#tenants, input.tenant ?? "default"),
      program: number(this.#programs, input.program),
      thread: number(this.#threads, `${input.program}\u0000${thread}`),
      promptTokens: Math.max(1, input.promptTokens),
      outputTokens: Math.max(1, input.outputTokens),
      blocks: input.blocks,
      ...(input.outputBlocks === undefined || input.outputBlocks.length === 0
        ? {}
        : { outputBlocks: input.outputBlocks }),
      after: input.after ?? [],
      delayMs: Math.max(0, input.delayMs),
      then: input.then ?? "end",
      ...(input.batch !== undefined && { batch: input.batch }),
      ...(input.priority !== undefined && { priority: input.priority }),
      ...(input.deadlineMs !== undefined && { deadlineMs: input.deadlineMs }),
    };
    this.calls.push(call);
    return call;
  }

  build(): Workload {
    return {
      name: this.#name,
      blockTokens: this.#blockTokens,
      blockCount: this.#blocks,
      calls: this.calls,
      tenants: this.#tenants.size,
      tenantNames: [...this.#tenants.keys()],
      programs: this.#programs.size,
      threads: this.#threads.size,
      notes: this.notes,
    };
  }
}

function number(names: Map<string, number>, name: string): number {
  let n = names.get(name);
  if (n === undefined) names.set(name, (n = names.size));
  return n;
}
