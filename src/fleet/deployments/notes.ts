// What a person should know of a deployment that serves otherwise than its manifest may suggest.
import type { FleetWorker } from "./plan.ts";
import type { DeploymentSpec } from "./types.ts";

/** A context beyond what the model was trained for is cut, because the model would write nonsense in it. */
export function contextNotes({ name, contextTokens }: DeploymentSpec, trained: number | undefined): string[] {
  if (contextTokens === undefined || trained === undefined || contextTokens <= trained) return [];
  const words = (tokens: number) => tokens.toLocaleString("en-US");
  return [
    `Deployment ${name} asks for a context of ${words(contextTokens)} tokens, and its model was trained for ${words(trained)}: its workers hold ${words(trained)}. Set \`context_tokens\` to at most that.`,
  ];
}

/** Threads are given at a worker's start; a person should know when that has left them uneven. */
export function threadNotes(spec: DeploymentSpec, workers: FleetWorker[]): string[] {
  const counts = new Set(workers.map(({ threads }) => threads));
  if (spec.threads !== undefined || counts.size < 2) return [];
  const shares = workers.map(({ name, threads }) => `${name} ${threads}`).join(", ");
  return [
    `Threads are shared out when a worker starts, and differ now (${shares}). Give \`threads\` in the manifest to replace the workers one after another.`,
  ];
}
