// Why something about an agent did not work: a code, a sentence for a person, and what to do next. They become HTTP answers in
// routes.ts and a run's `error_code` and `error_message` in the interpreter.

/** What is wrong at one place of a manifest. Lines count from 1; undefined when the manifest came as an object. */
export interface Problem {
  path: string;
  line?: number;
  message: string;
}

export class ManifestError extends Error {
  readonly code = "manifest_invalid";
  readonly problems: Problem[];
  readonly hint = "The fields are described in docs/agents.md; editors check them with docs/schemas/agent.json.";

  constructor(problems: Problem[], file = "agent.yaml") {
    super(
      problems
        .map(({ path, line, message }) => `${line ? `${file}:${line}: ` : ""}${path ? `${path}: ` : ""}${message}`)
        .join("\n"),
    );
    this.name = "ManifestError";
    this.problems = problems;
  }
}

/** A failure of a step that ends the run, or that `retryAfterMs` allows to try again. */
export class StepError extends Error {
  readonly code: string;
  readonly retryAfterMs: number | undefined;
  /** Nothing is broken, there is only a queue: tried again for as long as the run may live. */
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
