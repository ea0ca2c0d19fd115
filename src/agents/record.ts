// What is kept of runs, steps and effects: the core records, spelled once. runs.ts and effects.ts write their rows, read.ts reads them,
// and api/resources/run.ts maps them to what /api shows.
import type { CallCost, CallUsage } from "../gateway/index.ts";
import type { OutcomeRecord } from "../ledger/index.ts";
import type { Manifest } from "./manifestSchema.ts";

export type RunStatus = "queued" | "running" | "waiting" | "completed" | "failed" | "stopped";

/** Whose a thing is: what a reader must name to be shown it. */
export interface Viewer {
  organisation: string;
  project: string;
}

export interface RunRecord {
  id: string;
  agent: { id: string; name: string };
  /** Number of the agent's version. */
  version: number;
  status: RunStatus;
  errorCode: string | undefined;
  errorMessage: string | undefined;
  /** When a waiting run goes on by itself; undefined: when a person decides. */
  wakesAt: Date | undefined;
  /** Steps that are written. */
  steps: number;
  /** Sum of its calls. */
  usage: CallUsage;
  currency: string;
  outcome: OutcomeRecord | undefined;
  createdAt: Date;
  startedAt: Date | undefined;
  endedAt: Date | undefined;
}

/** A run with its payloads, its steps and what it waited for. */
export interface RunDetailRecord extends RunRecord {
  input: unknown;
  output: unknown;
  stepList: StepDetail[];
  /** Milliseconds that all its calls waited for their turn, those that failed included. */
  queuedMs: number;
  waits: WaitRecord[];
}

/** Why a run did not go on: one for each step and reason. */
export interface WaitRecord {
  step: number;
  code: string;
  /** Of the newest wait. */
  message: string;
  times: number;
  /** In all; while it waits, until now. */
  waitedMs: number;
  beganAt: Date;
  isWaiting: boolean;
  until: Date | undefined;
}

/** What a step leaves behind, with references to its payloads. */
export interface StepRecord {
  number: number;
  kind: "model" | "tool" | "wait" | "verify";
  name: string;
  status: "completed" | "failed";
  inputRef: string | null;
  outputRef: string | null;
  call?: string;
  effect?: string;
  errorMessage?: string;
  startedAt: Date;
  /** The time of writing where absent. */
  endedAt?: Date;
}

/** A step that is written, with its payloads and what its call cost. */
export interface StepDetail extends StepRecord {
  input: unknown;
  output: unknown;
  cost: CallCost;
  /** The effect that the step's tool had. */
  done: EffectRecord | undefined;
  endedAt: Date;
}

export type EffectState = "planned" | "claimed" | "done" | "unknown";

export interface EffectRecord {
  key: string;
  tool: string;
  state: EffectState;
  /** How often the tool was called. */
  attempts: number;
  /** The person's word that stands where the tool's answer would. */
  attested: { by: string; note: string; at: Date } | undefined;
}

export interface AgentRecord {
  id: string;
  name: string;
  /** Number of the newest version. */
  version: number;
  model: string;
  createdAt: Date;
  runs: { total: number; running: number; waiting: number; failed: number };
  outcomes: { passed: number; failed: number };
}

/** An agent with its newest manifest and its versions, newest first. */
export interface AgentDetailRecord extends AgentRecord {
  manifest: Manifest;
  versions: { number: number; id: string; createdAt: Date }[];
}

/** What live listeners are told. */
export type RunEvent = { type: "run"; run: RunRecord } | { type: "step"; run: string; step: StepDetail };
