// Results: a verifier's verdict on a run, and the one line of revenue that a passed verdict earns.
import { newId, type Database, type Queryable } from "../store/index.ts";

export interface NewOutcome {
  organisation: string;
  project: string;
  run: string;
  /** Id of the agent, the subject of its revenue. */
  agent: string;
  contract: string;
  /** Verifier and version, with the hash of its source where it has one. */
  verifier: string;
  verdict: "passed" | "failed";
  reason: string;
  /** Blob of what was judged. */
  evidenceRef: string;
  /** Whether it rests on a person's word about an effect. */
  attested: boolean;
  /** The contract's price; charged only when the verdict is passed. */
  priceNano: bigint;
  currency: string;
}

/** An outcome that stands in the ledger. `priceNano` is what was charged: 0 unless the verdict is passed. */
export interface OutcomeRecord extends NewOutcome {
  id: string;
  createdAt: Date;
}

/** The answer to recording one. */
export interface Outcome extends NewOutcome {
  id: string;
  /** True when the run had been judged before: the first verdict stands. */
  repeated: boolean;
}

/**
 * Records the verdict and, when it passed, posts the result: receivable of the project against revenue of the agent.
 * Both in one transaction, once per run, however often it is repeated.
 */
export async function recordOutcome(db: Database, outcome: NewOutcome): Promise<Outcome> {
  return db.transaction(async (client) => {
    const price = outcome.verdict === "passed" ? outcome.priceNano : 0n;
    const inserted = await client.query<{ id: string }>(
      `insert into outcomes (id, organisation, project, run, agent, contract, verifier, verdict, reason, evidence_ref, price_nano, currency, attested)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) on conflict (run) do nothing returning id`,
      [
        newId("res"),
        outcome.organisation,
        outcome.project,
        outcome.run,
        outcome.agent,
        outcome.contract,
        outcome.verifier,
        outcome.verdict,
        outcome.reason,
        outcome.evidenceRef,
        price,
        outcome.currency,
        outcome.attested,
      ],
    );
    if (!inserted.rows[0]) {
      const { rows } = await client.query<{
        id: string;
        verdict: "passed" | "failed";
        reason: string;
        price_nano: bigint;
        attested: boolean;
      }>("select id, verdict, reason, price_nano, attested from outcomes where run = $1", [outcome.run]);
      const first = rows[0]!;
      return {
        ...outcome,
        id: first.id,
        verdict: first.verdict,
        reason: first.reason,
        priceNano: first.price_nano,
        attested: first.attested,
        repeated: true,
      };
    }
    if (price > 0n) {
      const journal = `result:${outcome.run}`;
      await client.query("insert into journals (id, organisation, kind) values ($1, $2, 'result')", [
        journal,
        outcome.organisation,
      ]);
      const side = (kind: string, subject: string, amount: bigint) => ({
        journal,
        account: `${outcome.organisation}/${kind}/${subject}`,
        organisation: outcome.organisation,
        kind,
        subject,
        currency: outcome.currency,
        amount: amount.toString(),
      });
      await client.query("select post_entries($1)", [
        JSON.stringify([side("receivable", outcome.project, price), side("revenue", outcome.agent, -price)]),
      ]);
    }
    return { ...outcome, id: inserted.rows[0].id, priceNano: price, repeated: false };
  });
}

interface OutcomeRow {
  [column: string]: unknown;
  id: string;
  organisation: string;
  project: string;
  run: string;
  agent: string;
  contract: string;
  verifier: string;
  verdict: "passed" | "failed";
  reason: string;
  evidence_ref: string;
  attested: boolean;
  price_nano: bigint;
  currency: string;
  created_at: Date;
}

/** The outcomes of runs, by run; a run that was not judged is not among them. */
export async function outcomesOfRuns(db: Queryable, runs: string[]): Promise<Map<string, OutcomeRecord>> {
  const { rows } = await db.query<OutcomeRow>("select * from outcomes where run = any($1)", [runs]);
  return new Map(rows.map((row) => [row.run, recordOf(row)]));
}

function recordOf(row: OutcomeRow): OutcomeRecord {
  return {
    id: row.id,
    organisation: row.organisation,
    project: row.project,
    run: row.run,
    agent: row.agent,
    contract: row.contract,
    verifier: row.verifier,
    verdict: row.verdict,
    reason: row.reason,
    evidenceRef: row.evidence_ref,
    attested: row.attested,
    priceNano: row.price_nano,
    currency: row.currency,
    createdAt: row.created_at,
  };
}

/** How many outcomes of each agent passed and failed, by agent; an agent without outcomes is not among them. */
export async function outcomeCounts(
  db: Queryable,
  agents: string[],
): Promise<Map<string, { passed: number; failed: number }>> {
  const { rows } = await db.query<{ agent: string; passed: bigint; failed: bigint }>(
    `select agent, count(*) filter (where verdict = 'passed') as passed, count(*) filter (where verdict = 'failed') as failed
     from outcomes where agent = any($1) group by agent`,
    [agents],
  );
  return new Map(rows.map(({ agent, passed, failed }) => [agent, { passed: Number(passed), failed: Number(failed) }]));
}
