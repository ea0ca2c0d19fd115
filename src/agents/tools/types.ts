// The seam between a run and what its tools are reached by. A kind of tool (MCP today; HTTP, another agent and code later) is a folder
// here that implements `ToolKind` and passes suite.ts; toolbox.ts sends each call to the kind that the tool was pinned with.
import { StepError } from "../errors.ts";
import type { PinnedTool, ToolKindName } from "../types.ts";

/** Where a server of tools is, and what it is called with. */
export interface ToolServerAddress {
  kind: ToolKindName;
  url: string;
  /** Its name in the agent's manifest, for messages. */
  server?: string;
  /** Name of the project's secret that is sent to it. */
  secret?: string;
}

/** A tool as its server defines it now. */
export interface ToolDefinition {
  name: string;
  description: string;
  /** JSON Schema of its arguments. */
  inputSchema: Record<string, unknown>;
  /** Of all that the definition promises (definition.ts). Throws StepError `tool_unusable` when the definition cannot be kept. */
  hash(): string;
}

export interface ToolAnswer {
  /** Structured content where the tool gave it, its text otherwise. At most `limits.toolResultBytes` as JSON. */
  output: unknown;
  /** The tool itself says that it did not do what was asked. */
  isError: boolean;
}

/** What a call needs to know of a pinned tool. */
export type CalledTool = Pick<
  PinnedTool,
  "kind" | "name" | "url" | "secret" | "hash" | "server" | "effect" | "seconds"
>;

export interface ToolCallOptions {
  /** Whose secrets and connections are used. */
  project: string;
  /** Goes to the tool, so that it can tell a repetition from a new call. */
  effectKey?: string;
  signal?: AbortSignal;
}

export interface ToolKind {
  /**
   * All tools of a server, as it defines them now. Throws StepError: `tool_unreachable` (with a time to try again), `secret_...` when
   * it cannot be reached with that secret.
   */
  list(server: ToolServerAddress, project: string): Promise<ToolDefinition[]>;
  /**
   * Calls a pinned tool after comparing its definition with the pinned one. Throws ToolNotSentError (`tool_changed`, or
   * `tool_unreachable` with a time to try again) when the call was certainly not sent. Every failure after that is an answer with
   * `isError`, or a ToolUncertainError: of an effect, an answer that cannot be kept is one too, because its work may be done.
   */
  call(tool: CalledTool, args: Record<string, unknown>, options: ToolCallOptions): Promise<ToolAnswer>;
  /** Closes its connections. Never throws. */
  close(): Promise<void>;
}

/** The call was certainly not sent, so it may be made again whatever the tool does. Only this class says so. */
export class ToolNotSentError extends StepError {}

/** The call was sent, and no answer came that can be kept: the tool may have done its work. */
export class ToolUncertainError extends StepError {
  /** The tool answered, but not in a way that can be kept: called again it would answer the same. */
  readonly answered: boolean;

  constructor(
    code: string,
    message: string,
    options: { retryAfterMs?: number; answered?: boolean; cause?: unknown } = {},
  ) {
    super(code, message, options);
    this.answered = options.answered ?? false;
  }
}
