// What the environment may say about an instance, checked once. docs/configuration.md lists the same names.
import { z } from "zod";
import { blockedPorts, openPortAfter } from "./blockedPorts.ts";
import { parseKeyEnvs } from "../gateway/keyEnvs.ts";
import { LineshaftError } from "../errors/index.ts";

/** Names of the tenant that the first start makes. */
export const firstTenant = { organisation: "default", project: "default" };

const defaultPort = 4070;
/** Each takes about 200 MB and a pool of connections of its own; more than the cores of a machine bring nothing. */
const gatewaysMost = 64;

const url = (protocols: string[]) =>
  z.string().refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), {
    message: `must be an address that begins with ${protocols.map((name) => `${name}//`).join(" or ")}`,
  });

/** Read by the gateway itself; checked here, so that a start says what is wrong with it. */
function readable(text: string, context: z.RefinementCtx): void {
  try {
    parseKeyEnvs(text);
  } catch (error) {
    if (!(error instanceof LineshaftError)) throw error;
    context.addIssue({ code: "custom", message: error.message });
  }
}

const environment = z
  .object({
    LINESHAFT_PORT: z.coerce
      .number({ error: "must be a number" })
      .int("must be a whole number")
      .min(1, "must be from 1 to 65535")
      .max(65_535, "must be from 1 to 65535")
      .superRefine((port, context) => {
        if (blockedPorts.has(port))
          context.addIssue({
            code: "custom",
            message: `must not be ${port}: browsers and fetch refuse this port, so nothing could reach Lineshaft; ${openPortAfter(port)} is open to them`,
          });
      })
      .default(defaultPort),
    LINESHAFT_HOST: z.string().default("127.0.0.1"),
    LINESHAFT_MODEL: z.string().optional(),
    LINESHAFT_EMBEDDING_MODEL: z.string().optional(),
    LINESHAFT_REPLICAS: z.coerce
      .number({ error: "must be a number" })
      .int("must be a whole number")
      .min(0, "must not be negative")
      .optional(),
    LINESHAFT_ROLES: z
      .string()
      .regex(/^(prefill|decode|both)=\d+(,(prefill|decode|both)=\d+)*$/, "must be written like prefill=1,decode=1")
      .transform((text) => Object.fromEntries(text.split(",").map(roleCount)))
      .optional(),
    LINESHAFT_PLACEMENT: z.string().optional(),
    LINESHAFT_GATEWAYS: z.coerce
      .number({ error: "must be a number" })
      .int("must be a whole number")
      .min(1, "must be at least 1")
      .max(gatewaysMost, `must be at most ${gatewaysMost}`)
      .default(1),
    LINESHAFT_CURRENCY: z
      .string()
      .regex(/^[A-Z]{3}$/, "must be three capital letters, such as USD")
      .default("USD"),
    LINESHAFT_MEDIA_HOSTS: z
      .string()
      .default("")
      .transform((text) => text.split(/[\s,]+/).filter((host) => host.length > 0)),
    DATABASE_URL: url(["postgres:", "postgresql:"]).optional(),
    LINESHAFT_MIGRATION_URL: url(["postgres:", "postgresql:"]).optional(),
    LINESHAFT_KEY_ENVS: z.string().superRefine(readable).optional(),
    RESTATE_INGRESS_URL: url(["http:", "https:"]).optional(),
    RESTATE_ADMIN_URL: url(["http:", "https:"]).optional(),
    LINESHAFT_ADVERTISED_URL: url(["http:", "https:"]).optional(),
    RESTATE_IDENTITY_KEYS: z
      .string()
      .default("")
      .transform((text) => text.split(/[\s,]+/).filter((key) => key.length > 0)),
  })
  .refine((given) => !given.LINESHAFT_MIGRATION_URL || given.DATABASE_URL, {
    path: ["LINESHAFT_MIGRATION_URL"],
    message: "belongs to a database of your own: set DATABASE_URL too, or unset it",
  })
  .refine((given) => Boolean(given.RESTATE_INGRESS_URL) === Boolean(given.RESTATE_ADMIN_URL), {
    path: ["RESTATE_ADMIN_URL"],
    message: "and RESTATE_INGRESS_URL belong together: set both or neither",
  })
  .refine((given) => !given.RESTATE_INGRESS_URL || given.LINESHAFT_ADVERTISED_URL, {
    path: ["LINESHAFT_ADVERTISED_URL"],
    message: "is needed with a remote Restate: the address at which that Restate reaches this machine",
  })
  .refine((given) => Number(new URL(given.LINESHAFT_ADVERTISED_URL ?? "http://none").port) !== given.LINESHAFT_PORT, {
    path: ["LINESHAFT_ADVERTISED_URL"],
    message: "needs a port of its own, such as 9080: the one of LINESHAFT_PORT serves people and their programs",
  });

function roleCount(part: string): [string, number] {
  const [role, count] = part.split("=");
  return [role!, Number(count)];
}

/** The environment says something that cannot be used; the command line exits with 2 (used wrongly). */
export class SettingError extends LineshaftError {
  readonly exitCode = 2;
}

export type Settings = z.infer<typeof environment>;

/** Throws a SettingError that names the variable. Empty variables count as unset. */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
  const parsed = environment.safeParse(given);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const name = String(issue.path[0]);
  throw new SettingError({
    code: "setting_wrong",
    message: `${name} ${issue.message}.`,
    ...(given[name] !== undefined && !/URL$/.test(name) && { why: `It is set to ${given[name]}.` }),
    hint: "Change or unset it; docs/configuration.md lists what every variable may be.",
  });
}
