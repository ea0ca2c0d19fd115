// Agents, runs, steps and outcomes as /api shows them: the only mapping from their core records (agents/record.ts, ledger).
import type {
  AgentDetailRecord,
  AgentRecord,
  EffectRecord,
  RunDetailRecord,
  RunRecord,
  StepDetail,
  WaitRecord,
} from "../../agents/index.ts";
import type {
  AgentDetail,
  AgentSummary,
  OutcomeResource,
  Run,
  RunDetail,
  RunWait,
  StepResource,
} from "../../contract/index.ts";
import type { OutcomeRecord } from "../../ledger/index.ts";

export function runResource(run: RunRecord): Run {
  return {
    id: run.id,
    agent: run.agent.name,
    version: run.version,
    status: run.status,
    error_code: run.errorCode ?? null,
    error_message: run.errorMessage ?? null,
    wakes_at: run.wakesAt?.toISOString() ?? null,
    steps: run.steps,
    prompt_tokens: run.usage.promptTokens,
    cached_tokens: run.usage.cachedTokens,
    output_tokens: run.usage.outputTokens,
    cost_nano: run.usage.priceNano.toString(),
    currency: run.currency,
    outcome: run.outcome ? outcomeResource(run.outcome) : null,
    created_at: run.createdAt.toISOString(),
    started_at: run.startedAt?.toISOString() ?? null,
    ended_at: run.endedAt?.toISOString() ?? null,
  };
}

export function runDetailResource(run: RunDetailRecord): RunDetail {
  return {
    ...runResource(run),
    input: run.input,
    output: run.output,
    step_list: run.stepList.map(stepResource),
    queued_ms: Math.round(run.queuedMs),
    waits: run.waits.map(waitResource),
  };
}

function outcomeResource(outcome: OutcomeRecord): OutcomeResource {
  return {
    id: outcome.id,
    contract: outcome.contract,
    verifier: outcome.verifier,
    verdict: outcome.verdict,
    reason: outcome.reason,
    attested: outcome.attested,
    price_nano: outcome.priceNano.toString(),
    currency: outcome.currency,
    created_at: outcome.createdAt.toISOString(),
  };
}

export function stepResource(step: StepDetail): StepResource {
  return {
    number: step.number,
    kind: step.kind,
    name: step.name,
    status: step.status,
    input: step.input,
    output: step.output,
    call: step.call ?? null,
    cost_nano: step.cost.priceNano.toString(),
    effect: step.done ? effectResource(step.done) : null,
    error_message: step.errorMessage ?? null,
    queued_ms: Math.round(step.cost.queuedMs),
    started_at: step.startedAt.toISOString(),
    ended_at: step.endedAt.toISOString(),
  };
}

function effectResource({ key, tool, state, attempts, attested }: EffectRecord): StepResource["effect"] {
  return {
    key,
    tool,
    state,
    attempts,
    attested: attested ? { by: attested.by, note: attested.note, at: attested.at.toISOString() } : null,
  };
}

function waitResource(wait: WaitRecord): RunWait {
  return {
    step: wait.step,
    code: wait.code,
    message: wait.message,
    times: wait.times,
    waited_ms: Math.round(wait.waitedMs),
    began_at: wait.beganAt.toISOString(),
    waiting: wait.isWaiting,
    until: wait.until?.toISOString() ?? null,
  };
}

export function agentResource(agent: AgentRecord): AgentSummary {
  return {
    id: agent.id,
    name: agent.name,
    version: agent.version,
    model: agent.model,
    created_at: agent.createdAt.toISOString(),
    runs: agent.runs,
    outcomes: agent.outcomes,
  };
}

export function agentDetailResource(agent: AgentDetailRecord): AgentDetail {
  return {
    ...agentResource(agent),
    manifest: agent.manifest,
    versions: agent.versions.map(({ number, id, createdAt }) => ({ number, id, created_at: createdAt.toISOString() })),
  };
}
