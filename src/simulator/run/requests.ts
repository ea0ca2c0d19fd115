// What a gateway knows of simulated calls before they run: their size, tenant and conversation, and how long outputs have been so far.
import { ExpectedOutputs } from "../../scheduler/index.ts";
import { type Fleet, deploymentOf, onlyDeployment } from "../fleet.ts";
import { type SimCall, SimulatorError, type Workload } from "../types.ts";
import { Attempt } from "./attempt.ts";

const nothing: readonly string[] = [];

export class Requests {
  /** First thread seen of each program: the parent of its others. */
  readonly #mainThread: Int32Array;
  readonly #deployments: readonly string[];
  readonly #deadlineMs: number | undefined;
  /** Whether clients name their sessions, and whether an agent runtime tells of every thread. */
  readonly #named: boolean;
  readonly #runtime: boolean;
  readonly #outputs = new ExpectedOutputs();

  /** @throws SimulatorError `tenant_without_department` */
  constructor(workload: Workload, fleet: Fleet) {
    this.#mainThread = new Int32Array(workload.programs).fill(-1);
    this.#deadlineMs = fleet.deadlineMs;
    this.#runtime = fleet.programs;
    // A conversation is a chain of calls that wait for each other. A workload without such waits has no conversations.
    this.#named = fleet.programs || workload.calls.some(({ after }) => after.length > 0);
    this.#deployments = deploymentsOf(workload, fleet);
  }

  /** The call has been answered to its end, which tells how long the deployment's outputs are. */
  answered(call: SimCall): void {
    this.#outputs.answered(this.#deployments[call.tenant]!, call.outputTokens);
  }

  /** The attempt `number`, from 1, of a call that was sent at `sentMs`; it must not go to the endpoints in `avoid`. */
  attempt(call: SimCall, number: number, sentMs: number, avoid: readonly string[] = nothing): Attempt {
    let main = this.#mainThread[call.program]!;
    if (main < 0) this.#mainThread[call.program] = main = call.thread;
    const deployment = this.#deployments[call.tenant]!;
    const deadlineMs = call.deadlineMs ?? this.#deadlineMs;
    return new Attempt(call, number, {
      deployment,
      program: this.#named ? String(programNumber(call, this.#runtime)) : undefined,
      parent: this.#runtime && main !== call.thread ? String(main) : undefined,
      outputTokens: this.#outputs.of(deployment),
      deadlineMs: deadlineMs === undefined ? undefined : sentMs + deadlineMs,
      // Calls of agents' runs are batch work in the gateway (agents/performer.ts).
      batch: call.batch ?? this.#runtime,
      avoid,
    });
  }
}

/**
 * Number of the scheduler's program that a call belongs to. An agent runtime tells of each thread as a run of its own below its parent. A
 * client names its session alone, and a sub-agent's calls carry the name of the session, as in the gateway.
 */
export const programNumber = ({ thread, program }: SimCall, runtime: boolean): number => (runtime ? thread : program);

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
