// A deployment as the API shows it: what is wanted, what runs, and why the two differ.
import {
  manifestOf,
  workerRoles,
  type ChildStatus,
  type DeploymentFailure,
  type DeploymentSpec,
  type FleetWorker,
  type WorkerRole,
} from "../../fleet/index.ts";
import type { DeploymentResource } from "../../contract/index.ts";

export interface DeploymentFacts {
  row: { name: string; source: DeploymentResource["source"]; created_at: Date; updated_at: Date };
  spec: DeploymentSpec;
  failure: DeploymentFailure | undefined;
  /** What its model was trained for, where the file says. */
  trainedContextTokens: number | undefined;
  /** Of all deployments. */
  workers: FleetWorker[];
  /** Of the whole instance, by name. */
  children: ReadonlyMap<string, ChildStatus>;
}

export function deploymentResource(facts: DeploymentFacts): DeploymentResource {
  const { row, spec, failure, workers, children } = facts;
  const mine = workers.filter(({ deployment }) => deployment === row.name);
  const has = (role: WorkerRole) => mine.filter((worker) => worker.role === role).length;
  const steady =
    mine.every(({ phase }) => phase === "ready") && workerRoles.every((role) => has(role) === spec.roles[role]);
  return {
    name: row.name,
    manifest: { ...manifestOf(spec) },
    source: row.source,
    state: failure ? "failed" : steady ? "ready" : "changing",
    error: failure ? { code: failure.code, message: failure.message, hint: failure.hint } : null,
    notes: [...contextNotes(spec, facts.trainedContextTokens), ...threadNotes(spec, mine)],
    endpoints: mine.map(({ name, role, phase, threads }) => ({
      endpoint: name,
      role,
      threads,
      state: phase === "ready" && children.get(name)?.state === "restarting" ? "restarting" : phase,
    })),
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

/** A context beyond what the model was trained for is cut, because the model would write nonsense in it. */
export function contextNotes({ name, contextTokens }: DeploymentSpec, trained: number | undefined): string[] {
  if (contextTokens === undefined || trained === undefined || contextTokens <= trained) return [];
  const words = (tokens: number) => tokens.toLocaleString("en-US");
  return [
    `Deployment ${name} asks for a context of ${words(contextTokens)} tokens, and its model was trained for ${words(trained)}: its workers hold ${words(trained)}. Set \`context_tokens\` to at most that.`,
  ];
}

/** Threads are given at a worker's start; a person should know when that has left them uneven. */
function threadNotes(spec: DeploymentSpec, workers: FleetWorker[]): string[] {
  const counts = new Set(workers.map(({ threads }) => threads));
  if (spec.threads !== undefined || counts.size < 2) return [];
  const shares = workers.map(({ name, threads }) => `${name} ${threads}`).join(", ");
  return [
    `Threads are shared out when a worker starts, and differ now (${shares}). Give \`threads\` in the manifest to replace the workers one after another.`,
  ];
}
