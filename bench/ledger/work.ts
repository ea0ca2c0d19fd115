// The calls of bench:ledger: whose they are, what they cost, and what is recorded of them.
import { attemptToRow, callToRow } from "../../src/gateway/calls/rows.ts";
import type { RateCard } from "../../src/ledger/index.ts";
import { newId } from "../../src/store/index.ts";

/** How a process is asked to work. */
export interface Work {
  /** `old`: one statement for a group of holds and one for a group of settlements, records beside them, as before leases. */
  path: "old" | "lease" | "exact";
  url: string;
  /** Folder of its spools. */
  spools: string;
  seconds: number;
  /** Loops in this process, each with one call at a time. */
  writers: number;
  /** Projects and keys that the calls are spread over. */
  accounts: number;
}

/** What a process did. */
export interface Done {
  calls: number;
  /** Milliseconds that a call waited for its hold and its sent mark. */
  p50: number;
  p99: number;
  /** Of the load, and until everything was posted. */
  loadMs: number;
  wholeMs: number;
  /** CPU time of the process, posting included, in microseconds. */
  cpuMicros: number;
  /** Holds with their sent marks, 200 at once, while nothing else is done. */
  holdsPerSecond: number;
}

export const card: RateCard = {
  id: "org_bench/small/1",
  model: "small",
  version: 1,
  currency: "USD",
  inputNanoPerMillion: 1_000_000n,
  cachedNanoPerMillion: 1_000_000n,
  outputNanoPerMillion: 1_000_000n,
};

export const organisation = "org_bench";
export const promptTokens = 500;
export const outputTokens = 200;

/** A call of the account with that number. */
export function nextCall(account: number) {
  return { attempt: newId("att"), call: newId("call"), project: `prj_${account}`, key: `key_${account}` };
}
export type Call = ReturnType<typeof nextCall>;

const decision = {
  policy: "least-delay",
  chosen: { endpoint: "small-0", score: 12, numbers: { expected_first_token_ms: 12, matched_tokens: 256 } },
  runnerUp: { endpoint: "small-1", score: 19, numbers: { expected_first_token_ms: 19, matched_tokens: 0 } },
  prefill: undefined,
  candidates: 2,
  excluded: [],
  queuedMs: 0,
  terms: { prefill_ms: 9, queue_ms: 3 },
  reason: "The least delay.",
};

/** The rows of its attempt and of the call itself. */
export function rowsOf(call: Call, priceNano: bigint) {
  const counts = { promptTokens, cachedTokens: 0, outputTokens, priceNano };
  const attempt = attemptToRow({
    ...counts,
    id: call.attempt,
    call: call.call,
    number: 1,
    engine: "small-0",
    model: "small",
    rateCard: "card_1",
    why: "first",
    status: "completed",
    errorCode: undefined,
    decision,
    cachedByTier: { device: 256 },
    phases: [
      { name: "queue", startMs: 0, endMs: 1 },
      { name: "prefill", startMs: 1, endMs: 12 },
      { name: "decode", startMs: 12, endMs: 90 },
    ],
    claimed: undefined,
    suspenseNano: 0n,
  });
  const row = callToRow({
    askedModel: undefined,
    savedTokens: undefined,
    ...counts,
    id: call.call,
    organisation,
    project: call.project,
    key: call.key,
    agent: undefined,
    run: undefined,
    program: undefined,
    batch: undefined,
    endpoint: "chat",
    model: "small",
    stream: true,
    status: "completed",
    errorCode: undefined,
    finishReason: "stop",
    currency: "USD",
    startedAt: new Date(),
    firstTokenMs: 12,
    durationMs: 90,
  } as Parameters<typeof callToRow>[0]);
  return { attempt, call: row };
}

/** Inserts rows of attempts and calls, as the gateway does. */
export const insertRows = `with recorded as (
    insert into calls select c.* from json_populate_recordset(null::calls, $1) c on conflict (id) do nothing)
  insert into attempts select a.* from json_populate_recordset(null::attempts, $2) a on conflict (id) do nothing`;
