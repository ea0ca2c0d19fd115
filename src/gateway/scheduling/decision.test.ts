import { expect, test } from "vitest";
import type { CandidateNumbers, Decision } from "../../scheduler/index.ts";
import { decisionRecord } from "./decision.ts";

const numbers: CandidateNumbers = {
  endpoint: "one",
  rank: 0,
  cost: 1,
  matchedTokens: 0,
  matchedByTier: { device: 0, host: 0, disk: 0, remote: 0 },
  expectedTokens: 0,
  uncachedTokens: 100,
  prefillTokensAhead: 0,
  kvTokens: 0,
  inFlight: 0,
  expectedTtftMs: 10,
};

const decision: Decision = {
  call: "call",
  policy: "least-delay",
  atMs: 5000,
  queuedMs: 4000,
  chosen: numbers,
  reason: "least_ttft",
  ties: 1,
  candidates: 1,
  terms: {},
  firstTokenMostMs: 15_000,
};

test("the record of a call whose program was paused says why it waited, and for how long", () => {
  const { reason } = decisionRecord({ ...decision, pausedMs: 3000 }, new Map());
  expect(reason).toBe(
    "The only endpoint that could take it. Its program waited 3,000 ms before, because live programs needed more KV than there is.",
  );
  expect(decisionRecord(decision, new Map()).reason).toBe("The only endpoint that could take it.");
});
