// One attempt of a simulated call: what the scheduler knows of it, and the simulation's own state of it. A call that is sent again after a
// failure is a new attempt with an id of its own, as in the gateway.
import type { Call, PromptBlocks } from "../../scheduler/index.ts";
import type { Task } from "../engine/task.ts";
import type { SimCall } from "../types.ts";

/** Simulated prompts are blocks by number; the views of caches read them from the attempt (knowledge.ts). */
const noHashes: PromptBlocks[] = [];

/** What a gateway knows of a call when it comes, beside its identity. */
interface Expected {
  deployment: string;
  /** Name of the conversation; undefined where clients do not name conversations. */
  program: string | undefined;
  parent: string | undefined;
  outputTokens: number;
  deadlineMs: number | undefined;
  /** Whether no person waits for it. */
  batch: boolean;
  avoid: readonly string[];
}

export class Attempt implements Call {
  readonly sim: SimCall;
  /** 1 for the first attempt of its call. */
  readonly number: number;
  readonly id: string;
  readonly tenant: string;
  readonly program: string | undefined;
  readonly parent: string | undefined;
  readonly affinity: string;
  readonly deployment: string;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly prompt: PromptBlocks[] = noHashes;
  readonly deadlineMs: number | undefined;
  readonly batch: boolean;
  readonly priority: number;
  readonly avoid: readonly string[];
  /** Number of the gateway that it came to. */
  gateway = 0;
  /** Number of the replica that decodes, and of the one that prefills for it; -1 before they are chosen. */
  decoder = -1;
  prefiller = -1;
  /** The leg at the decoder, and the one at the prefiller. */
  task: Task | undefined = undefined;
  prefillTask: Task | undefined = undefined;
  /** Whether the client has its first token: from then on a failure cannot be hidden by another attempt. */
  answering = false;

  constructor(sim: SimCall, number: number, expected: Expected) {
    this.sim = sim;
    this.number = number;
    this.id = number === 1 ? String(sim.index) : `${sim.index}.${number}`;
    this.tenant = String(sim.tenant);
    this.program = expected.program;
    this.parent = expected.parent;
    this.affinity = String(sim.program);
    this.deployment = expected.deployment;
    this.promptTokens = sim.promptTokens;
    this.outputTokens = expected.outputTokens;
    this.deadlineMs = expected.deadlineMs;
    this.batch = expected.batch;
    this.priority = sim.priority ?? 0;
    this.avoid = expected.avoid;
  }
}

/** Position in the workload of the call that an attempt's id belongs to. */
export function callOfAttempt(id: string): number {
  return Number.parseInt(id, 10);
}
