// What a gateway knows of simulated calls before they run: their size, tenant and conversation, and how long outputs have been so far.
import { type Fleet, deploymentOf, onlyDeployment } from "../fleet.ts";
import { type SimCall, SimulatorError, type Workload } from "../types.ts";
import { Attempt } from "./attempt.ts";

/** Tokens that an output is expected to have until the first output has ended. */
const firstGuessTokens = 256;

const nothing: readonly string[] = [];

export class Requests {
  /** First thread seen of each program: the parent of its others. */
  readonly #mainThread: Int32Array;
  readonly #deployments: readonly string[];
  readonly #deadlineMs: number | undefined;
  /** Whether clients name their conversations. */
  readonly #named: boolean;
  #ended = 0;
  #outputTokens = 0;

  /** @throws SimulatorError `tenant_without_department` */
  constructor(workload: Workload, fleet: Fleet) {
    this.#mainThread = new Int32Array(workload.programs).fill(-1);
    this.#deadlineMs = fleet.deadlineMs;
    // A conversation is a chain of calls that wait for each other. A workload without such waits has no conversations.
    this.#named = fleet.programs || workload.calls.some(({ after }) => after.length > 0);
    this.#deployments = deploymentsOf(workload, fleet);
  }

  /** An output has ended: later calls are expected to have the mean of all outputs so far. */
  finished(outputTokens: number): void {
    this.#ended++;
    this.#outputTokens += outputTokens;
  }

  /** The attempt `number`, from 1, of a call that was sent at `sentMs`; it must not go to the endpoints in `avoid`. */
  attempt(call: SimCall, number: number, sentMs: number, avoid: readonly string[] = nothing): Attempt {
    let main = this.#mainThread[call.program]!;
    if (main < 0) this.#mainThread[call.program] = main = call.thread;
    return new Attempt(call, number, {
      deployment: this.#deployments[call.tenant]!,
      // To the scheduler a sub-agent is a program of its own below its parent.
      program: this.#named ? String(call.thread) : undefined,
      parent: this.#named && main !== call.thread ? String(main) : undefined,
      outputTokens: this.#ended > 0 ? Math.round(this.#outputTokens / this.#ended) : firstGuessTokens,
      deadlineMs: this.#deadlineMs === undefined ? undefined : sentMs + this.#deadlineMs,
      avoid,
    });
  }
}

/** Name of the deployment that each tenant's calls ask for. */
function deploymentsOf(workload: Workload, { departments }: Fleet): string[] {
  return Array.from({ length: workload.tenants }, (_, tenant) => {
    if (departments.length === 0) return onlyDeployment;
    const department = departments.find(({ tenants }) => tenants.includes(tenant));
    if (department !== undefined) return deploymentOf(department.name);
    throw new SimulatorError(
      "tenant_without_department",
      `Tenant ${tenant} of the workload belongs to no department, so no pool serves its calls.`,
      "Add it to the tenants of a department.",
    );
  });
}
