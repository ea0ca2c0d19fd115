// What is leased and in suspense, and the proofs of the ledger, in the API's shapes.
import type { Proof, Standing } from "../../contract/index.ts";
import { proofRules, type ProofReport, type Standing as LedgerStanding } from "../../ledger/index.ts";

export const standingResource = (of: LedgerStanding): Standing => ({
  complete_through: of.completeThrough.toISOString(),
  leased: of.leased.map(({ budget, scope, outNano, processes }) => ({
    budget,
    scope,
    leased_nano: outNano.toString(),
    processes,
  })),
  suspense: of.suspense.map(({ id, kind, subject, leftNano, reason, createdAt }) => ({
    id,
    kind,
    subject,
    left_nano: leftNano.toString(),
    reason,
    created_at: createdAt.toISOString(),
  })),
  suspense_count: of.suspenseCount,
});

/** A proof as an organisation may see it: what is another organisation's is counted and not named. */
export const proofResource = (of: ProofReport, organisation: string): Proof => ({
  kind: of.kind,
  began_at: of.beganAt.toISOString(),
  ended_at: of.endedAt.toISOString(),
  compared: of.compared,
  discrepancies: of.discrepancies
    .filter((found) => found.organisation === undefined || found.organisation === organisation)
    .map(({ rule, id, expected, found }) => ({
      rule,
      meaning: proofRules[rule],
      id,
      expected: expected.toString(),
      found: found.toString(),
    })),
  discrepancy_count: of.discrepancyCount,
});
