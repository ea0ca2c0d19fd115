// The mapping between core records and rows, through the real tables, and rows as earlier versions wrote them.
import { describe, expect, test } from "vitest";
import type { HeldAttempt, Settlement } from "../../ledger/index.ts";
import { tamper, testDatabase } from "../../store/testing.ts";
import { attemptsOfCall, callsBeginning, priceOfBatches } from "./read.ts";
import type { AttemptRecord, CallRecord } from "./record.ts";
import type { CallState } from "../state.ts";
import { holdContext, rowsOfCrash } from "./crash.ts";
import { callRecords } from "./post.ts";
import { attemptToRow, callToRow } from "./rows.ts";

const call: CallRecord = {
  id: "call_1",
  organisation: "org",
  project: "prj",
  key: "key_1",
  agent: "agt_1",
  run: "run_1",
  program: "run_1",
  batch: "batch_1",
  endpoint: "chat",
  model: "m",
  askedModel: "alias",
  savedTokens: 12,
  stream: true,
  status: "failed",
  errorCode: "engine_error",
  finishReason: "stop",
  cutBy: "bud_1",
  promptTokens: 10,
  cachedTokens: 4,
  outputTokens: 3,
  priceNano: 9_007_199_254_740_993n,
  currency: "USD",
  startedAt: new Date(1_700_000_000_000),
  firstTokenMs: 12.5,
  durationMs: 40.25,
};
const attempt: AttemptRecord = {
  id: "att_1",
  call: "call_1",
  number: 1,
  engine: "m-0",
  model: "m",
  rateCard: "card_1",
  why: "fallback",
  status: "failed",
  errorCode: "engine_error",
  decision: {
    policy: "least-delay",
    chosen: { endpoint: "m-0", score: 12, numbers: { matched_tokens: 4 } },
    runnerUp: { endpoint: "m-1", score: undefined, numbers: {} },
    prefill: undefined,
    candidates: 2,
    excluded: [{ endpoint: "m-2", reason: "It takes no images." }],
    queuedMs: 3,
    terms: { prefill_ms: 2 },
    reason: "Less waits here.",
  },
  cachedByTier: { device: 4 },
  phases: [{ name: "queue", startMs: 0, endMs: 3 }],
  promptTokens: 10,
  cachedTokens: 4,
  outputTokens: 3,
  priceNano: 9_007_199_254_740_993n,
  claimed: { promptTokens: 11, outputTokens: 3 },
  suspenseNano: 7n,
};

test("what is recorded is read back as it was, absent fields included", async () => {
  await using db = await testDatabase();
  const bare: CallRecord = {
    ...call,
    id: "call_2",
    key: undefined,
    agent: undefined,
    run: undefined,
    program: undefined,
    batch: undefined,
    askedModel: undefined,
    savedTokens: undefined,
    errorCode: undefined,
    finishReason: undefined,
    cutBy: undefined,
    firstTokenMs: undefined,
  };
  const bareAttempt: AttemptRecord = {
    ...attempt,
    id: "att_2",
    call: "call_2",
    why: undefined,
    errorCode: undefined,
    decision: undefined,
    cachedByTier: undefined,
    claimed: undefined,
  };
  // Only a batch that is still there has a price.
  await db.query(
    `insert into batches (project, id, organisation, endpoint, input_file, status, expires_at)
     values ('prj', 'batch_1', 'org', '/v1/chat/completions', 'file_1', 'in_progress', now())`,
  );
  // As the spool brings them, and twice: a batch may be posted again.
  const rows = {
    attempts: JSON.stringify([attempt, bareAttempt].map(attemptToRow)),
    calls: JSON.stringify([call, bare].map(callToRow)),
  };
  await callRecords.post(db, rows);
  await callRecords.post(db, rows);
  expect(await callsBeginning(db, ["org", null], "call_", { limit: 5 })).toEqual([call, bare]);
  // What was posted twice is added up once, and a further call of the batch is added to it.
  const priceOf = async () => (await priceOfBatches(db, ["batch_1"]))("batch_1");
  expect(await priceOf()).toBe(call.priceNano);
  const further = { ...call, id: "call_3", priceNano: 5n };
  await callRecords.post(db, { attempts: "[]", calls: JSON.stringify([further, bare].map(callToRow)) });
  expect(await priceOf()).toBe(call.priceNano + 5n);
  // The price of a batch goes with it, and a call that is posted later brings none back.
  await db.query("delete from batches");
  await callRecords.post(db, { attempts: "[]", calls: JSON.stringify([callToRow({ ...call, id: "call_4" })]) });
  expect(await priceOf()).toBe(0n);
  expect(await attemptsOfCall(db, "call_1")).toEqual([attempt]);
  expect(await attemptsOfCall(db, "call_2")).toEqual([bareAttempt]);
});

test("a row whose JSON an earlier version wrote is read, with what it did not write as absent", async () => {
  await using db = await testDatabase();
  await tamper(
    db,
    `insert into attempts (id, call, number, engine, status, decision, timings)
     values ('att_old', 'call_old', 1, 'm', 'completed', $1, $2)`,
    [
      JSON.stringify({
        policy: "two-tier",
        chosen: { endpoint: "m", score: 1, numbers: { expected_first_token_ms: 5 } },
        runner_up: null,
        candidates: 1,
        reason: "The only endpoint that could take it.",
      }),
      JSON.stringify([{ name: "decode", start_ms: 1, end_ms: 2.5 }]),
    ],
  );
  expect(await attemptsOfCall(db, "call_old")).toMatchObject([
    {
      decision: { policy: "two-tier", runnerUp: undefined, prefill: undefined, excluded: [], queuedMs: 0, terms: {} },
      cachedByTier: undefined,
      phases: [{ name: "decode", startMs: 1, endMs: 2.5 }],
      promptTokens: 0,
      priceNano: 0n,
      claimed: undefined,
      suspenseNano: 0n,
    },
  ]);
});

describe("what a crash leaves", () => {
  const card = {
    id: "card_1",
    model: "m",
    version: 1,
    currency: "USD",
    inputNanoPerMillion: 3_000_000n,
    cachedNanoPerMillion: 1_000_000n,
    outputNanoPerMillion: 7_000_000n,
  };
  const state = {
    id: "call_1",
    model: "m",
    request: {
      asked: { shape: "chat", model: "alias", stream: true },
      program: "client/p",
      line: { batch: "batch_1" },
    },
    startedAt: 1_700_000_000_000,
    attempts: [attempt],
  } as unknown as CallState;
  const held: HeldAttempt = {
    attempt: "att_2",
    call: "call_1",
    organisation: "org",
    project: "prj",
    key: "key_1",
    agent: undefined,
    run: undefined,
    rateCard: card,
    promptTokens: 10,
    outputTokens: 100,
    // As the spool gives it back.
    context: JSON.parse(JSON.stringify(holdContext(state, 2))),
  };
  const settled: Settlement = {
    attempt: "att_2",
    amountNano: 58n,
    suspenseNano: 0n,
    tokens: { promptTokens: 10, cachedTokens: 0, outputTokens: 4 },
    claimed: undefined,
    usageSource: "estimated",
    currency: "USD",
    repeated: false,
  };

  const none: ReadonlyMap<string, Settlement> = new Map();

  test("of an attempt that was sent is its row and that of its call, with what earlier attempts used", async () => {
    await using db = await testDatabase();
    const rows = rowsOfCrash(held, settled, "m-0", none);
    await callRecords.post(db, {
      attempts: JSON.stringify([attemptToRow(attempt), rows.attempt]),
      calls: JSON.stringify([rows.call]),
    });
    expect(await attemptsOfCall(db, "call_1")).toMatchObject([
      { id: "att_1", number: 1 },
      {
        id: "att_2",
        number: 2,
        engine: "m-0",
        model: "m",
        rateCard: "card_1",
        status: "failed",
        errorCode: "process_ended",
        priceNano: 58n,
      },
    ]);
    expect(await callsBeginning(db, ["org", null], "call_1", { limit: 1 })).toMatchObject([
      {
        status: "failed",
        errorCode: "process_ended",
        program: "client/p",
        batch: "batch_1",
        model: "m",
        askedModel: "alias",
        stream: true,
        startedAt: new Date(1_700_000_000_000),
        promptTokens: 20,
        outputTokens: 7,
        priceNano: attempt.priceNano + 58n,
      },
    ]);
  });

  test("of an attempt that was made beside another is the row of a call with what both used", () => {
    const context = JSON.parse(JSON.stringify(holdContext(state, 3, "att_2"))) as unknown;
    const others = new Map([["att_2", settled]]);
    const own = { ...settled, attempt: "att_3", amountNano: 7n, tokens: { ...settled.tokens, outputTokens: 1 } };
    const rows = rowsOfCrash({ ...held, attempt: "att_3", context }, own, "m-1", others);
    expect(rows).toMatchObject({
      attempt: { id: "att_3", number: 3, price_nano: "7" },
      call: { price_nano: (attempt.priceNano + 58n + 7n).toString(), prompt_tokens: 30, output_tokens: 8 },
    });
  });

  test("a note of an earlier version has no model, and the rate card's name is taken", () => {
    const { model: _model, ...context } = held.context as Record<string, unknown>;
    expect(rowsOfCrash({ ...held, context }, settled, "m-0", none)).toMatchObject({
      attempt: { model: "m" },
      call: { model: "m" },
    });
  });

  test("of an attempt that was not sent is the row of its call alone", () => {
    const nothing = { ...settled, amountNano: 0n, tokens: { promptTokens: 0, cachedTokens: 0, outputTokens: 0 } };
    expect(rowsOfCrash(held, nothing, undefined, none)).toMatchObject({
      attempt: undefined,
      call: { status: "failed" },
    });
  });
});
