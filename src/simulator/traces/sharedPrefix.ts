// Generator of shared-prefix load, the shape of llm-d's published benchmarks: groups of prompts that begin with the same
// long system prompt, each with a question of its own, in an order that was shuffled once, at a ladder of rates. The same
// prompts come again and again (a full set is groups x promptsPerGroup, and every stage begins with the first), so questions
// are cached too. Arrivals and stages are those of the load generator, inference-perf at its state of September 2025.
import { Random } from "../random.ts";
import type { Workload } from "../types.ts";
import { WorkloadBuilder } from "./builder.ts";

/** One rung of the ladder. */
interface Stage {
  ratePerS: number;
  durationS: number;
  /**
   * `constant`: exponential gaps, stretched to fill the stage exactly. `poisson`: the calls of each second are drawn, and within
   * it their gaps are exponential, stretched so that the last comes at its end.
   */
  arrivals: "poisson" | "constant";
  /** Warm-up rungs run, but reports leave them out. */
  warmUp?: boolean;
}

interface SharedPrefixOptions {
  name: string;
  groups: number;
  promptsPerGroup: number;
  sharedTokens: number;
  questionTokens: number;
  outputTokens: number;
  stages: readonly Stage[];
  seed: number;
  /** Granularity of block ids; must divide the shared tokens. */
  blockTokens?: number;
}

/**
 * The ladder as one workload. A stage starts some seconds after every call of the stage before it has ended, as the load
 * generator does; what earlier stages left in the caches is still there. `stageOf` gives each call's stage.
 */
export function sharedPrefix(options: SharedPrefixOptions): { workload: Workload; stageOf: Int32Array } {
  const blockTokens = options.blockTokens ?? 100;
  const builder = new WorkloadBuilder(options.name, blockTokens);
  const random = Random.stream(options.seed, options.name);
  const prompts = buildPrompts(builder, options, blockTokens);
  random.shuffle(prompts);
  const stageOf: number[] = [];
  let lastOfStage: number[] = [];
  options.stages.forEach((stage, stageNumber) => {
    const times = arrivalTimes(stage, random);
    const begun: number[] = [];
    for (const [i, atMs] of times.entries()) {
      const prompt = prompts[i % prompts.length]!;
      const call = builder.add({
        program: `${prompt.group}`,
        // A prompt that comes again is not the next turn of a conversation.
        thread: String(stageOf.length),
        promptTokens: options.sharedTokens + options.questionTokens,
        outputTokens: options.outputTokens,
        blocks: prompt.blocks,
        after: lastOfStage,
        delayMs: atMs + (stageNumber > 0 ? betweenStagesMs : 0),
      });
      begun.push(call.index);
      stageOf.push(stageNumber);
    }
    lastOfStage = begun;
  });
  return { workload: builder.build(), stageOf: Int32Array.from(stageOf) };
}

/** A second until it looks again whether all have ended (half of it on average), one of rest, and one to fill the queue. */
const betweenStagesMs = 2500;

function arrivalTimes(stage: Stage, random: Random): number[] {
  const count = Math.round(stage.ratePerS * stage.durationS);
  if (stage.arrivals === "constant") return filled(count, stage.durationS * 1000, random);
  const times: number[] = [];
  for (let second = 0; times.length < count; second++) {
    const within = filled(random.poisson(stage.ratePerS), 1000, random);
    for (const atMs of within) if (times.length < count) times.push(second * 1000 + atMs);
  }
  return times;
}

/** Times with exponential gaps, the last of them at `spanMs`. */
function filled(count: number, spanMs: number, random: Random): number[] {
  let sum = 0;
  const times = Array.from({ length: count }, () => (sum += random.exponential(1)));
  return times.map((at) => (at * spanMs) / sum);
}

interface Prompt {
  group: number;
  number: number;
  blocks: Int32Array;
}

function buildPrompts(builder: WorkloadBuilder, options: SharedPrefixOptions, blockTokens: number): Prompt[] {
  const sharedBlocks = Math.floor(options.sharedTokens / blockTokens);
  const ownBlocks = Math.floor((options.sharedTokens + options.questionTokens) / blockTokens) - sharedBlocks;
  const prompts: Prompt[] = [];
  for (let group = 0; group < options.groups; group++) {
    const shared = builder.freshRange(sharedBlocks);
    for (let number = 0; number < options.promptsPerGroup; number++) {
      const own = builder.freshRange(ownBlocks);
      const blocks = new Int32Array(sharedBlocks + ownBlocks);
      for (let i = 0; i < sharedBlocks; i++) blocks[i] = shared + i;
      for (let i = 0; i < ownBlocks; i++) blocks[sharedBlocks + i] = own + i;
      prompts.push({ group, number, blocks });
    }
  }
  return prompts;
}

const ladder = (text: string, arrivals: Stage["arrivals"], warmUp: string): Stage[] =>
  [warmUp, ...text.split(" ")].map((rung, i) => {
    const [rate, seconds] = rung.split("x").map(Number);
    return { ratePerS: rate!, durationS: seconds!, arrivals, ...(i === 0 ? { warmUp: true } : {}) };
  });

/** llm-d's two published workloads, by the specification that stands beside their tables. */
export const llmdWorkloads = {
  "37pct": (seed: number, arrivals: Stage["arrivals"] = "constant") =>
    sharedPrefix({
      name: "llm-d 37 % of capacity",
      groups: 83,
      promptsPerGroup: 3,
      sharedTokens: 8000,
      questionTokens: 1000,
      outputTokens: 1000,
      stages: ladder("3x210 4x180 5x120 6x120 8x90 10x70 12x60 15x50 20x50", arrivals, "9x30"),
      seed,
    }),
  "73pct": (seed: number, arrivals: Stage["arrivals"] = "poisson") =>
    sharedPrefix({
      name: "llm-d 73 % of capacity",
      groups: 150,
      promptsPerGroup: 5,
      sharedTokens: 6000,
      questionTokens: 1200,
      outputTokens: 1000,
      stages: ladder(
        "3x20 10x20 15x20 20x38 22x34 25x30 30x25 35x21 40x38 43x36 46x33 49x30 52x29 55x27 57x26 60x25",
        arrivals,
        "15x50",
      ),
      seed,
    }),
} as const;
