// The data of a run, before any code: what an agent was pinned to, what has happened so far, and what may happen next.
import type { Message } from "../gateway/index.ts";
import type { Manifest } from "./manifestSchema.ts";

/** Kinds of tools, as they stand in pinned tools. */
export type ToolKindName = "mcp";

/** A tool as it was when the agent was published. A server that defines it otherwise today is not called. */
export interface PinnedTool {
  /** What it is reached by. Versions that were published before there were kinds have none in the database: they are `mcp`. */
  kind: ToolKindName;
  name: string;
  server: string;
  url: string;
  secret?: string;
  description: string;
  /** JSON Schema of its arguments. */
  inputSchema: Record<string, unknown>;
  /** Of name, description, schemas and annotations (canonical JSON, SHA-256). */
  hash: string;
  effect: boolean;
  acceptsKey: boolean;
  lookup?: { name: string; hash: string };
  seconds: number;
  slow: boolean;
}

/** An immutable version: the manifest with everything it depends on. */
export interface Published {
  manifest: Manifest & { model: string };
  tools: PinnedTool[];
  /**
   * `independent`: the evidence holds no model's words (taint.ts), and an effect with a lookup is shown as the lookup says. Absent in
   * versions that were published before that was checked: their evidence is what the tools answered.
   */
  evidence?: "independent";
  /** Source of the verifier as a blob, and its identity as outcomes name it: `id@version sha256:…`. */
  verifier?: { ref: string; name: string };
}

/** What a model step left behind. `value` is the parsed decision where one was asked for. */
export interface ModelOutput {
  content: string | null;
  tool_calls?: ToolCall[];
  value?: unknown;
}

export interface ToolCall {
  id: string;
  name: string;
  /** As the model wrote them: JSON text, or what was meant to be. */
  arguments: string;
}

/** A step that has been taken, with its output at hand. */
export interface StepResult {
  number: number;
  kind: "model" | "tool" | "wait" | "verify";
  name: string;
  status: "completed" | "failed";
  output: unknown;
  errorMessage?: string;
}

/** Everything `next` decides from. */
export interface RunState {
  run: string;
  published: Published;
  input: unknown;
  /** In order; `steps[n].number === n`. */
  steps: StepResult[];
  /** Prompt and output tokens of all calls so far. */
  tokensUsed: number;
}

/** What a run does next. The interpreter decides it, the shell (turn.ts) does it and writes what came of it. */
export type Action =
  | {
      type: "model";
      name: string;
      messages: Message[];
      /** What is new to the model in this step, as the step's input. */
      asked: unknown;
      /** Shape that the answer must have. */
      schema?: Record<string, unknown>;
      tools?: PinnedTool[];
      maxTokens: number;
    }
  | {
      type: "tool";
      name: string;
      tool: PinnedTool;
      arguments: Record<string, unknown>;
      /** Step that decided the call and its place among that decision's calls: with the run, the effect's key. */
      decidedBy: { step: number; ordinal: number };
      /** Whether a failure of the tool ends the run or is told to the model. */
      failure: "ends" | "told";
    }
  /** A tool call that cannot be made: written as a failed step, so that the model can do better. */
  | { type: "refuse"; name: string; input: unknown; message: string }
  | { type: "wait"; name: string; seconds: number }
  /** Asks the system of an effect what it keeps under the effect's key, for the evidence. */
  | { type: "lookup"; name: string; tool: PinnedTool; decidedBy: { step: number; ordinal: number } }
  | { type: "verify"; name: string; evidence: Record<string, unknown> }
  | { type: "finish"; output: unknown }
  | { type: "fail"; code: string; message: string };
