// Generator of agents with sub-agents: a main thread calls tools, now and then asks a person, and sends out sub-agents, each a thread of
// its own with a context of its own; the main thread goes on when all of them have ended. Closed loop.
import { Random } from "../../random.ts";
import type { SimCall, Workload } from "../../types.ts";
import { WorkloadBuilder } from "../builder.ts";
import { growPrompts, type SharedStart, sharedStart, type Turn } from "./growing.ts";

interface AgentTreeOptions {
  runs: number;
  seed: number;
  /** Kinds of agents; runs of one kind begin with the same system prompt and tools, of about this many tokens. */
  kinds?: number;
  systemTokens?: number;
  /** Mean number of calls in a main thread and in a sub-agent. */
  turns?: number;
  subAgentTurns?: number;
  /** Mean tokens that a task, and a tool's result, add to a context; mean tokens of an answer. */
  taskTokens?: number;
  toolTokens?: number;
  outputTokens?: number;
  /** Mean duration of a tool, and of a person's silence. */
  toolS?: number;
  personS?: number;
  /** Shares of a main thread's calls that are followed by a person's answer and by sub-agents; most sub-agents at once. */
  personShare?: number;
  forkShare?: number;
  forks?: number;
  tenants?: number;
  /** Mean time between the starts of runs. */
  startGapS?: number;
  blockTokens?: number;
}

export function agentTrees(options: AgentTreeOptions): Workload {
  const builder = new WorkloadBuilder("agent trees", options.blockTokens ?? 128);
  const random = Random.stream(options.seed, "agent trees");
  const trees = new Trees(options, builder, random);
  const startGapMs = (options.startGapS ?? 1) * 1000;
  let startMs = 0;
  for (let run = 0; run < options.runs; run++) {
    trees.addRun(run, startMs);
    startMs += random.exponential(startGapMs);
  }
  return builder.build();
}

/** When a call is sent: `delayMs` after the calls in `after` have ended, or by the clock. */
interface When {
  after: readonly number[];
  delayMs: number;
}

/** A thread to add: whose it is, how its contexts begin, its mean number of calls, and when its first call is sent. */
interface ThreadPlan {
  tenant: string;
  program: string;
  thread: string;
  start: SharedStart;
  meanTurns: number;
  first: When;
  main: boolean;
}

class Trees {
  readonly #options: AgentTreeOptions;
  readonly #builder: WorkloadBuilder;
  readonly #random: Random;
  readonly #blockTokens: number;
  readonly #systems: SharedStart[];
  readonly #subAgentSystem: SharedStart;
  readonly #tenantOf: () => number;
  #threads = 0;

  constructor(options: AgentTreeOptions, builder: WorkloadBuilder, random: Random) {
    const { kinds = 4, systemTokens = 8000, tenants = 6, blockTokens = 128 } = options;
    this.#options = options;
    this.#builder = builder;
    this.#random = random;
    this.#blockTokens = blockTokens;
    this.#systems = Array.from({ length: kinds }, () =>
      sharedStart(builder, this.#tokens(systemTokens, 0.3), blockTokens),
    );
    this.#subAgentSystem = sharedStart(builder, this.#tokens(systemTokens / 2, 0.3), blockTokens);
    this.#tenantOf = random.zipf(tenants, 1);
  }

  addRun(run: number, startMs: number): void {
    this.#addThread({
      tenant: `tenant ${this.#tenantOf()}`,
      program: `run ${run}`,
      thread: "main",
      start: this.#systems[this.#random.below(this.#systems.length)]!,
      meanTurns: this.#options.turns ?? 14,
      first: { after: [], delayMs: startMs },
      main: true,
    });
  }

  /** Adds the calls of a thread, and those of the sub-agents that it sends out. Answers its last call. */
  #addThread(plan: ThreadPlan): SimCall {
    const { tenant, program, thread, main } = plan;
    const turns = this.#turns(plan.meanTurns);
    let when = plan.first;
    let call!: SimCall;
    growPrompts(this.#builder, plan.start, turns, this.#blockTokens).forEach((prompt, turn) => {
      const person = main && this.#random.next() < (this.#options.personShare ?? 0.08);
      const then = turn === turns.length - 1 ? "end" : person ? "turn" : "tool";
      call = this.#builder.add({ tenant, program, thread, ...prompt, ...when, then });
      if (then === "end") return;
      const forks = main && !person && this.#random.next() < (this.#options.forkShare ?? 0.12);
      when = forks ? this.#fork(plan, call) : { after: [call.index], delayMs: this.#waitMs(then) };
    });
    return call;
  }

  /** Sends out sub-agents after a call. Answers when the main thread goes on: after the last of them. */
  #fork({ tenant, program }: ThreadPlan, { index }: SimCall): When {
    const count = 1 + this.#random.below(this.#options.forks ?? 4);
    const ends = Array.from({ length: count }, () =>
      this.#addThread({
        tenant,
        program,
        thread: `sub-agent ${this.#threads++}`,
        start: this.#subAgentSystem,
        meanTurns: this.#options.subAgentTurns ?? 5,
        first: { after: [index], delayMs: startSubAgentMs },
        main: false,
      }),
    );
    return { after: [index, ...ends.map((end) => end.index)], delayMs: startSubAgentMs };
  }

  #waitMs(then: "turn" | "tool"): number {
    const { personS = 20, toolS = 3 } = this.#options;
    return then === "turn" ? this.#random.exponential(personS * 1000) : this.#random.lognormal(toolS * 1000, 1.2);
  }

  /** Turns of a thread: a task, then results of tools. */
  #turns(mean: number): Turn[] {
    const { taskTokens = 2500, toolTokens = 1500, outputTokens = 250 } = this.#options;
    const count = 1 + Math.floor(this.#random.exponential(mean - 0.5));
    return Array.from({ length: Math.min(count, mean * 5) }, (_, turn) => ({
      addedTokens: this.#tokens(turn === 0 ? taskTokens : toolTokens, 1),
      outputTokens: this.#tokens(outputTokens, 0.8),
    }));
  }

  #tokens(mean: number, spread: number): number {
    return Math.max(1, Math.round(this.#random.lognormal(mean, spread)));
  }
}

/** From a call that asks for sub-agents to their first calls, and from the last one's end to the next call of the main thread. */
const startSubAgentMs = 100;
