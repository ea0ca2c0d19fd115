// Secrets of projects: names and hosts can be read, values never.
import { z } from "@hono/zod-openapi";
import { strict, time } from "./common.ts";

/** Bounds of a secret: characters of its name and value, and hosts that it may be sent to. */
export const secretLimits = { nameCharacters: 63, valueCharacters: 8192, leastValueCharacters: 8, hosts: 16 };
/** Names are those that manifests may hold. */
export const secretNamePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;
/** What an HTTP header can carry; tokens have no spaces. */
export const secretValuePattern = /^[\x21-\x7e]+$/;

const name = z.string().regex(secretNamePattern, "must be lower-case letters, digits and dashes, at most 63 of them");
const project = z.string().min(1).max(200);

export const secret = z.object({
  id: z.string(),
  name: z.string(),
  project: z.string(),
  hosts: z.array(z.string()).describe("The only hosts that it is sent to"),
  created_by: z.string().nullable().describe("Id of the key that set it; null: carried over from an earlier version"),
  created_at: time,
});
export const secretParams = z.object({ name });
export const secretQuery = strict({
  project: project.optional().describe("Id or name; the project of the key that asks by default"),
});
export const secretSet = strict({
  value: z
    .string()
    .min(secretLimits.leastValueCharacters)
    .max(secretLimits.valueCharacters)
    .regex(secretValuePattern, "must be printable ASCII without spaces, as a header carries it")
    .describe("Stored encrypted and never shown"),
  hosts: z
    .array(z.string().min(1).max(300))
    .min(1)
    .max(secretLimits.hosts)
    .describe(
      "api.example.com, api.example.com:8443, *.example.com; 127.0.0.1:4077 for http on this machine; http://tools.lan:8080",
    ),
  project: project.optional().describe("Id or name; the project of the key that asks by default"),
});
export const secretRemoved = z.object({ name: z.string(), project: z.string(), deleted: z.literal(true) });

export type SecretResource = z.infer<typeof secret>;
