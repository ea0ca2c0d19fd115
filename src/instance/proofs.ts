// Proofs of the ledger in the background. The metrics have the newest ones, and an alarm stands while those find something.
import { Prover, type Ledger, type ProofReport } from "../ledger/index.ts";
import type { Session } from "../store/index.ts";
import type { Alarms, Metrics } from "../telemetry/index.ts";

const code = "ledger_unequal";

interface Rooms {
  ledger: Pick<Ledger, "prove" | "lastProofs">;
  session: Pick<Session, "hold">;
  alarms: Alarms;
  metrics: Pick<Metrics, "proven">;
  now?: () => Date;
}

/** A prover that is not started yet. */
export function backgroundProofs({ ledger, session, alarms, metrics, now = () => new Date() }: Rooms): Prover {
  return new Prover({
    session,
    prove: (kind) => ledger.prove(kind),
    newest: () => ledger.lastProofs(),
    onProofs: (newest) => tell(newest, { alarms, metrics }),
    now,
  });
}

function tell(newest: ProofReport[], { alarms, metrics }: Pick<Rooms, "alarms" | "metrics">): void {
  metrics.proven(
    newest.map(({ kind, endedAt, discrepancies }) => ({
      kind,
      endedAt,
      discrepancies: countsOf(discrepancies.map(({ rule }) => rule)),
    })),
  );
  const unequal = standingOf(newest).reduce((sum, { discrepancyCount }) => sum + discrepancyCount, 0);
  if (unequal === 0) return alarms.clear({ code });
  alarms.raise({
    code,
    message: `The proof of the ledger found ${unequal} figures that do not agree. \`lineshaft prove\` names them. Report this: money is wrong, or its records are.`,
    clears: true,
  });
}

/** An incremental proof does not look at everything, so it does not answer what a whole one before it has found. */
function standingOf(newest: ProofReport[]): ProofReport[] {
  const whole = newest.find(({ kind }) => kind === "whole");
  return newest.filter((proof) => proof === whole || whole === undefined || proof.beganAt > whole.beganAt);
}

function countsOf(rules: string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const rule of rules) counts.set(rule, (counts.get(rule) ?? 0) + 1);
  return counts;
}
