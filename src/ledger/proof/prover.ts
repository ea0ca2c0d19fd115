// Proofs in the background: of what is new every hour, and of everything every night. Several processes on one database take turns: each
// looks at the newest proof and does what is due only with the lock that says that it is the one that proves.
import { LineshaftError } from "../../errors/index.ts";
import type { LockKey, Session } from "../../store/index.ts";
import { proofLimits } from "../limits.ts";
import type { ProofKind } from "./check.ts";
import type { ProofReport } from "./report.ts";

/** Namespace of the lock of the process that proves; nothing else uses it. */
const proverLock: LockKey = [4070_0010, 0];

/**
 * Which proof is due at a moment, given the newest of each kind; undefined for none. A whole proof is due once the hour of the day
 * (UTC) has come and none began since then. It includes what an incremental one does.
 */
export function dueProof(now: Date, newest: readonly Pick<ProofReport, "kind" | "beganAt">[]): ProofKind | undefined {
  const began = (kinds: ProofKind[]) =>
    Math.max(-Infinity, ...newest.filter(({ kind }) => kinds.includes(kind)).map(({ beganAt }) => beganAt.getTime()));
  const today = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate(), proofLimits.wholeHourUtc);
  const night = now.getTime() >= today ? today : today - 24 * 60 * 60_000;
  if (newest.length > 0 && began(["whole"]) < night) return "whole";
  return now.getTime() - began(["whole", "incremental"]) >= proofLimits.incrementalMs ? "incremental" : undefined;
}

interface ProverOptions {
  session: Pick<Session, "hold">;
  prove: (kind: ProofKind) => Promise<ProofReport>;
  newest: () => Promise<ProofReport[]>;
  /** Told of the newest proofs, also of those that other processes made. */
  onProofs: (newest: ProofReport[]) => void;
  now: () => Date;
}

/** Makes the proofs that are due, and tells of the newest. One for each process; only one of them proves at a time. */
export class Prover {
  readonly #options: ProverOptions;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;

  constructor(options: ProverOptions) {
    this.#options = options;
  }

  /** Looks now and then every minute. */
  start(): void {
    this.#timer = setInterval(() => void this.look(), proofLimits.lookMs).unref();
  }

  /** Does the proof that is due, if any. Never rejects: a proof that fails is due again at the next look. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch(() => {})
      .finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const { session, newest, onProofs } = this.#options;
    const before = await newest();
    onProofs(before);
    if (dueProof(this.#options.now(), before) === undefined) return;
    const release = await session.hold(proverLock).catch((error: unknown) => {
      if (error instanceof LineshaftError && error.code === "lock_taken") return undefined;
      throw error;
    });
    if (!release) return;
    try {
      // Another process may have made it between the look and the lock.
      const kind = dueProof(this.#options.now(), await newest());
      if (kind !== undefined) await this.#options.prove(kind);
      onProofs(await newest());
    } finally {
      await release();
    }
  }
}
