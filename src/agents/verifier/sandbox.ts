// Where verifiers run: QuickJS in WebAssembly, in threads of their own. No clock, no randomness, no I/O, bounded memory, and bounded work
// counted in operations rather than milliseconds, so that a verdict is the same on every machine and at any load.
//
// Operations are not counted inside a native function of QuickJS (`indexOf` over a length of 2^53), so a thread that uses more CPU time
// than any honest verdict is ended from outside. It judges one verdict at a time: nothing else fails with it.
//
// CPU time and memory are the verifier's own. A machine that is too busy or has no thread to give says nothing about a verifier, so the
// run waits and the verdict is asked for again.
import { LineshaftError } from "../../errors/index.ts";
import { TaskError, ThreadPool, type PoolOptions } from "../../bounded/index.ts";
import { limits } from "../limits.ts";

export interface Verdict {
  verdict: "passed" | "failed";
  /** One sentence for a person. */
  reason: string;
}

/** The verifier itself is at fault: it threw, looped, used too much memory or answered something else than a verdict. */
export class VerifierError extends LineshaftError {
  constructor(message: string, options?: ErrorOptions) {
    super({ code: "verifier_failed", message, cause: options?.cause });
  }
}

/** Too many verdicts wait, or the machine could not do the work: nothing is known of the verifier, and it is asked again later. */
export class SandboxBusyError extends LineshaftError {
  constructor(message: string, options?: ErrorOptions) {
    super({ code: "verifiers_busy", message, cause: options?.cause });
  }
}

export interface SandboxRequest {
  source: string;
  /** JSON text. */
  evidence: string;
}

export class Sandbox {
  readonly #pool: ThreadPool;
  readonly #cpuMs: number;

  /** `options` are for tests of a broken or slow machine. */
  constructor(options: Partial<PoolOptions> = {}) {
    this.#cpuMs = options.cpuMs ?? limits.verifierCpuMs;
    this.#pool = new ThreadPool({
      file: new URL("./sandboxThread.ts", import.meta.url),
      threads: limits.verifierThreads,
      cpuMs: limits.verifierCpuMs,
      wallMs: limits.verifierMs,
      resources: { maxOldGenerationSizeMb: 64 },
      waitingPerGroup: limits.verdictsWaitingPerOrganisation,
      waitingTasks: limits.verdictsWaiting,
      ...options,
    });
  }

  /** Judges evidence by a verifier's source, in the turn of an organisation. Throws VerifierError or SandboxBusyError. */
  async verify(source: string, evidence: unknown, organisation: string): Promise<Verdict> {
    const request: SandboxRequest = { source, evidence: JSON.stringify(evidence ?? null) };
    try {
      return await this.#pool.run<Verdict>(organisation, request);
    } catch (error) {
      if (!(error instanceof TaskError)) throw error;
      if (error.temporary)
        throw new SandboxBusyError(`The verdict could not be given yet. ${error.message}`, { cause: error });
      if (error.code === "cpu")
        throw new VerifierError(`The verifier took more than ${this.#cpuMs / 1000} s of CPU time and was ended.`);
      if (error.code === "memory") throw new VerifierError("The verifier used more memory than is allowed.");
      throw new VerifierError(error.message, { cause: error });
    }
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
