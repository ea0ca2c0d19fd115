export { Identity, type Key, type Tenant } from "./identity.ts";
export {
  SecretError,
  secretLimits,
  secretNamePattern,
  Secrets,
  secretValuePattern,
  type Secret,
  type SecretName,
} from "./secrets.ts";
export type { Principal, Role } from "./types.ts";
