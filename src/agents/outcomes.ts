// A run's outcome: the contract's verifier judges the evidence, and a passed verdict is charged once at the contract's price.
// What rests on a person's word about an effect is not sold unless the contract says so.
// The verifier sees what the manifest's `evidence` names, which is checked at publishing to come from the input and from tools.
import { parseMoney, type Outcome } from "../ledger/index.ts";
import { getBlob, putBlob, storable } from "../store/index.ts";
import type { Dependencies } from "./dependencies.ts";
import { attestedEffects, type Attestation } from "./attestations.ts";
import { StepError } from "./errors.ts";
import { limits } from "./limits.ts";
import type { ClaimedRun } from "./runRows.ts";
import type { Published } from "./types.ts";
import { SandboxBusyError, VerifierError, type Sandbox, type Verdict } from "./verifier/sandbox.ts";

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
  const attested = await attestedEffects(db, run.id);
  // Beside what the manifest names: a verifier sees apart what rests on a person's word. Publishing keeps the name free.
  const shown = attested.length === 0 ? evidence : { ...evidence, attested: attested.map(attestedEvidence) };
  const evidenceRef = await putBlob(db, run.project, shown);
  // A version that was published before this field has none, and refuses.
  const refused = attested.length > 0 && contract.attested !== "accept" ? refusal(attested[0]!) : undefined;
  const judged = refused ? Promise.resolve(refused) : sandbox.verify(source, shown, run.organisation);
  const verdict = await judged.catch((error: unknown) => {
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
    attested: attested.length > 0,
    priceNano: parseMoney(contract.price),
    currency: run.currency,
  });
  return { outcome, evidenceRef };
}

const attestedEvidence = ({ effect, tool, step, note, author, at }: Attestation) => ({
  effect,
  tool,
  step,
  note,
  author: author.name,
  at: at.toISOString(),
});

function refusal({ tool, author }: Attestation): Verdict {
  return {
    verdict: "failed",
    reason: `That '${tool}' did its work is known by the word of ${author.name} alone, and the contract refuses attested evidence.`,
  };
}
