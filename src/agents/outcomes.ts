// A run's outcome: the contract's verifier judges the evidence, and a passed verdict is charged once at the contract's price.
// The verifier sees what the manifest's `evidence` names, which is checked at publishing to come from the input and from tools.
import { parseMoney, type Outcome } from "../ledger/index.ts";
import { getBlob, putBlob, storable } from "../store/index.ts";
import type { Dependencies } from "./dependencies.ts";
import { StepError } from "./errors.ts";
import { limits } from "./limits.ts";
import type { ClaimedRun } from "./runs.ts";
import type { Published } from "./types.ts";
import { SandboxBusyError, VerifierError, type Sandbox } from "./verifier/sandbox.ts";

/** Safe to repeat: the first verdict on a run stands. A verifier that is itself at fault passes nothing. */
export async function judgeRun(
  { db, ledger }: Pick<Dependencies, "db" | "ledger">,
  sandbox: Sandbox,
  run: ClaimedRun,
  published: Published,
  evidence: Record<string, unknown>,
): Promise<{ outcome: Outcome; evidenceRef: string }> {
  const contract = published.manifest.outcome!;
  const source = (await getBlob(db, run.project, published.verifier!.ref)) as string;
  const evidenceRef = await putBlob(db, run.project, evidence);
  const verdict = await sandbox.verify(source, evidence, run.organisation).catch((error: unknown) => {
    if (error instanceof SandboxBusyError)
      throw new StepError(error.code, error.message, {
        retryAfterMs: limits.retryFirstMs,
        patient: true,
        cause: error,
      });
    if (!(error instanceof VerifierError)) throw error;
    throw new StepError("verifier_failed", `Verifier ${published.verifier!.name} could not judge: ${error.message}`, {
      cause: error,
    });
  });
  const outcome = await ledger.recordOutcome({
    organisation: run.organisation,
    project: run.project,
    run: run.id,
    agent: run.agent,
    contract: contract.contract,
    verifier: published.verifier!.name,
    verdict: verdict.verdict,
    reason: storable(verdict.reason, limits.reasonCharacters),
    evidenceRef,
    priceNano: parseMoney(contract.price),
    currency: run.currency,
  });
  return { outcome, evidenceRef };
}
