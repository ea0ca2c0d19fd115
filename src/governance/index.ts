export { Identity, type Key, type Tenant } from "./identity.ts";
export { SecretError, Secrets, type Secret, type SecretName } from "./secrets.ts";
export type { Principal, Role } from "./types.ts";
