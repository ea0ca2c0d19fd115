// The core records of calls and attempts as rows of their tables, and back. What stands in a column of JSON keeps the names that
// earlier versions wrote, and a field that an earlier version did not write is read as absent.
import type { AttemptRecord, CallRecord, CandidateRecord, DecisionRecord, Phase } from "./record.ts";

/** A row of `calls`, as the database answers it. */
export interface CallRow {
  [column: string]: unknown;
  id: string;
  organisation: string;
  project: string;
  key: string | null;
  agent: string | null;
  run: string | null;
  program: string | null;
  batch: string | null;
  endpoint: CallRecord["endpoint"];
  model: string;
  asked_model: string | null;
  stream: boolean;
  status: CallRecord["status"];
  error_code: string | null;
  finish_reason: string | null;
  cut_by: string | null;
  prompt_tokens: bigint;
  cached_tokens: bigint;
  output_tokens: bigint;
  saved_tokens: bigint | null;
  price_nano: bigint;
  currency: string;
  started_at: Date;
  first_token_ms: number | null;
  duration_ms: number;
}

/** A row of `attempts`. Columns of JSON are as old as the row. */
export interface AttemptRow {
  [column: string]: unknown;
  id: string;
  call: string;
  number: number;
  engine: string;
  model: string | null;
  rate_card: string | null;
  why: AttemptRecord["why"] | null;
  status: AttemptRecord["status"];
  error_code: string | null;
  decision: StoredDecision | null;
  cached_by_tier: Record<string, number> | null;
  timings: StoredPhase[];
  prompt_tokens: bigint;
  cached_tokens: bigint;
  output_tokens: bigint;
  price_nano: bigint;
  claimed_prompt_tokens: bigint | null;
  claimed_output_tokens: bigint | null;
  suspense_nano: bigint;
}

interface StoredPhase {
  name: Phase["name"];
  start_ms: number;
  end_ms: number;
}

interface StoredCandidate {
  endpoint: string;
  score: number | null;
  numbers: Record<string, number>;
}

interface StoredDecision {
  policy: string;
  chosen: StoredCandidate;
  runner_up?: StoredCandidate | null;
  prefill?: StoredCandidate | null;
  candidates: number;
  excluded?: DecisionRecord["excluded"];
  queued_ms?: number;
  terms?: Record<string, number>;
  reason: string;
}

/** As JSON for `json_populate_recordset`: amounts are text, because a JSON number does not hold 64 bits. */
export function callToRow(call: CallRecord) {
  return {
    id: call.id,
    organisation: call.organisation,
    project: call.project,
    key: call.key,
    agent: call.agent,
    run: call.run,
    program: call.program,
    batch: call.batch,
    endpoint: call.endpoint,
    model: call.model,
    asked_model: call.askedModel,
    stream: call.stream,
    status: call.status,
    error_code: call.errorCode,
    finish_reason: call.finishReason,
    cut_by: call.cutBy,
    prompt_tokens: call.promptTokens,
    cached_tokens: call.cachedTokens,
    output_tokens: call.outputTokens,
    saved_tokens: call.savedTokens,
    price_nano: call.priceNano.toString(),
    currency: call.currency,
    started_at: call.startedAt.toISOString(),
    first_token_ms: call.firstTokenMs,
    duration_ms: call.durationMs,
  };
}

export function callOfRow(row: CallRow): CallRecord {
  return {
    id: row.id,
    organisation: row.organisation,
    project: row.project,
    key: row.key ?? undefined,
    agent: row.agent ?? undefined,
    run: row.run ?? undefined,
    program: row.program ?? undefined,
    batch: row.batch ?? undefined,
    endpoint: row.endpoint,
    model: row.model,
    askedModel: row.asked_model ?? undefined,
    savedTokens: row.saved_tokens === null ? undefined : Number(row.saved_tokens),
    stream: row.stream,
    status: row.status,
    errorCode: row.error_code ?? undefined,
    finishReason: row.finish_reason ?? undefined,
    cutBy: row.cut_by ?? undefined,
    promptTokens: Number(row.prompt_tokens),
    cachedTokens: Number(row.cached_tokens),
    outputTokens: Number(row.output_tokens),
    priceNano: row.price_nano,
    currency: row.currency,
    startedAt: row.started_at,
    firstTokenMs: row.first_token_ms ?? undefined,
    durationMs: row.duration_ms,
  };
}

/** As JSON for `json_populate_recordset`. */
export function attemptToRow(attempt: AttemptRecord) {
  return {
    id: attempt.id,
    call: attempt.call,
    number: attempt.number,
    engine: attempt.engine,
    model: attempt.model,
    rate_card: attempt.rateCard,
    why: attempt.why,
    status: attempt.status,
    error_code: attempt.errorCode,
    decision: attempt.decision && decisionToStored(attempt.decision),
    cached_by_tier: attempt.cachedByTier,
    timings: attempt.phases.map(({ name, startMs, endMs }) => ({ name, start_ms: startMs, end_ms: endMs })),
    prompt_tokens: attempt.promptTokens,
    cached_tokens: attempt.cachedTokens,
    output_tokens: attempt.outputTokens,
    price_nano: attempt.priceNano.toString(),
    claimed_prompt_tokens: attempt.claimed?.promptTokens,
    claimed_output_tokens: attempt.claimed?.outputTokens,
    suspense_nano: attempt.suspenseNano.toString(),
  };
}

export function attemptOfRow(row: AttemptRow): AttemptRecord {
  return {
    id: row.id,
    call: row.call,
    number: row.number,
    engine: row.engine,
    model: row.model ?? undefined,
    rateCard: row.rate_card ?? undefined,
    why: row.why ?? undefined,
    status: row.status,
    errorCode: row.error_code ?? undefined,
    decision: row.decision === null ? undefined : decisionOfStored(row.decision),
    cachedByTier: row.cached_by_tier ?? undefined,
    phases: row.timings.map(({ name, start_ms: startMs, end_ms: endMs }) => ({ name, startMs, endMs })),
    promptTokens: Number(row.prompt_tokens),
    cachedTokens: Number(row.cached_tokens),
    outputTokens: Number(row.output_tokens),
    priceNano: row.price_nano,
    claimed:
      row.claimed_prompt_tokens === null
        ? undefined
        : { promptTokens: Number(row.claimed_prompt_tokens), outputTokens: Number(row.claimed_output_tokens) },
    suspenseNano: row.suspense_nano,
  };
}

function decisionToStored(decision: DecisionRecord): StoredDecision {
  return {
    policy: decision.policy,
    chosen: candidateToStored(decision.chosen),
    runner_up: decision.runnerUp ? candidateToStored(decision.runnerUp) : null,
    prefill: decision.prefill ? candidateToStored(decision.prefill) : null,
    candidates: decision.candidates,
    ...(decision.excluded.length > 0 && { excluded: decision.excluded }),
    queued_ms: decision.queuedMs,
    terms: decision.terms,
    reason: decision.reason,
  };
}

function decisionOfStored(stored: StoredDecision): DecisionRecord {
  return {
    policy: stored.policy,
    chosen: candidateOfStored(stored.chosen),
    runnerUp: stored.runner_up ? candidateOfStored(stored.runner_up) : undefined,
    prefill: stored.prefill ? candidateOfStored(stored.prefill) : undefined,
    candidates: stored.candidates,
    excluded: stored.excluded ?? [],
    queuedMs: stored.queued_ms ?? 0,
    terms: stored.terms ?? {},
    reason: stored.reason,
  };
}

const candidateToStored = ({ endpoint, score, numbers }: CandidateRecord): StoredCandidate => ({
  endpoint,
  score: score ?? null,
  numbers,
});

const candidateOfStored = ({ endpoint, score, numbers }: StoredCandidate): CandidateRecord => ({
  endpoint,
  score: score ?? undefined,
  numbers,
});
