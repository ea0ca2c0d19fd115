// The manifest of a deployment, as a person writes it:
//
//   kind: Deployment
//   name: chat
//   model: smollm2-135m-instruct
//   replicas: 2                      or  roles: {prefill: 1, decode: 1}
//   placement: least-delay
//
// It is checked here alone, whether it came as a file, through the API or from the database.
import { isAbsolute } from "node:path";
import { z } from "zod";
import { defaultPolicy, policyNames } from "../../scheduler/index.ts";
import { workersPerRole } from "../limits.ts";
import { boundedManifest, ManifestError, problemsOf, readManifest, type ReadManifest } from "../manifest.ts";
import type { DeploymentSpec } from "./types.ts";

const hint = "The fields are described in docs/configuration.md; examples/deployments has manifests that work.";

/** Letters of a name: it is written as `model`, in addresses and in file names. */
export const deploymentName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, "must be lower-case letters, digits, '.', '_' and '-', at most 63 of them")
  .refine((name) => !/^worker-\d+$/.test(name), "is what workers are called; choose another");

const workers = z.number().int().min(0).max(workersPerRole);

const units: Record<string, number> = {
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/** "2GiB", "500 MB", or a number of bytes. */
const size = z.union([
  z.number().int().min(0),
  z
    .string()
    .regex(/^\d+(\.\d+)? ?([MGT]B|[MGT]iB)$/, "must be a size such as 2GiB or 500MB")
    .transform((text) => {
      const [, number, unit] = /^([\d.]+) ?(\w+)$/.exec(text)!;
      return Math.floor(Number(number) * units[unit!]!);
    }),
]);

/** The fields of a deployment's manifest; unknown ones are refused. */
export const deploymentManifest = z
  .strictObject({
    kind: z.literal("Deployment"),
    name: deploymentName.describe("What callers write as `model`"),
    model: z
      .string()
      .min(1)
      .max(1000)
      .refine((text) => !/[/\\]/.test(text) || isAbsolute(text), "must be a name of the catalogue or an absolute path")
      .optional()
      .describe("A name of `lineshaft models`, or the path of a GGUF file; the instance's model when left out"),
    replicas: workers.optional().describe("Workers that prefill and decode; 1 when neither this nor roles is given"),
    roles: z
      .strictObject({ prefill: workers.default(0), decode: workers.default(0), both: workers.default(0) })
      .optional()
      .describe("Workers by role, where prefill and decode are separated"),
    placement: z
      .enum(policyNames as [string, ...string[]])
      .default(defaultPolicy)
      .describe("Which of the workers serves a call"),
    first_token_seconds: z
      .number()
      .int()
      .min(1)
      .max(3600)
      .optional()
      .describe(
        "A call that has no first token after so long goes to another worker, if there is one; derived from the prompt's length and the worker's measured speed when left out; a call that asks for reasoning is always waited for",
      ),
    slots: z.number().int().min(1).max(256).default(8).describe("Calls that one worker runs at once"),
    context_tokens: z
      .number()
      .int()
      .min(256)
      .max(1_048_576)
      .optional()
      .describe(
        "Prompt and output of one call; when left out, what the model was trained for as far as memory allows, at least 4,096",
      ),
    threads: z
      .number()
      .int()
      .min(1)
      .max(1024)
      .optional()
      .describe("Of one worker; its share of the cores when left out"),
    kv_budget: size.optional().describe("Disk for parked KV of this deployment, such as 2GiB"),
  })
  .superRefine((manifest, context) => {
    const { replicas, roles } = manifest;
    const wrong = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
    if (replicas !== undefined && roles)
      wrong(["replicas"], "is given beside 'roles'; give one of them ('both' is a role, too)");
    if (roles && roles.prefill > 0 && roles.decode + roles.both === 0)
      wrong(["roles", "decode"], "is 0, so no worker would decode what the prefill workers compute");
    if (roles && roles.decode > 0 && roles.prefill + roles.both === 0)
      wrong(["roles", "prefill"], "is 0, so no worker would compute prompts for the decode workers");
  });

export type DeploymentManifest = z.input<typeof deploymentManifest>;

/** Reads and checks a manifest's text. Throws ManifestError with every problem, its field and its line. */
export async function parseDeployment(
  text: string,
  file = "deployment.yaml",
  organisation?: string,
): Promise<DeploymentSpec> {
  const { value, lineOf } = await readManifest(text, { file, hint, organisation });
  return checkDeployment(value, { file, lineOf });
}

/** Checks a manifest that is an object already. Throws ManifestError. */
export function checkDeployment(
  value: unknown,
  source: { file?: string; lineOf?: ReadManifest["lineOf"] } = {},
): DeploymentSpec {
  const file = source.file ?? "deployment.yaml";
  const parsed = deploymentManifest.safeParse(boundedManifest(value, { file, hint }));
  if (!parsed.success) throw new ManifestError(problemsOf(parsed.error, source.lineOf), file, hint);
  const { data } = parsed;
  return {
    name: data.name,
    model: data.model,
    roles: data.roles ?? { both: data.replicas ?? 1, prefill: 0, decode: 0 },
    placement: data.placement,
    firstTokenSeconds: data.first_token_seconds,
    slots: data.slots,
    contextTokens: data.context_tokens,
    threads: data.threads,
    kvBudgetBytes: data.kv_budget,
  };
}

/** A specification as a manifest again: what is stored, and what a person changes and publishes anew. */
export function manifestOf(spec: DeploymentSpec): DeploymentManifest {
  const { prefill, decode, both } = spec.roles;
  return {
    kind: "Deployment",
    name: spec.name,
    ...(spec.model !== undefined && { model: spec.model }),
    ...(prefill + decode === 0 ? { replicas: both } : { roles: { prefill, decode, both } }),
    placement: spec.placement,
    ...(spec.firstTokenSeconds !== undefined && { first_token_seconds: spec.firstTokenSeconds }),
    slots: spec.slots,
    ...(spec.contextTokens !== undefined && { context_tokens: spec.contextTokens }),
    ...(spec.threads !== undefined && { threads: spec.threads }),
    ...(spec.kvBudgetBytes !== undefined && { kv_budget: spec.kvBudgetBytes }),
  };
}

/** The JSON schema that editors check manifests with. */
export function deploymentJsonSchema(): Record<string, unknown> {
  return {
    ...(z.toJSONSchema(deploymentManifest, { io: "input", target: "draft-7" }) as Record<string, unknown>),
    title: "Lineshaft deployment",
    description: "Manifest of a deployment (kind: Deployment), published with `lineshaft deploy FILE`.",
  };
}
