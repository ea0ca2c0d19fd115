// Brings the workers that run to what is wanted, and keeps them there: asks plan.ts what is to be done, starts it, and asks again
// whenever something wanted, started, failed or gone changes the picture. Nothing here waits for anything else: a worker
// that takes its time to leave does not delay the others.
//
// What a worker is, how it is started, and how it is taken out of service, is decided by the caller's `WorkerHands`.
import type { LineshaftError } from "../../errors/index.ts";
import { startAgainMs } from "../limits.ts";
import type { Supervisor } from "../supervisor.ts";
import type { ChildSpec } from "../types.ts";
import { shortageText } from "./memory.ts";
import { planWorkers, shortageOf, type FleetWorker, type Machine, type WantedDeployment } from "./plan.ts";
import { countOf, type DeploymentFailure } from "./types.ts";

export interface WorkerHands {
  /** How a worker is started. Its `ready` puts it into service, under the role that `roleOf` answers then. */
  spec(worker: FleetWorker): ChildSpec;
  /** Puts a ready worker into service anew, under its role. */
  relabel(worker: FleetWorker): void;
  /** Takes a worker out of service: no new call comes, those under way end, up to a bound. Never throws. */
  drain(worker: FleetWorker): Promise<void>;
  machine(): Machine;
}

interface ReconcilerOptions {
  supervisor: Supervisor;
  hands: WorkerHands;
}

/** The workers of all deployments. `want` says what is wanted from now on; failures are read by `failureOf` and never thrown. */
export class Reconciler {
  readonly #supervisor: Supervisor;
  readonly #hands: WorkerHands;
  readonly #workers = new Map<string, FleetWorker>();
  readonly #failures = new Map<string, DeploymentFailure>();
  readonly #settled = new Set<() => void>();
  #wanted: WantedDeployment[] = [];
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ReconcilerOptions) {
    this.#supervisor = options.supervisor;
    this.#hands = options.hands;
  }

  /** Workers of this moment, in the order of their numbers. */
  workers(): FleetWorker[] {
    return [...this.#workers.values()].toSorted((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  }

  failureOf(deployment: string): DeploymentFailure | undefined {
    return this.#failures.get(deployment);
  }

  /** Says what is wanted from now on. What failed before is tried again. */
  want(wanted: WantedDeployment[]): void {
    this.#wanted = wanted;
    this.#failures.clear();
    this.#converge();
  }

  /** Resolves when all is as wanted, or when what is missing has failed. */
  async settled(): Promise<void> {
    if (this.#isSettled()) return;
    await new Promise<void>((resolve) => this.#settled.add(resolve));
  }

  /** Stops planning; workers are left to the supervisor. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#tell();
  }

  #isSettled(): boolean {
    return this.#closed || [...this.#workers.values()].every(({ phase }) => phase === "ready");
  }

  #converge(): void {
    if (this.#closed) return;
    const machine = this.#hands.machine();
    const workers = [...this.#workers.values()];
    const plan = planWorkers(this.#wanted, workers, machine);
    for (const { name, role } of plan.relabel) {
      const worker = this.#workers.get(name)!;
      worker.role = role;
      this.#hands.relabel(worker);
    }
    for (const name of plan.stop) this.#stop(this.#workers.get(name)!);
    // One whose start failed keeps the workers it has and gets no new ones, until it is tried again.
    for (const worker of plan.start) if (!this.#failures.has(worker.deployment)) this.#start(worker);
    for (const name of plan.short) {
      const shortage = shortageOf(this.#wanted, workers, machine.freeBytes, name);
      const deployment = this.#wanted.find((one) => one.name === name)!;
      if (shortage) this.#fail(name, shortageText(name, countOf(deployment.roles), shortage));
      else
        this.#fail(name, {
          code: "memory_short",
          message: "What others leave free is not enough for one more of its workers now.",
          hint: "It is tried again by itself; free memory, or deploy it with fewer replicas.",
        });
    }
    this.#tell();
  }

  #start(worker: FleetWorker): void {
    this.#workers.set(worker.name, worker);
    const failed = (error: unknown) => {
      // One that was told to leave while it started is gone by its own way.
      if (worker.phase === "leaving") return;
      this.#workers.delete(worker.name);
      this.#supervisor.forget(worker.name);
      const { code, why, message, hint } = error as Partial<LineshaftError>;
      this.#fail(worker.deployment, {
        code: code ?? "worker_failed",
        message: why ?? message ?? String(error),
        hint: hint ?? "Start again with LINESHAFT_DEBUG=1 to see all that it prints.",
        cause: error,
      });
      this.#converge();
    };
    // Asynchronous, so that what `spec` throws is a failure like any other; it is begun within this tick all the same.
    const begin = async () => this.#supervisor.start(this.#hands.spec(worker));
    begin().then(() => {
      if (worker.phase !== "starting") return;
      worker.phase = "ready";
      this.#converge();
    }, failed);
  }

  #stop(worker: FleetWorker): void {
    const drains = worker.phase === "ready" ? this.#hands.drain(worker) : Promise.resolve();
    worker.phase = "leaving";
    void drains
      .then(() => this.#supervisor.stop(worker.name))
      .then(() => {
        this.#supervisor.forget(worker.name);
        this.#workers.delete(worker.name);
        this.#converge();
      });
  }

  #fail(deployment: string, failure: DeploymentFailure): void {
    if (this.#closed) return;
    this.#failures.set(deployment, failure);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.want(this.#wanted), startAgainMs);
    this.#retry.unref();
  }

  #tell(): void {
    if (!this.#isSettled()) return;
    for (const resolve of this.#settled) resolve();
    this.#settled.clear();
  }
}
