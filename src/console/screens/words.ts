// Codes of the API in words. A code that is not here is shown as it is: docs/errors.md explains every one.
const words: Record<string, string> = {
  budget_exceeded: "a budget is used up",
  budget_held: "a budget is held by other calls",
  context_length_exceeded: "too long for the model's context",
  engine_unreachable: "the engine does not answer",
  engine_failed: "the engine failed",
  engine_busy: "the engine is busy",
  engine_timeout: "the engine took too long",
  engine_stream_cut: "the engine's stream broke off",
  engine_invalid_answer: "the engine's answer made no sense",
  engine_auth_failed: "the engine refused its key",
  engine_model_missing: "the engine does not have the model",
  client_gone: "the client went away",
  queue_full: "the queue is full",
  shutting_down: "Lineshaft was stopping",
  model_not_found: "there is no such model",
  model_unpriced: "the model has no price",
  unsupported_parameter: "a parameter is not supported",
  schema_violation: "the answer did not fit the schema",
  output_invalid: "the answer did not fit the schema",
  step_failed: "a step failed",
  step_limit: "the limit on steps was reached",
  token_limit: "the limit on tokens was reached",
  money_limit: "the limit on money was reached",
  time_limit: "the limit on time was reached",
  effect_unknown: "an effect's end is not known",
  decision_invalid: "the model's answer had the wrong shape",
  stopped: "stopped by a person",
};
export const wordOf = (code: string): string => words[code] ?? code;

/** What to do about a call that ended so, where there is something to do. */
const remedies: Record<string, string> = {
  budget_exceeded:
    "Raise the budget on the Access page or with `lineshaft budgets set`, or wait until its period ends.",
  context_length_exceeded:
    "Shorten the prompt or lower max_tokens; the Models page shows the limit of each deployment.",
  engine_unreachable: "Look whether the engine's address answers: `lineshaft engines list`.",
  engine_auth_failed: "Set the variable that holds the engine's key, then start Lineshaft again.",
  queue_full: "Send fewer calls at once, or add an engine: `lineshaft engines add`.",
  model_unpriced: "Give the engine prices: `lineshaft engines add … --price-in N --price-out N`.",
  effect_unknown: "Look at the tool's own records, then settle the effect by hand.",
};
export const remedyOf = (code: string): string | undefined => remedies[code];
