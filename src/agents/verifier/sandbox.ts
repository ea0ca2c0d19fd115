// Where verifiers run: QuickJS in WebAssembly, in a thread of its own. No clock, no randomness, no I/O, bounded memory, and
// bounded work counted in operations rather than milliseconds, so that a verdict is the same on every machine and at any load.
import { Worker } from "node:worker_threads";
import { limits } from "../limits.ts";

export interface Verdict {
  verdict: "passed" | "failed";
  /** One sentence for a person. */
  reason: string;
}

/** The verifier itself is at fault: it threw, looped, used too much memory or answered something else than a verdict. */
export class VerifierError extends Error {
  readonly code = "verifier_failed";
}

export interface SandboxRequest {
  id: number;
  source: string;
  /** JSON text. */
  evidence: string;
}
export type SandboxReply = { id: number; verdict: Verdict } | { id: number; error: string };

interface Waiting {
  resolve(verdict: Verdict): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

export class Sandbox {
  #worker: Worker | undefined;
  #nextId = 0;
  readonly #waiting = new Map<number, Waiting>();

  /** Judges evidence by a verifier's source. Throws VerifierError. */
  verify(source: string, evidence: unknown): Promise<Verdict> {
    const worker = (this.#worker ??= this.#start());
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      // The backstop on the clock: operations are bounded inside, so only a broken thread gets here.
      const timer = setTimeout(() => this.#end(new VerifierError("The verifier took too long.")), limits.verifierMs);
      this.#waiting.set(id, { resolve, reject, timer });
      worker.ref();
      worker.postMessage({ id, source, evidence: JSON.stringify(evidence ?? null) } satisfies SandboxRequest);
    });
  }

  async close(): Promise<void> {
    this.#end(new VerifierError("The sandbox was closed."));
  }

  #start(): Worker {
    const worker = new Worker(new URL("./sandbox-thread.ts", import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: 64 },
      env: {},
      execArgv: [],
    });
    worker.on("message", (reply: SandboxReply) => {
      const waiting = this.#waiting.get(reply.id);
      if (!waiting) return;
      this.#waiting.delete(reply.id);
      clearTimeout(waiting.timer);
      if (this.#waiting.size === 0) worker.unref();
      if ("error" in reply) waiting.reject(new VerifierError(reply.error));
      else waiting.resolve(reply.verdict);
    });
    worker.on("error", (error) => this.#worker === worker && this.#end(new VerifierError(error.message)));
    worker.unref();
    return worker;
  }

  #end(error: Error): void {
    const worker = this.#worker;
    this.#worker = undefined;
    for (const waiting of this.#waiting.values()) {
      clearTimeout(waiting.timer);
      waiting.reject(error);
    }
    this.#waiting.clear();
    void worker?.terminate();
  }
}
