// A deployment is one way of serving a model on this machine: how many workers, in which roles, started how.

/** Prefill and decode in one place, or one of the two (PD). */
export type WorkerRole = "both" | "prefill" | "decode";

/** Roles in the order in which workers take them: one that decoded before keeps the conversations it has. */
export const workerRoles: readonly WorkerRole[] = ["both", "decode", "prefill"];

/** Workers wanted by role. */
export type Roles = Record<WorkerRole, number>;

/** What a person asked for, checked, with every default filled in. Stored as it is. */
export interface DeploymentSpec {
  /** What callers write as `model`. */
  name: string;
  /** A name of the catalogue, or the absolute path of a GGUF file; undefined: the instance's own model. */
  model: string | undefined;
  roles: Roles;
  /** Name of the placement policy. */
  placement: string;
  /** Seconds after which a call without a first token goes elsewhere; undefined: derived from its prompt. */
  firstTokenSeconds: number | undefined;
  /** Calls that one worker runs at once. */
  slots: number;
  /** Tokens of one call, prompt and output; undefined: what the model was trained for, as far as memory allows. */
  contextTokens: number | undefined;
  /** Threads of one worker; undefined: its share of the machine. */
  threads: number | undefined;
  /** Bytes of disk for parked KV; undefined: the engine's default. */
  kvBudgetBytes: number | undefined;
}

export const countOf = (roles: Roles): number => roles.both + roles.prefill + roles.decode;

/** Why a deployment does not have all its workers. */
export interface DeploymentFailure {
  code: string;
  message: string;
  hint: string;
  /** What was thrown, where something was. */
  cause?: unknown;
}

/** `environment`: a start made it of its environment, and the next one makes it anew; `published`: a person did. */
export type DeploymentSource = "environment" | "published";

/** What the fleet must know of a model to serve it. */
export interface ServableModel {
  name: string;
  /** The file of the weights, and its size in bytes. */
  path: string;
  bytes: number;
}

/** What a model's file says of itself. */
export interface ServableShape {
  /** Longest context that it was trained for, in tokens. */
  trainedContextTokens: number;
  /** Bytes of one token's KV in all layers. */
  kvBytesPerToken: number;
}
