// Words for error codes of the API, and what to do. A code without words is shown as it is. docs/errors.md explains all codes.

/** What happened, and what to do about it where a person can do something. */
type Words = [meaning: string, remedy?: string];

const statusPage = "The Models page shows what runs, and its last error.";

const words: Record<string, Words> = {
  // Refused before a request to an engine.
  budget_exceeded: [
    "a budget is used up",
    "Raise the budget on the Access page or with lineshaft budgets set, or wait until its period ends.",
  ],
  budget_held: [
    "a budget is held by other calls",
    "Try again when the calls under way have ended, or raise the budget.",
  ],
  budget_leased: ["a budget's rest is with other gateway processes", "Try again in a moment."],
  context_length_exceeded: [
    "too long for the model's context",
    "Shorten the prompt or lower max_tokens. The Models page shows the limit of each deployment.",
  ],
  rate_limit_exceeded: [
    "a limit on use is used up",
    "Try again when its window has passed, or raise the limit on the Access page.",
  ],
  call_over_limit: [
    "larger than a limit on use allows at once",
    "Shorten the prompt, or raise the limit on the Access page.",
  ],
  queue_full: ["the queue is full", "Send fewer calls at once, or add a replica or an engine."],
  deadline_unreachable: ["it could not begin in time", "Allow a longer deadline, or try again when less is waiting."],
  no_endpoint: ["no endpoint could take it", statusPage],
  model_not_found: ["there is no such model", "The Models page lists the names that are served."],
  model_unpriced: ["the model has no price", "Add the engine again with --price-in N --price-out N. 0 is a price."],
  unsupported_parameter: [
    "a parameter is not supported",
    "Leave the parameter out: docs/api.md lists what is honoured.",
  ],
  invalid_json_schema: ["a JSON schema is not valid", "Correct the schema in response_format or tools."],
  invalid_request: ["the request is not valid", "The answer named the field; docs/api.md describes it."],
  invalid_value: ["a field has a wrong value", "The answer named the field; docs/api.md describes it."],
  missing_required_parameter: ["a field is missing", "The answer named the field; docs/api.md describes it."],
  media_unavailable: ["a medium could not be fetched", "Send the medium itself, as a data: address."],
  media_not_read: ["the model reads text only", "Send text, or ask a model that reads media."],
  media_busy: ["too many media are being fetched", "Try again, or send the media themselves as data: addresses."],
  checks_busy: ["the machine is too busy to check schemas", "Try again."],
  verifiers_busy: ["the machine is too busy for verdicts", "It goes on by itself."],
  store_unavailable: ["the database does not answer", "Look at postgres on the Models page, then try again."],
  storage_full: ["the disk is full", "Free some space on the disk that holds Lineshaft's home."],
  shutting_down: ["Lineshaft was stopping", "Try again."],
  process_ended: [
    "Lineshaft's process ended under it",
    "Send it again. What its engine had done until then is estimated.",
  ],
  // Failed at an engine.
  engine_unreachable: ["the engine does not answer", "Look whether its address answers: lineshaft engines list."],
  engine_failed: ["the engine failed", `${statusPage} Then try again.`],
  engine_busy: ["the engine is busy", "Try again later, or add a replica or an engine."],
  engine_quota: ["the provider's quota is used up", "Look at the account with the provider."],
  engine_timeout: ["the engine took too long", statusPage],
  engine_stream_cut: ["the engine's stream broke off", "Try again."],
  engine_invalid_answer: ["the engine's answer is not valid", "Look whether its URL speaks OpenAI's protocol."],
  engine_redirected: ["the engine redirected", "Add the engine with the address that it redirects to."],
  engine_auth_failed: [
    "the engine refused its key",
    "Set the variable that holds the engine's key, then start Lineshaft again.",
  ],
  engine_model_missing: ["the engine does not have the model", "Look at the model's name: lineshaft engines list."],
  kv_lost: ["its KV was lost in transfer", "Try again."],
  output_invalid: ["the answer did not fit the schema", "Try again, or ask a larger model."],
  internal_error: ["Lineshaft failed", "The log has it under the request's id: please report it."],
  client_gone: ["the client went away"],
  answered_elsewhere: ["another endpoint answered first"],
  // Runs.
  tool_unreachable: ["a tool's server does not answer", "Look whether the address in the agent's manifest answers."],
  tool_changed: [
    "a tool's definition changed since the agent was published",
    "Look at the change, then publish the agent again.",
  ],
  secret_missing: ["a secret is missing", "Set the secret that the agent's manifest names."],
  arguments_invalid: ["a tool's arguments do not fit", "Correct the values that the agent's manifest maps."],
  reference_unresolved: ["a reference cannot be resolved", "Correct the values that the agent's manifest maps."],
  step_failed: ["a step failed", "The step that failed shows why."],
  tool_failed: ["a tool failed", "The step that failed shows what the tool said."],
  limit_steps: ["the limit on steps was reached", "Raise limits.steps in the agent's manifest."],
  limit_tokens: ["the limit on tokens was reached", "Raise limits.tokens in the agent's manifest."],
  limit_seconds: ["the limit on time was reached", "Raise limits.seconds in the agent's manifest."],
  step_timeout: ["a step took too long", "Look at the model or the tool that the step used."],
  effect_unknown: ["an effect's end is not known", "Look at the tool's own records, then settle the effect by hand."],
  effect_mismatch: ["an effect would have been repeated with other arguments"],
  decision_invalid: ["the model's answer had the wrong shape", "Try again, or give the agent a larger model."],
  decision_cut: ["the model's answer was cut off", "Raise generation.max_tokens in the agent's manifest."],
  verifier_failed: ["the verifier failed", "Correct the verifier, then publish the agent again."],
  secret_host_refused: ["a secret is not for that host", "The message has the command that sets it for the host."],
  secret_unreadable: ["a secret cannot be read", "The message has the command that sets it again."],
  effect_not_found: ["an effect that was done is not found again", "Look at the tool's own records."],
  lookup_failed: ["a lookup did not say whether an effect happened", "Look at the tool's own records."],
  tool_unknown: ["a step names an unknown tool", "Publish the agent again."],
  step_unstorable: ["what a step answered cannot be stored", "Make the answer flatter and smaller."],
  home_copied: ["the home was copied", "The run goes on in the original home."],
  key_revoked: ["its key was revoked", "Start the run again with another key."],
  stopped: ["stopped by a person"],
};

export const wordOf = (code: string): string => words[code]?.[0] ?? code;

/** What to do about a call or run that ended with this code. Undefined when a person can do nothing. */
export const remedyOf = (code: string): string | undefined => words[code]?.[1];
