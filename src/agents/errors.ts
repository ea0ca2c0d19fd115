// Why something about an agent did not work: a code, a sentence for a person, and what to do next. They become HTTP answers in
// routes.ts and a run's `error_code` and `error_message` in the interpreter.

import { ManifestError, type Problem } from "../fleet/manifest.ts";

export const manifestHint =
  "The fields are described in docs/agents.md; editors check them with docs/schemas/agent.json.";

/** Every problem of an agent's manifest, with its field and its line. */
export class AgentManifestError extends ManifestError {
  constructor(problems: Problem[], file = "agent.yaml") {
    super(problems, file, manifestHint);
  }
}

/** A failure of a step that ends the run, or that `retryAfterMs` allows to try again. */
export class StepError extends Error {
  readonly code: string;
  readonly retryAfterMs: number | undefined;
  /** There is only a queue, or an effect may be done and must be found: tried again for as long as the run may live. */
  readonly patient: boolean;

  constructor(
    code: string,
    message: string,
    options: { retryAfterMs?: number; patient?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "StepError";
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
    this.patient = options.patient ?? false;
  }
}

/** Another process works on the run, or took it over: whoever sees this writes nothing and comes back later. */
export class RunBusyError extends Error {
  readonly code = "run_busy";
  constructor(run: string) {
    super(`Another activation works on ${run}.`);
    this.name = "RunBusyError";
  }
}
