// Calls, attempts and decisions as /api shows them: the only mapping from their core records (gateway/calls/record.ts).
import type { AttemptResource, Call, DecisionResource } from "../../contract/index.ts";
import type { AttemptRecord, CallRecord, CandidateRecord, DecisionRecord } from "../../gateway/index.ts";

/** `agentName`: the name of the call's agent, where it is known; its id is shown otherwise. */
export function callResource(call: CallRecord, agentName?: string): Call {
  return {
    id: call.id,
    endpoint: call.endpoint,
    model: call.model,
    asked_model: call.askedModel ?? null,
    stream: call.stream,
    status: call.status,
    error_code: call.errorCode ?? null,
    finish_reason: call.finishReason ?? null,
    cut_by: call.cutBy ?? null,
    key: call.key ?? null,
    agent: agentName ?? call.agent ?? null,
    run: call.run ?? null,
    program: call.program ?? null,
    batch: call.batch ?? null,
    prompt_tokens: call.promptTokens,
    cached_tokens: call.cachedTokens,
    output_tokens: call.outputTokens,
    saved_tokens: call.savedTokens ?? null,
    price_nano: call.priceNano.toString(),
    currency: call.currency,
    started_at: call.startedAt.toISOString(),
    first_token_ms: call.firstTokenMs ?? null,
    duration_ms: call.durationMs,
  };
}

export function attemptResource(attempt: AttemptRecord): AttemptResource {
  return {
    id: attempt.id,
    number: attempt.number,
    engine: attempt.engine,
    model: attempt.model ?? null,
    why: attempt.why ?? null,
    status: attempt.status,
    error_code: attempt.errorCode ?? null,
    decision: attempt.decision ? decisionResource(attempt.decision) : null,
    cached_by_tier: attempt.cachedByTier ?? null,
    phases: attempt.phases.map(({ name, startMs, endMs }) => ({ name, start_ms: startMs, end_ms: endMs })),
    prompt_tokens: attempt.promptTokens,
    cached_tokens: attempt.cachedTokens,
    output_tokens: attempt.outputTokens,
    price_nano: attempt.priceNano.toString(),
    claimed_prompt_tokens: attempt.claimed?.promptTokens ?? null,
    claimed_output_tokens: attempt.claimed?.outputTokens ?? null,
    suspense_nano: attempt.suspenseNano.toString(),
  };
}

function decisionResource(decision: DecisionRecord): DecisionResource {
  return {
    policy: decision.policy,
    chosen: candidateResource(decision.chosen),
    runner_up: decision.runnerUp ? candidateResource(decision.runnerUp) : null,
    prefill: decision.prefill ? candidateResource(decision.prefill) : null,
    candidates: decision.candidates,
    ...(decision.excluded.length > 0 && { excluded: decision.excluded }),
    queued_ms: decision.queuedMs,
    terms: decision.terms,
    reason: decision.reason,
  };
}

function candidateResource({ endpoint, score, numbers }: CandidateRecord): DecisionResource["chosen"] {
  return { endpoint, score: score ?? null, numbers };
}
