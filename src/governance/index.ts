export { Identity, type Key, type Tenant } from "./identity/identity.ts";
export { SecretError, Secrets, type Secret, type SecretName } from "./vault/secrets.ts";
export type { Principal, Role } from "./types.ts";
