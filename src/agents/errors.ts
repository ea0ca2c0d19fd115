// Why something about an agent did not work. On HTTP these errors are answered like every other; in a run they become its `error_code`
// and `error_message`.
import { LineshaftError } from "../errors/index.ts";
import { ManifestError, type Problem } from "../fleet/manifest.ts";

export const manifestHint =
  "The fields are described in docs/agents.md; editors check them with docs/schemas/agent.json.";

/** Every problem of an agent's manifest, with its field and its line. */
export function agentManifestError(problems: Problem[], file = "agent.yaml"): ManifestError {
  return new ManifestError(problems, file, manifestHint);
}

/** A failure of a step that ends the run, or that `retryAfterMs` allows to try again. */
export class StepError extends LineshaftError {
  readonly retryAfterMs: number | undefined;
  /** There is only a queue, or an effect may be done and must be found: tried again for as long as the run may live. */
  readonly patient: boolean;

  constructor(
    code: string,
    message: string,
    options: { retryAfterMs?: number; patient?: boolean; cause?: unknown } = {},
  ) {
    const { retryAfterMs, cause } = options;
    super({ code, message, retryAfterSeconds: retryAfterMs && Math.ceil(retryAfterMs / 1000), cause });
    this.retryAfterMs = retryAfterMs;
    this.patient = options.patient ?? false;
  }
}

/** Another process works on the run, or took it over. The activation that catches this writes nothing and is tried again later. */
export class RunBusyError extends LineshaftError {
  constructor(run: string) {
    super({ code: "run_busy", message: `Another activation works on ${run}.` });
  }
}
