// Refusals of the chat layer. Both become a 400 in OpenAI's error shape at the worker's HTTP edge.

/** A conversation, tool list or tool choice that cannot be rendered or enforced. `status` is 400: the caller can mend it. */
export class ChatError extends Error {
  readonly status = 400;
  readonly code: string;
  /** The request field concerned, in OpenAI's notation (`messages[2].content`). */
  readonly param: string | undefined;

  constructor(code: string, message: string, param?: string) {
    super(message);
    this.name = "ChatError";
    this.code = code;
    this.param = param;
  }
}

/** A JSON schema that cannot be enforced exactly: which keyword, where (JSON pointer, `#` is the root), and what to do. */
export class SchemaError extends Error {
  readonly status = 400;
  readonly code = "unsupported_schema";
  readonly keyword: string;
  readonly path: string;

  constructor(keyword: string, path: string, sentence: string) {
    super(`JSON schema keyword \`${keyword}\` at ${path}: ${sentence}`);
    this.name = "SchemaError";
    this.keyword = keyword;
    this.path = path;
  }
}

/**
 * Something that no grammar says, found below the level that knows keyword and place, and made a refusal there. `unsupported`: a construct
 * that the message names. `too_complex`, `too_large`: a bound of automata, of grammars. `endless`: a rule that can only go on for ever.
 */
export class CannotExpress extends Error {
  readonly reason: "unsupported" | "too_complex" | "too_large" | "endless";
  constructor(reason: CannotExpress["reason"], message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "CannotExpress";
    this.reason = reason;
  }
}
