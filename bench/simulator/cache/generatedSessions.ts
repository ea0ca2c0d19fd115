// Agent sessions made from a seed, for the budget study: waits of other laws than the recorded sessions have, so that no rule is judged
// only on the data that it was looked at with.
//
//   heavy tail   tools by a lognormal law, people by a Pareto law up to half a day: waits of all lengths, without a scale
//   two paces    half of the sessions have tools that are thirty times as slow; people answer within a minute or the next morning
//   batch        no people: a run ends after its last tool; one tool in ten takes five minutes
//   short chats  three questions on average, few tools: most of what idles has ended
import { Random } from "../../../src/simulator/random.ts";
import type { AgentRequest, AgentSession } from "../../../src/simulator/traces/agentFiles.ts";

interface Law {
  /** Seconds that a tool takes. `slow`: the session is one of the slow half. */
  toolS(random: Random, slow: boolean): number;
  /** Seconds until a person asks again. */
  turnS(random: Random): number;
  /** Mean number of a session's turns, and of a turn's tool calls; both geometric. */
  turns: number;
  tools: number;
}

const laws = {
  "heavy tail": {
    toolS: (random) => random.lognormal(20, 1.5),
    turnS: (random) => Math.min(43_200, 20 / (1 - random.next())),
    turns: 10,
    tools: 6,
  },
  "two paces": {
    toolS: (random, slow) => random.lognormal(slow ? 60 : 2, 0.5),
    turnS: (random) => (random.next() < 0.8 ? random.exponential(45) : 43_200 + random.exponential(7200)),
    turns: 8,
    tools: 8,
  },
  batch: {
    toolS: (random) => (random.next() < 0.9 ? random.exponential(5) : 300 + random.exponential(10)),
    turnS: () => 0,
    turns: 1,
    tools: 40,
  },
  "short chats": {
    toolS: (random) => random.exponential(8),
    turnS: (random) => random.lognormal(180, 1),
    turns: 3,
    tools: 1,
  },
} satisfies Record<string, Law>;

export type GeneratedKind = keyof typeof laws;
export const generatedKinds = Object.keys(laws) as GeneratedKind[];

const blockTokens = 64;
/** A session that has grown to this length begins anew behind its system prompt. */
const longestBlocks = 2500;

/** So many sessions of a kind; the same seed gives the same sessions. */
export function generatedSessions(kind: GeneratedKind, count: number, seed: number): AgentSession[] {
  const random = Random.stream(seed, `agent sessions: ${kind}`);
  return Array.from({ length: count }, (_, number) => generate(laws[kind], `${kind} ${number}`, random));
}

function generate(law: Law, id: string, random: Random): AgentSession {
  const slow = random.next() < 0.5;
  const requests: AgentRequest[] = [];
  const systemBlocks = 100 + random.below(200);
  let freshFrom = systemBlocks;
  let freshBlocks = 1 + random.below(200);
  let startS = 0;
  const turns = geometric(law.turns, random);
  for (let turn = 0; turn < turns; turn++) {
    const tools = geometric(law.tools, random);
    for (let step = 0; step <= tools; step++) {
      const outputTokens = 50 + random.below(800);
      const blocks = systemBlocks + freshBlocks;
      const asksTool = step < tools;
      const apiS = 1 + outputTokens / 60;
      requests.push({
        startS,
        apiS,
        promptTokens: blocks * blockTokens + random.below(blockTokens),
        outputTokens,
        runs: [0, systemBlocks, freshFrom, freshBlocks],
        blocks,
        stop: asksTool ? "tool_use" : "end_turn",
      });
      startS += apiS + (asksTool ? law.toolS(random, slow) : law.turnS(random));
      freshBlocks += Math.ceil(outputTokens / blockTokens) + random.below(40);
      if (systemBlocks + freshBlocks <= longestBlocks) continue;
      freshFrom += freshBlocks;
      freshBlocks = 50;
    }
  }
  const main = { id: "main", offsetS: 0, requests };
  return { id, blockTokens, sharedTokens: systemBlocks * blockTokens, main, subagents: [] };
}

/** At least 1, with the given mean. */
function geometric(mean: number, random: Random): number {
  return mean <= 1 ? 1 : 1 + Math.floor(Math.log(1 - random.next()) / Math.log(1 - 1 / mean));
}
