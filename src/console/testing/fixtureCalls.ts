// Calls of the fixture: attempts whose phases, tokens and prices agree with each other.
import type { AttemptResource, Call, CallDetail } from "../../contract/index.ts";
import type { Random } from "./random.ts";
import { currency, embedded, priceOf, idOf, iso, tenth } from "./fixtureWords.ts";

interface CallWish {
  at: number;
  model: string;
  key: string | null;
  agent?: string;
  run?: string;
  program?: string | null;
  status?: Call["status"];
  prompt?: number;
  output?: number;
}

export function makeCall(random: Random, wish: CallWish): CallDetail {
  const roll = random.next();
  const status =
    wish.status ?? (roll < 0.955 ? "completed" : roll < 0.972 ? "cancelled" : roll < 0.987 ? "failed" : "refused");
  const small = wish.model === embedded;
  const prompt = wish.prompt ?? Math.round(Math.min(small ? 7_800 : 30_000, random.tail(small ? 640 : 2_600, 0.8)));
  const cached =
    status === "refused" || random.chance(0.2)
      ? 0
      : Math.min(prompt - 1, Math.floor((prompt * random.between(0.45, 0.97)) / 64) * 64);
  const planned = wish.output ?? Math.round(Math.min(1_024, random.tail(small ? 58 : 190, 0.8)) + 1);
  const output = status === "completed" ? planned : status === "cancelled" ? Math.ceil(planned * random.next()) : 0;
  const id = idOf(random, "call", wish.at);
  const attempts: AttemptResource[] = [];
  let cursor = 0;
  const take = (ms: number) => [tenth(cursor), tenth((cursor += ms))] as const;
  if (status !== "refused") {
    const failsFirst = !small && (status === "failed" || random.chance(0.03));
    if (failsFirst) {
      const phases = phasesOf(
        [
          ["admit", random.between(0.4, 1.6)],
          ["connect", random.between(200, 900)],
        ],
        take,
      );
      attempts.push({
        id: idOf(random, "att", wish.at),
        number: 1,
        engine: wish.model,
        model: wish.model,
        why: "first",
        status: "failed",
        error_code: "engine_unreachable",
        decision: null,
        cached_by_tier: null,
        phases,
        prompt_tokens: 0,
        cached_tokens: 0,
        output_tokens: 0,
        price_nano: "0",
        claimed_prompt_tokens: null,
        claimed_output_tokens: null,
        suspense_nano: "0",
      });
    }
    if (!failsFirst || status !== "failed") {
      const speed = small ? 1_450 : 5_200;
      const disk = small && cached > 0 && random.chance(0.25) ? cached : 0;
      const queued = random.chance(0.22) ? random.tail(90, 1.1) : random.between(0.05, 0.6);
      const phases = phasesOf(
        [
          ["admit", random.between(0.5, 2.4)],
          ["queue", queued],
          ["connect", small ? random.between(0.3, 1.2) : random.between(8, 40)],
          ...(disk > 0 ? [["restore", 4 + disk * 0.006] as [Phase, number]] : []),
          ["prefill", 6 + ((prompt - cached) / speed) * 1_000],
          ["decode", status === "failed" ? 0.4 : output * random.between(small ? 7 : 14, small ? 15 : 26)],
          ["settle", random.between(0.6, 3)],
        ],
        take,
      );
      attempts.push({
        id: idOf(random, "att", wish.at + 1),
        number: attempts.length + 1,
        engine: wish.model,
        model: wish.model,
        why: attempts.length === 0 ? "first" : "retry",
        status: status === "completed" ? "completed" : status,
        error_code: status === "failed" ? "engine_failed" : null,
        decision: decisionFor(random, wish.model, prompt, cached),
        cached_by_tier: cached === 0 ? null : disk > 0 ? { disk } : { device: cached },
        phases,
        prompt_tokens: prompt,
        cached_tokens: cached,
        output_tokens: output,
        price_nano: String(priceOf(wish.model, prompt, cached, output)),
        claimed_prompt_tokens: null,
        claimed_output_tokens: null,
        suspense_nano: "0",
      });
    }
  }
  const served = attempts.at(-1)?.prompt_tokens === 0 ? undefined : attempts.at(-1);
  const decode = served?.phases.find((phase) => phase.name === "decode");
  return {
    id,
    endpoint: random.chance(0.94) ? "chat" : "completions",
    model: wish.model,
    asked_model: null,
    saved_tokens: null,
    stream: wish.run === undefined && random.chance(0.8),
    status,
    error_code:
      status === "refused"
        ? random.pick(["budget_exceeded", "context_length_exceeded"])
        : status === "failed"
          ? (attempts.at(-1)?.error_code ?? null)
          : null,
    cut_by: null,
    finish_reason: status === "completed" ? (random.chance(0.93) ? "stop" : "length") : null,
    key: wish.key,
    agent: wish.agent ?? null,
    run: wish.run ?? null,
    program: wish.run ?? wish.program ?? null,
    batch: null,
    prompt_tokens: served === undefined ? 0 : prompt,
    cached_tokens: served === undefined ? 0 : cached,
    output_tokens: output,
    price_nano: String(attempts.reduce((sum, attempt) => sum + BigInt(attempt.price_nano), 0n)),
    currency,
    started_at: iso(wish.at),
    first_token_ms: output > 0 && decode !== undefined ? tenth(decode.start_ms + 4) : null,
    duration_ms: status === "refused" ? tenth(random.between(0.6, 2)) : tenth(cursor),
    attempts,
  };
}

type Phase = AttemptResource["phases"][number]["name"];
const phasesOf = (list: [Phase, number][], take: (ms: number) => readonly [number, number]) =>
  list.map(([name, ms]) => {
    const [start_ms, end_ms] = take(ms);
    return { name, start_ms, end_ms };
  });

function decisionFor(random: Random, model: string, prompt: number, cached: number): AttemptResource["decision"] {
  const candidate = (endpoint: string, matched: number) => {
    const waiting = Math.round(random.between(0, 1_400));
    const wait = tenth(waiting / 1.45);
    const prefill = tenth((prompt - matched) / 1.45);
    return {
      endpoint,
      score: tenth(wait + prefill),
      numbers: {
        matched_tokens: matched,
        uncached_tokens: prompt - matched,
        waiting_tokens: waiting,
        expected_first_token_ms: tenth(wait + prefill),
        kv_tokens: random.whole(2_000, 26_000),
      },
    };
  };
  const chosen = candidate(model === embedded ? "worker-0" : `${model}/a`, cached);
  if (model === embedded)
    return {
      policy: "least-delay",
      chosen,
      runner_up: null,
      prefill: null,
      candidates: 1,
      queued_ms: 0,
      terms: {},
      reason: "The only endpoint that could take it.",
    };
  let runnerUp = candidate(`${model}/b`, Math.floor((cached * random.between(0, 0.5)) / 64) * 64);
  if (runnerUp.score <= chosen.score) {
    const longer = Math.ceil((chosen.score - runnerUp.score) * 1.45) + random.whole(60, 700);
    const waiting = runnerUp.numbers.waiting_tokens + longer;
    const score = tenth(waiting / 1.45 + runnerUp.numbers.uncached_tokens / 1.45);
    runnerUp = {
      ...runnerUp,
      score,
      numbers: { ...runnerUp.numbers, waiting_tokens: waiting, expected_first_token_ms: score },
    };
  }
  return {
    policy: "least-delay",
    chosen,
    runner_up: runnerUp,
    prefill: null,
    candidates: 2,
    queued_ms: 0,
    terms: { ownMs: 40, laterMs: 12, streamsMs: 3, evictedMs: 0 },
    reason: `Holds ${cached} of ${prompt} prompt tokens; first token expected ${tenth(runnerUp.score - chosen.score)} ms sooner than at the next best endpoint.`,
  };
}
