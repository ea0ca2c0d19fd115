// A deployment as the API shows it: what is wanted, what runs, and why the two differ.
import type { DeploymentResource } from "../../contract/index.ts";
import {
  contextNotes,
  manifestOf,
  threadNotes,
  workerRoles,
  type DeploymentState,
  type WorkerRole,
} from "../../fleet/index.ts";

export function deploymentResource(deployment: DeploymentState): DeploymentResource {
  const { name, spec, source, failure, workers, children } = deployment;
  const has = (role: WorkerRole) => workers.filter((worker) => worker.role === role).length;
  const steady =
    workers.every(({ phase }) => phase === "ready") && workerRoles.every((role) => has(role) === spec.roles[role]);
  return {
    name,
    manifest: { ...manifestOf(spec) },
    source,
    state: failure ? "failed" : steady ? "ready" : "changing",
    error: failure ? { code: failure.code, message: failure.message, hint: failure.hint } : null,
    notes: [...contextNotes(spec, deployment.trainedContextTokens), ...threadNotes(spec, workers)],
    endpoints: workers.map((worker) => ({
      endpoint: worker.name,
      role: worker.role,
      threads: worker.threads,
      state:
        worker.phase === "ready" && children.get(worker.name)?.state === "restarting" ? "restarting" : worker.phase,
    })),
    created_at: deployment.createdAt.toISOString(),
    updated_at: deployment.updatedAt.toISOString(),
  };
}
