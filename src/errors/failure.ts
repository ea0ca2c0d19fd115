// The base of every error that is meant to be read. A room derives a class from it only where a catcher tells that class apart by
// `instanceof`; everything else throws the base itself, with a code. Codes are stable: docs/errors.md lists them, and statuses.ts gives
// each code its HTTP status.
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
  /** Only for an error that repeats another system's answer, or a code with several statuses: used instead of the code's status. */
  status?: number | undefined;
  /** Headers of the answer that say more (how a limit stands). */
  headers?: Readonly<Record<string, string>> | undefined;
  cause?: unknown;
}

/** An error with a stable code, a sentence, the reason, what to do next, and the HTTP status that it is answered with. */
export class LineshaftError extends Error {
  readonly code: string;
  readonly why: string | undefined;
  readonly hint: string | undefined;
  readonly param: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
  /** The HTTP status of the answer: as given, else the code's, else 500. */
  readonly status: number;
  /**
   * Whether it may be shown to clients as it is. False where neither the code nor the caller gives a status: HTTP says `internal_error`.
   */
  readonly isPublic: boolean;

  constructor(detail: FailureDetail) {
    super(detail.message, { cause: detail.cause });
    this.name = new.target.name;
    this.code = detail.code;
    this.why = detail.why;
    this.hint = detail.hint;
    this.param = detail.param;
    this.retryAfterSeconds = detail.retryAfterSeconds;
    this.headers = detail.headers;
    const status = detail.status ?? statusOf(detail.code);
    this.status = status ?? 500;
    this.isPublic = status !== undefined;
  }
}
