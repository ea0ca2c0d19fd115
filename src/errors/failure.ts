// The base of every error that is meant to be read. A room that must be told apart by its catchers derives a class from it; every
// other room throws it as it stands, with a code. Codes are stable: docs/errors.md lists them, and statuses.ts gives each one its
// HTTP status.
import { statusOf } from "./statuses.ts";

export interface FailureDetail {
  /** Stable name, in snake_case; listed in docs/errors.md when it can reach a person. */
  code: string;
  /** What failed, as one sentence for a person. */
  message: string;
  /** Why, with the value that was wrong. */
  why?: string | undefined;
  /** What to do next. */
  hint?: string | undefined;
  /** The field of the request that is wrong, in the form that OpenAI's clients know (`messages.0.content`). */
  param?: string | undefined;
  /** Seconds after which the same request may succeed (`Retry-After`). */
  retryAfterSeconds?: number | undefined;
  /** Only for what another system answered: its own HTTP status instead of the code's. */
  status?: number | undefined;
  cause?: unknown;
}

export class LineshaftError extends Error {
  readonly code: string;
  readonly why: string | undefined;
  readonly hint: string | undefined;
  readonly param: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  /** HTTP status that the API answers with. */
  readonly status: number;

  constructor(detail: FailureDetail) {
    super(detail.message, { cause: detail.cause });
    this.name = new.target.name;
    this.code = detail.code;
    this.why = detail.why;
    this.hint = detail.hint;
    this.param = detail.param;
    this.retryAfterSeconds = detail.retryAfterSeconds;
    this.status = detail.status ?? statusOf(detail.code);
  }
}
