// Refusals of the chat layer. Their statuses are in errors/statuses.ts; they become HTTP at the worker's edge (answers.ts).
import { LineshaftError } from "../../../errors/index.ts";

/**
 * A conversation, tool list or tool choice that cannot be rendered or enforced. `param` is the field, in OpenAI's notation
 * (`messages[2].content`).
 */
export function chatRefused(code: string, message: string, param?: string): LineshaftError {
  return new LineshaftError({ code, message, param, hint: "Change what is named and send the call again." });
}

/** A JSON schema that cannot be enforced exactly: which keyword, where (JSON pointer, `#` is the root), and what to do. */
export function schemaRefused(keyword: string, path: string, sentence: string): LineshaftError {
  return new LineshaftError({
    code: "unsupported_schema",
    message: `JSON schema keyword \`${keyword}\` at ${path}: ${sentence}`,
    param: "response_format",
    hint: `Remove \`${keyword}\` at ${path}, or check it yourself.`,
  });
}

/**
 * A construct that no grammar can express. It is thrown by code that does not know the keyword and its place; the caller adds both and
 * makes a refusal of it. `unsupported`: a construct that the message names. `too_complex`, `too_large`: a bound of automata, of grammars.
 * `endless`: a rule that never ends.
 */
export class CannotExpress extends Error {
  readonly reason: "unsupported" | "too_complex" | "too_large" | "endless";
  constructor(reason: CannotExpress["reason"], message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "CannotExpress";
    this.reason = reason;
  }
}
